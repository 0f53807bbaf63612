"""How fast the command line answers, beside a bare Python and beside `import torch`.

    python benchmarks/startup.py [--runs 11] [--output benchmarks/results/startup.json]

The commands take turns, so that a busy moment of the machine hits them all; what is
told is the median, in seconds, and each command's difference from `python -c pass`.
For `nestgen build` of depth 2 to 12 a line is fitted: what an edge of the graph costs.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nestgen.arch.graph import NestGraph
from nestgen.arch.spec import NestSpec
from nestgen.cli.tables import show_table
from nestgen.files import write_whole
from nestgen.machine import describe_machine

ROOT = Path(__file__).parents[1]
DEPTHS = range(2, 13)
BARE = "python -c pass"
TORCH = 'python -c "import torch"'
PACKAGES = ["click", "jinja2", "networkx", "pydantic", "rich-click", "torch"]

Times = dict[str, list[float]]


def commands() -> list[str]:
    """What is measured, as one would type it."""
    main = ["nestgen --help", "nestgen build --depth 5 --dense --force"]
    return [BARE, TORCH, *main, *map(build_command, DEPTHS)]


def build_command(depth: int) -> str:
    return f"nestgen build --depth {depth} --force"


def argv(command: str) -> list[str]:
    """The command for this interpreter; `nestgen` as its script would start it."""
    first, *rest = shlex.split(command)
    if first == "python":
        return [sys.executable, *rest]
    return [sys.executable, "-c", "from nestgen.cli import main; main()", *rest]


def seconds(command: str, folder: str) -> float:
    """The wall time of one fresh process."""
    variables = {**os.environ, "PYTHONPATH": str(ROOT)}
    started = time.perf_counter()
    subprocess.run(
        argv(command), cwd=folder, env=variables, check=True, stdout=subprocess.DEVNULL
    )
    return time.perf_counter() - started


def measure(runs: int) -> Times:
    """All commands `runs` times, in turn, after one round that warms the caches."""
    times: Times = {command: [] for command in commands()}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(runs + 1):
            for command in times:
                taken = seconds(command, folder)
                if number:
                    times[command].append(taken)
    return times


def summary(times: Times) -> list[dict[str, Any]]:
    """Medians and quartiles, and how they stand to the two commands of Python."""
    medians = {command: statistics.median(taken) for command, taken in times.items()}
    rows = []
    for command, median in medians.items():
        low, _, high = statistics.quantiles(times[command], n=4)
        rows.append(
            {
                "command": command,
                "median_s": round(median, 4),
                "quartiles_s": [round(low, 4), round(high, 4)],
                "minus_bare_s": round(median - medians[BARE], 4),
                "ratio_to_torch": round(median / medians[TORCH], 4),
            }
        )
    return rows


def growth(times: Times) -> dict[str, Any]:
    """The line seconds = start + per_edge * edges through the builds' medians."""
    edges = [len(NestGraph(NestSpec(depth=depth)).edges) for depth in DEPTHS]
    medians = [statistics.median(times[build_command(depth)]) for depth in DEPTHS]
    slope, start = statistics.linear_regression(edges, medians)
    return {
        "depths": list(DEPTHS),
        "edges": edges,
        "median_s": [round(median, 4) for median in medians],
        "start_s": round(start, 4),
        "per_edge_ms": round(1000 * slope, 4),
        "r_squared": round(statistics.correlation(edges, medians) ** 2, 4),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Measure how fast nestgen starts.")
    results = ROOT / "benchmarks" / "results" / "startup.json"
    parser.add_argument("--runs", type=int, default=11, help="of each command")
    parser.add_argument("--output", type=Path, default=results)
    options = parser.parse_args(arguments)
    before = describe_machine(PACKAGES)
    times = measure(options.runs)
    rows, line = summary(times), growth(times)
    report = {
        "command": f"python benchmarks/startup.py --runs {options.runs}",
        "machine": before,
        "runs": options.runs,
        "commands": rows,
        "growth": line,
    }
    write_whole(options.output, json.dumps(report, indent=2) + "\n")
    show_table(
        ["command", "median s", "minus bare s", "of torch's import"],
        [
            [
                row["command"],
                f"{row['median_s']:.3f}",
                f"{row['minus_bare_s']:+.3f}",
                f"{row['ratio_to_torch']:.2f}",
            ]
            for row in rows
        ],
    )
    print(
        f"build: {line['start_s']:.3f} s + {line['per_edge_ms']:.3f} ms an edge "
        f"(r^2 {line['r_squared']:.3f})"
    )


if __name__ == "__main__":
    main()
