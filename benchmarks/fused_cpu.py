"""How much faster a fused network is on a CPU, by each runtime that can take it.

    python benchmarks/fused_cpu.py [--rounds 15] [--threads 2] [--resume]

Levels of UNet++ as the paper has it (32 channels in row 0, no norm), as nestgen has it
by default (16, batch norm) and with bilinear up-sampling, each cut out, one image,
float32. The network as it is and fused for the runtime run by eager mode, torch.compile
with freezing, ONNX Runtime and OpenVINO, where they are installed. All of them take
turns in each round, so that ratios hold on a busy machine too. Whatever does not give
what eager mode gives, but for rounding, is told and not timed.

The whole question is one ratio: the fastest of the network as it is by the fastest of
the fused. Written after each level, so that `--resume` goes on where a run ended.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn

import nestgen
from nestgen.arch.spec import NestSpec
from nestgen.cli.tables import show_table
from nestgen.codegen.load import build, spec_of
from nestgen.errors import NestgenError
from nestgen.files import write_whole
from nestgen.inference.backend import Backend, Case, Ready
from nestgen.inference.backends import BACKENDS, missing_backends
from nestgen.inference.bench import prepare
from nestgen.inference.spread import Spread, spread_of
from nestgen.machine import describe_machine
from nestgen.surgery.cut import prune
from nestgen.training.timing import CPU, time_in_turn

RESULTS = Path(__file__).parent / "results"
NETWORKS: dict[str, Callable[[], NestSpec]] = {
    "zhou2018": lambda: NestSpec.preset("zhou2018", depth=4, in_channels=1),
    "default": lambda: NestSpec(depth=4),
    "bilinear": lambda: NestSpec(depth=4, up="bilinear"),
}
PACKAGES = ["nestgen", "torch", "onnx", "onnxruntime", "openvino"]
TARGETS = {
    "channels_last": "eager",
    "compile": "compile",
    "onnxruntime": "onnxruntime",
    "openvino": "openvino",
}
"""What a network is fused for, by the backend that then runs it."""
ROUTES = {name: BACKENDS[name] for name in ("eager", *TARGETS)}
ASKED = 1.2

AS_IS, FUSED = KINDS = ("as it is", "fused")
Route = tuple[str, str]
"""One of these kinds of network, and a backend."""
Seconds = Mapping[Route, Sequence[float]]
Plain = dict[str, Any]


def network(name: str) -> nn.Module:
    """A network with weights as of training: no norm is the identity, no bias zero."""
    torch.manual_seed(0)
    model = build(NETWORKS[name]())
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.get_buffer("running_mean"), std=0.1)
            nn.init.uniform_(module.get_buffer("running_var"), 0.5, 1.5)
        bias = getattr(module, "bias", None)
        if isinstance(bias, Tensor):
            nn.init.normal_(bias, std=0.1)
    return model.eval()


def measure(model: nn.Module, level: int, side: int, rounds: int) -> Plain:
    """One level at one size: all routes take turns."""
    cut = prune(model, level).eval()
    x = torch.randn(1, spec_of(model).in_channels, side, side)
    routes = prepared(cut, x)
    runs = {
        route: made.run for route, made in routes.items() if isinstance(made, Ready)
    }
    seconds = time_in_turn(runs, rounds)
    for backend in ROUTES.values():
        backend.forget()
    best = {kind: fastest(seconds, kind) for kind in KINDS}
    return {
        "level": f"L{level}",
        "size": side,
        "milliseconds": {
            kind: {
                backend: rounded(spread_of([1000 * each for each in taken]))
                for (own, backend), taken in seconds.items()
                if own == kind
            }
            for kind in KINDS
        },
        "left_out": {
            " ".join(route): reason
            for route, reason in routes.items()
            if isinstance(reason, str)
        },
        "times_faster": {
            backend: ratio(seconds, (AS_IS, backend), (FUSED, backend))
            for backend in TARGETS
            if {(AS_IS, backend), (FUSED, backend)} <= set(seconds)
        },
        "best": {kind: backend for kind, (_, backend) in best.items()},
        "best_by_best": ratio(seconds, best[AS_IS], best[FUSED]),
    }


def prepared(cut: nn.Module, x: Tensor) -> dict[Route, Ready | str]:
    """Each route with what is left to do for a pass, or why it is left out."""
    with torch.inference_mode():
        expected = cut(x)
    missing = missing_backends(CPU)
    routes: dict[Route, Ready | str] = {}
    for name, backend in ROUTES.items():
        if name in missing:
            routes[AS_IS, name] = missing[name]
            continue
        routes[AS_IS, name] = prepare(backend, Case(cut, x), expected)
        if name in TARGETS:
            routes[FUSED, name] = fused(name, backend, cut, x, expected)
    return routes


def fused(
    name: str, backend: Backend, cut: nn.Module, x: Tensor, expected: Any
) -> Ready | str:
    try:
        module = nestgen.fuse(cut, x[..., :64, :64], target=TARGETS[name])
    except NestgenError as error:
        return str(error)
    return prepare(backend, Case(module, x), expected)


def fastest(seconds: Seconds, kind: str) -> Route:
    routes = [route for route in seconds if route[0] == kind]
    return min(routes, key=lambda route: median(seconds[route]))


def ratio(seconds: Seconds, slow: Route, fast: Route) -> Plain:
    """How many times faster `fast` is, as the median over the rounds."""
    pairs = zip(seconds[slow], seconds[fast], strict=True)
    return rounded(spread_of([a / b for a, b in pairs]))


def rounded(spread: Spread) -> Plain:
    return {name: round(number, 3) for name, number in spread.to_plain().items()}


def show(name: str, rows: Sequence[Plain]) -> None:
    """A line for each level: milliseconds of both kinds, the ratio of the bests."""
    show_table(
        ["", *ROUTES, "best by best"],
        [
            [
                f"{row['level']}, {row['size']}x{row['size']}",
                *(cell(row["milliseconds"], backend) for backend in ROUTES),
                verdict(row),
            ]
            for row in rows
        ],
        title=f"{name}: milliseconds {AS_IS} / {FUSED}",
    )


def cell(milliseconds: Plain, backend: str) -> str:
    own = [milliseconds[kind].get(backend) for kind in KINDS]
    return " / ".join("-" if one is None else f"{one['median']:.1f}" for one in own)


def verdict(row: Plain) -> str:
    told = row["best_by_best"]
    enough = "" if told["median"] >= ASKED else " !"
    return f"{told['median']:.2f} ({told['low']:.2f} to {told['high']:.2f}){enough}"


def read_rows(file: Path, settings: Plain) -> dict[str, list[Plain]]:
    """What a run with the same settings has written, by network."""
    if not file.exists():
        return {}
    report = json.loads(file.read_text())
    if {name: report[name] for name in settings} != settings:
        raise SystemExit(f"{file}: was measured with other settings, not resumed")
    found: dict[str, list[Plain]] = report["networks"]
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Measure what fusing gains on a CPU.")
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=[*NETWORKS])
    parser.add_argument("--levels", type=int, nargs="+", default=[1, 2, 3, 4])
    parser.add_argument("--sizes", type=int, nargs="+", default=[256, 512])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--resume", action="store_true", help="what OUTPUT lacks")
    parser.add_argument("--output", type=Path, default=RESULTS / "fused-cpu.json")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    settings = {"rounds": options.rounds, "threads": options.threads}
    rows = read_rows(options.output, settings) if options.resume else {}
    machine = describe_machine(PACKAGES)
    for name, side, level in product(options.networks, options.sizes, options.levels):
        own = rows.setdefault(name, [])
        if any((row["level"], row["size"]) == (f"L{level}", side) for row in own):
            continue
        own.append(measure(network(name), level, side, options.rounds))
        print(name, f"L{level}", side, verdict(own[-1]), flush=True)
        report = {
            "command": f"python benchmarks/fused_cpu.py --rounds {options.rounds} "
            f"--threads {options.threads}",
            "machine": machine,
            **settings,
            "asked": ASKED,
            "networks": rows,
        }
        write_whole(options.output, json.dumps(report, indent=2) + "\n")
    for name, own in rows.items():
        show(name, own)


if __name__ == "__main__":
    main()
