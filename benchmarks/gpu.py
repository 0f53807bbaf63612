"""Check and time the fused hot path on a GPU, in less than ten minutes.

    python -m benchmarks.gpu [--minutes 9] [--out benchmarks/results/gpu.json]
    python -m benchmarks.gpu --toy

First whether everything is right: each kernel in each configuration that is shipped,
in four formats, at sizes that fit no block, against float64, on memory that was NaN
before; up-sampling, gradients, whole networks. What is wrong is told, not timed.

Then what decides whether kernels can win: bandwidths, cuDNN's convolutions, the kernels
by themselves. Then UNet++, fused by choices that are measured on the way, beside eager
PyTorch in channels_last, torch.compile and TensorRT; the most important network first,
then its training, then the others until the time is over.

Every result is in the file as soon as it is there, and so are the choices, and what was
not reached. GB/s and TFLOP/s are those of the least that the network can be computed
with (benchmarks/roofline.py), over the measured time: one yardstick for all styles.
--toy runs all of it on a CPU, kernels under Triton's interpreter: its times mean
nothing.
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nestgen.cli.tables import show_table
from nestgen.errors import NestgenError
from nestgen.machine import describe_machine

if TYPE_CHECKING:
    from benchmarks.on_gpu.session import Session

ROOT = Path(__file__).parents[1]
OUT = ROOT / "benchmarks" / "results" / "gpu.json"
PACKAGES = ["torch", "triton", "torch_tensorrt", "nestgen"]
DRIVER = ["nvidia-smi", "--query-gpu=name,driver_version,clocks.max.sm", "--format=csv"]


def measure(session: Session) -> None:
    """All parts, the most important first; where one ends early, the others go on."""
    from benchmarks.on_gpu import correct, facts, networks, training

    wrong: set[tuple[str, str]] = set()
    first, *others = networks.cases(session)
    tuning = networks.new_tuning(session)
    parts: tuple[tuple[str, Callable[[], None]], ...] = (
        ("correct", lambda: correct.check(session, wrong)),
        ("facts", lambda: facts.measure(session, wrong)),
        ("the first network", lambda: networks.measure(session, [first], tuning)),
        ("training", lambda: training.measure(session, first)),
        ("the other networks", lambda: networks.measure(session, others, tuning)),
    )
    for name, run in parts:
        with session.guarded("parts", what=name):
            run()
    session.told["finished"] = "parts" not in session.told
    session.write()


def described(arguments: Sequence[str], toy: bool) -> dict[str, Any]:
    """The machine, its GPU and versions, and the command."""
    return {
        "command": shlex.join(["python", "-m", "benchmarks.gpu", *arguments]),
        "toy": toy,
        "machine": describe_machine(PACKAGES),
        "gpu": None if toy else _gpu(),
    }


def _gpu() -> dict[str, Any]:
    import torch

    known: Any = torch
    of_device: Any = torch.cuda.get_device_properties(0)
    try:
        asked = subprocess.run(DRIVER, capture_output=True, text=True, timeout=20)
        driver = asked.stdout.strip().splitlines()[-1:]
    except (OSError, subprocess.TimeoutExpired):
        driver = []
    return {
        "name": of_device.name,
        "bytes": of_device.total_memory,
        "processors": of_device.multi_processor_count,
        "driver": driver,
        "cuda": torch.version.cuda or torch.version.hip,
        "cudnn": known.backends.cudnn.version(),
    }


def show(told: dict[str, Any]) -> None:
    """Print the results as tables."""
    checks = told.get("correct", [])
    wrong = [row for row in checks if row.get("wrong") or "failed" in row]
    print(f"{len(checks)} checks, {len(wrong)} of them failed")
    for row in wrong:
        print(f"wrong: {row['what']}: {row.get('wrong') or row['failed']}")
    show_table(
        ["fact", "ms", "GB/s", "TFLOP/s"],
        [[row["what"], *_numbers(row)] for row in told.get("facts", [])],
    )
    for part in ("networks", "training"):
        show_table(
            [part, "style", "ms", "GB/s", "TFLOP/s", "of the roofline", "peak MiB"],
            [_network_row(row) for row in told.get(part, [])],
        )
    for row in told.get("parts", []):
        print(f"ended early: {row['what']}: {row['failed']}")
    print(f"choices measured: {len(told.get('choices', []))}")
    if told["not_reached"]:
        print(f"not reached: {len(told['not_reached'])}, see the file")


def _numbers(row: dict[str, Any]) -> list[str]:
    if "ms" not in row:
        return [str(row.get("failed") or row.get("left_out")), "-", "-"]
    rates = (row.get(name) for name in ("GB/s", "TFLOP/s"))
    return [f"{row['ms']:.3f}", *("-" if r is None else f"{r:.1f}" for r in rates)]


def _network_row(row: dict[str, Any]) -> list[str]:
    name = f"L{row['level']} {row['up']} {row['side']} x {row['batch']}"
    share, peak = row.get("share_of_roofline"), row.get("peak_MiB")
    return [
        name,
        row.get("style", "-"),
        *_numbers(row),
        "-" if share is None else f"{100 * share:.0f} %",
        "-" if peak is None else f"{peak:.0f}",
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    given = sys.argv[1:] if arguments is None else list(arguments)
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=9.0, help="of the budget")
    parser.add_argument("--out", type=Path, help=f"the file of results  [{OUT.name}]")
    parser.add_argument("--toy", action="store_true", help="tiny, on the CPU")
    options = parser.parse_args(given)
    if not 0 < options.minutes <= 24 * 60:
        parser.error(f"--minutes: {options.minutes} is not allowed, above 0, to 1440")
    if options.toy:  # settled when triton is imported, by torch too
        os.environ["TRITON_INTERPRET"] = "1"
    import torch

    from benchmarks.on_gpu.session import Session

    if options.out is None:  # toys stay apart from what was measured
        options.out = Path("gpu-toy.json") if options.toy else OUT
    if not options.toy and not torch.cuda.is_available():
        parser.error("no GPU is here; --toy runs on a CPU")
    device = torch.device("cpu" if options.toy else "cuda")
    session = Session(
        options.out,
        described(given, options.toy),
        device=device,
        minutes=options.minutes,
        toy=options.toy,
    )
    try:
        measure(session)
    except KeyboardInterrupt:
        print("interrupted; what was measured is kept", file=sys.stderr)
    except NestgenError as error:
        parser.error(str(error))
    show(session.told)
    print(f"wrote {options.out}")


if __name__ == "__main__":
    main()
