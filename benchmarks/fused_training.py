"""What training with less memory costs in time on a CPU, and how many bytes it keeps.

    python -m benchmarks.fused_training [--rounds 11] [--threads 2]

UNet++ of depth 4 with its default widths and four heads, a batch of two 160x160 images,
float32, by each way up. A step is forward and backward, without the optimizer, which is
the same. The network as it is and fused take turns, so that their ratio holds on a busy
machine too; before that the gradients of both are held against float64. The bytes are
counted for a batch of eight 512x512 images in bfloat16 too, and of other networks.
Writes benchmarks/results/fused-training-cpu.json.
"""

from __future__ import annotations

import argparse
import copy
import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.saved import saved_bytes_at
from nestgen.arch.graph import NestGraph
from nestgen.arch.spec import NestSpec
from nestgen.cli.tables import show_table
from nestgen.codegen.load import build
from nestgen.files import write_whole
from nestgen.fusion.training import fuse_training
from nestgen.inference.spread import Spread, spread_of
from nestgen.machine import describe_machine
from nestgen.surgery.kept import output_tensors
from nestgen.training.timing import time_in_turn

Plain = dict[str, Any]

RESULTS = Path(__file__).parent / "results"
UPS = ("transpose", "nearest", "bilinear")
PACKAGES = ["nestgen", "torch"]
LARGE = (8, 512)
"""The batch and the sides of images for which bytes are counted in bfloat16 too."""
OTHERS: dict[str, Plain] = {
    "depth 1": {"depth": 1},
    "depth 2": {"depth": 2},
    "depth 3": {"depth": 3},
    "residual": {"block": {"kind": "residual"}},
    "pre-activation": {"block": {"kind": "double-preact"}},
    "separable": {"block": {"kind": "separable"}},
    "inverted": {"block": {"kind": "inverted"}},
    "ConvNeXt": {"block": {"kind": "convnext", "norm": "layer"}},
    "group norm": {"block": {"norm": "group"}},
    "SiLU": {"block": {"activation": "silu"}},
    "dropout": {"block": {"dropout": 0.1}},
    "gates": {"skip": "gate"},
}
"""What else a network may be, of which less is fused."""
MOST = 2.0
"""How much worse than the network's the fused one's gradients may be rounded."""

EAGER, FUSED = STYLES = ("eager", "fused")


def measure(spec: NestSpec, batch: int, side: int, rounds: int) -> Plain:
    """Steps of one network in both styles, in turn, and the bytes that they keep."""
    styles = both(spec)
    x = torch.randn(batch, spec.in_channels, side, side)
    errors = gradient_errors(styles, x)
    if not errors[FUSED] <= MOST * errors[EAGER]:
        raise SystemExit(f"{spec.up}: gradients are off, {errors}, nothing is timed")
    runs = {name: partial(step, module, x) for name, module in styles.items()}
    seconds = time_in_turn(runs, rounds)
    pairs = zip(seconds[FUSED], seconds[EAGER], strict=True)
    return {
        "up": spec.up,
        "milliseconds": {
            name: rounded(spread_of([1000 * each for each in taken]))
            for name, taken in seconds.items()
        },
        "times_as_long": rounded(spread_of([ours / theirs for ours, theirs in pairs])),
        "saved": saved(styles, x.shape, torch.float32),
        "saved_large": saved_large(styles, spec),
        "gradient_errors": errors,
    }


def both(spec: NestSpec) -> dict[str, nn.Module]:
    """A network, and one of the same weights that trains fused."""
    torch.manual_seed(0)
    network = build(spec).train()
    smallest = [2 * multiple for multiple in NestGraph(spec).multiples]
    example = torch.randn(2, spec.in_channels, *smallest)
    fused = fuse_training(copy.deepcopy(network), example)
    return {EAGER: network, FUSED: fused}


def saved_large(styles: Mapping[str, nn.Module], spec: NestSpec) -> Plain:
    """The bytes that are kept for `LARGE` images."""
    batch, side = LARGE
    return saved(styles, (batch, spec.in_channels, side, side), torch.bfloat16)


def saved(
    styles: Mapping[str, nn.Module], shape: Sequence[int], dtype: torch.dtype
) -> Plain:
    """The bytes that are kept for images of a shape, and the share of the fused one."""
    kept = {name: saved_bytes_at(one, shape, dtype) for name, one in styles.items()}
    return {
        "shape": list(shape),
        "dtype": str(dtype),
        "bytes": kept,
        "share": round(kept[FUSED] / kept[EAGER], 3),
    }


def step(module: nn.Module, x: Tensor) -> None:
    """Forward and backward, also where gradients are off around it."""
    with torch.inference_mode(False):
        module.zero_grad(set_to_none=True)
        outputs = output_tensors(module(x)).values()
        torch.autograd.backward([y.square().mean() for y in outputs])


def gradient_errors(styles: Mapping[str, nn.Module], x: Tensor) -> dict[str, float]:
    """The distance of all gradients from those in float64, as a share of these."""
    exact = copy.deepcopy(styles[EAGER]).double()
    right = gradient(exact, x.double())
    return {
        name: float((gradient(module, x) - right).norm() / right.norm())
        for name, module in styles.items()
    }


def gradient(module: nn.Module, x: Tensor) -> Tensor:
    """All of them, one after another, in float64."""
    step(module, x)
    grads = [p.grad for p in module.parameters()]
    return torch.cat([grad.flatten().double() for grad in grads if grad is not None])


def rounded(spread: Spread) -> Plain:
    return {name: round(number, 3) for name, number in spread.to_plain().items()}


def show(rows: Sequence[Plain]) -> None:
    """A line for each way up."""
    show_table(
        [
            "up",
            *(f"{name} ms" for name in STYLES),
            "times as long",
            "share of bytes",
            "of large images",
        ],
        [
            [
                row["up"],
                *(f"{row['milliseconds'][name]['median']:.0f}" for name in STYLES),
                "{median:.2f} ({low:.2f} to {high:.2f})".format(**row["times_as_long"]),
                f"{row['saved']['share']:.3f}",
                f"{row['saved_large']['share']:.3f}",
            ]
            for row in rows
        ],
        title="A step of training",
    )


def main(arguments: Sequence[str] | None = None) -> None:
    given = sys.argv[1:] if arguments is None else arguments
    parser = argparse.ArgumentParser(description="Measure a step of fused training.")
    parser.add_argument("--ups", nargs="+", choices=UPS, default=[*UPS])
    parser.add_argument("--depth", type=int, default=4)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--side", type=int, default=160)
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--output", type=Path, default=RESULTS / "fused-training-cpu.json"
    )
    options = parser.parse_args(given)
    torch.set_num_threads(options.threads)
    report: Plain = {
        "command": shlex.join(["python", "-m", "benchmarks.fused_training", *given]),
        "machine": describe_machine(PACKAGES),
        **{name: getattr(options, name) for name in ("depth", "batch", "side")},
        "rounds": options.rounds,
        "threads": options.threads,
        "shares_of_others": {
            name: saved_large(both(spec), spec)["share"]
            for name, fields in OTHERS.items()
            for spec in [NestSpec(**{"depth": options.depth, **fields})]
        },
        "networks": [],
    }
    for up in options.ups:
        spec = NestSpec(depth=options.depth, up=up)
        row = measure(spec, options.batch, options.side, options.rounds)
        report["networks"].append(row)
        write_whole(options.output, json.dumps(report, indent=2) + "\n")
    show(report["networks"])
    shares = report["shares_of_others"]
    print(", ".join(f"{name} {share:.2f}" for name, share in shares.items()))


if __name__ == "__main__":
    main()
