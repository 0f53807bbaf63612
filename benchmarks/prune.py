"""What a cut saves: do time and bytes fall as the costs by formula promise?

    python benchmarks/prune.py [--rounds 20] [--threads 2]

UNet++ of depth 3 to 6 with 16 channels in row 0, and of depth 4 with 32, each level cut
out, one image of 3x256x256, float32, on the CPU, in eager mode with both layouts in
memory. Time is promised to fall as the MACs do, bytes of the checkpoint as the
parameters do; kept is what was measured as a share of that, and 0.85 is asked for.

The reason for what is missing is looked for in the whole network, part by part: a node
costs there what it costs in a cut, so the share of a level's nodes in the time of all
is what a cut can reach. Writes benchmarks/results/prune-cpu.json and .svg.
"""

from __future__ import annotations

import argparse
import copy
import json
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import nn

from nestgen.arch.cost import head_cost, level_costs, node_cost
from nestgen.arch.graph import NestGraph
from nestgen.arch.spec import NestSpec
from nestgen.checkpoint import save
from nestgen.cli.tables import count, show_table
from nestgen.codegen.load import build
from nestgen.files import write_whole
from nestgen.inference.bench import Row, bench
from nestgen.machine import describe_machine
from nestgen.surgery.cut import prune
from nestgen.training.plot import INK, OTHER, write_figure

RESULTS = Path(__file__).parent / "results"
NETWORKS = [(3, 16), (4, 16), (5, 16), (6, 16), (4, 32)]
"""Depths, and channels in row 0."""
SIZE = (256, 256)
LAYOUTS = {"eager": torch.contiguous_format, "channels_last": torch.channels_last}
"""By the backends that use them."""
ASKED = 0.85
PACKAGES = ["nestgen", "torch", "numpy"]
KINDS = {
    nn.Conv2d: "convolutions",
    nn.ConvTranspose2d: "transposed convolutions",
    nn.BatchNorm2d: "norms",
    nn.ReLU: "ReLU",
    nn.MaxPool2d: "max pooling",
}
"""Of layers, but for the first convolution, which reads three channels."""

Plain = dict[str, Any]


def measure(depth: int, width: int, rounds: int) -> Plain:
    """One network: its levels, and in which rows its time goes."""
    torch.manual_seed(0)
    spec = NestSpec(depth=depth, widths=width)
    model = build(spec).eval()
    found = bench(model, sizes=[SIZE], backends=list(LAYOUTS), rounds=rounds)
    rows = {(row.network, row.backend): row for row in found.rows}
    parts = {name: part_times(model, name, rounds) for name in LAYOUTS}
    graph, costs = NestGraph(spec), level_costs(NestGraph(spec), SIZE)
    sizes = {level: file_bytes(prune(model, level)) for level in spec.heads}
    top = spec.heads[-1]
    levels = []
    for level in spec.heads:
        promised = costs[top].macs / costs[level].macs
        of_parameters = costs[top].parameters / costs[level].parameters
        levels.append(
            {
                "level": f"L{level}",
                "parameters": costs[level].parameters,
                "macs": costs[level].macs,
                "file_bytes": sizes[level],
                "promised_by_parameters": round(of_parameters, 3),
                "kept_in_bytes": round(sizes[top] / sizes[level] / of_parameters, 3),
                "promised_by_macs": round(promised, 3),
                **{
                    name: time_of(
                        rows[f"L{level}", name],
                        promised,
                        reachable(graph, level, parts[name]),
                    )
                    | {"share_of_time": by_layer(graph, level, parts[name])}
                    for name in LAYOUTS
                },
            }
        )
    return {
        "depth": depth,
        "widths": list(spec.widths),
        "levels": levels,
        "rows": {name: row_rates(graph, parts[name]) for name in LAYOUTS},
    }


def time_of(row: Row, promised: float, reachable: float) -> Plain:
    """How much faster a level is than the whole, as a share of the promise too."""
    (speedup,) = row.speedups.values()
    return {
        "milliseconds": round(1000 * row.seconds.median, 3),
        "interval_ms": [
            round(1000 * row.seconds.low, 3),
            round(1000 * row.seconds.high, 3),
        ],
        "peak_bytes": row.peak_bytes,
        "speedup": round(speedup.median, 3),
        "speedup_interval": [round(speedup.low, 3), round(speedup.high, 3)],
        "kept": round(speedup.median / promised, 3),
        "kept_by_its_nodes": round(reachable / promised, 3),
    }


def file_bytes(model: nn.Module) -> int:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.pt"
        save(model, file)
        return file.stat().st_size


@dataclass(frozen=True)
class Part:
    """A node with what brings it its inputs, or a head: seconds, and by layer."""

    seconds: float
    layers: dict[str, float]


def part_times(model: nn.Module, backend: str, rounds: int) -> dict[str, Part]:
    """Where the time of a pass goes; what comes before a node's end is the node's."""
    layout = LAYOUTS[backend]
    whole = copy.deepcopy(model).to(memory_format=layout)  # type: ignore[call-overload]
    x = torch.randn(1, 3, *SIZE).to(memory_format=layout)
    passes = []
    with torch.inference_mode():
        for _ in range(2 + rounds):
            with watched(whole) as watch:
                whole(x)
            passes.append(watch.parts)
    return {
        name: Part(
            median(each[name].seconds for each in passes[2:]),
            {
                layer: median(each[name].layers[layer] for each in passes[2:])
                for layer in part.layers
            },
        )
        for name, part in passes[0].items()
    }


class Watch:
    """Notes when parts end, and how long the layers in them take."""

    def __init__(self) -> None:
        self.parts: dict[str, Part] = {}
        self.layers: dict[str, float] = defaultdict(float)
        self.entered = 0.0
        self.last = time.perf_counter()

    def end_part(self, name: str) -> None:
        now = time.perf_counter()
        self.parts[name] = Part(now - self.last, dict(self.layers))
        self.layers.clear()
        self.last = time.perf_counter()

    def enter(self) -> None:
        self.entered = time.perf_counter()

    def leave(self, kind: str) -> None:
        self.layers[kind] += time.perf_counter() - self.entered


@contextmanager
def watched(model: nn.Module) -> Iterator[Watch]:
    watch, hooks = Watch(), []
    for name, module in model.named_modules():
        if not list(module.children()):
            kind = "first convolution" if name == "x0_0.conv1" else KINDS[type(module)]
            hooks.append(module.register_forward_pre_hook(lambda *_: watch.enter()))
            hooks.append(
                module.register_forward_hook(lambda *_, kind=kind: watch.leave(kind))
            )
    for name, child in model.named_children():
        if name.startswith(("x", "head_")):
            hooks.append(
                child.register_forward_hook(lambda *_, name=name: watch.end_part(name))
            )
    yield watch
    for hook in hooks:
        hook.remove()


def parts_of(graph: NestGraph, level: int) -> list[str]:
    return [node.name for node in graph.needed(level)] + [f"head_L{level}"]


def reachable(graph: NestGraph, level: int, parts: dict[str, Part]) -> float:
    """The speed-up of a cut whose nodes take what they take in the whole network."""
    top, own = (
        sum(parts[name].seconds for name in parts_of(graph, k))
        for k in (graph.levels[-1], level)
    )
    return top / own


def by_layer(graph: NestGraph, level: int, parts: dict[str, Part]) -> Plain:
    """The shares of the kinds of layers in the time of a level's parts."""
    own = [parts[name] for name in parts_of(graph, level)]
    whole = sum(part.seconds for part in own)
    shares: dict[str, float] = defaultdict(float)
    for part in own:
        for kind, seconds in part.layers.items():
            shares[kind] += seconds / whole
    shares["concatenation and the rest"] = 1 - sum(shares.values())
    return {kind: round(share, 3) for kind, share in shares.items()}


def row_rates(graph: NestGraph, parts: dict[str, Part]) -> list[Plain]:
    """MACs a second of each row; heads are row 0's."""
    priced = [(node.name, node.i, node_cost(graph, node, SIZE)) for node in graph.nodes]
    priced += [(f"head_L{k}", 0, head_cost(graph, k, SIZE)) for k in graph.levels]
    seconds: dict[int, float] = defaultdict(float)
    macs: dict[int, int] = defaultdict(int)
    for name, row, cost in priced:
        seconds[row] += parts[name].seconds
        macs[row] += cost.macs
    return [
        {
            "row": row,
            "share_of_macs": round(macs[row] / sum(macs.values()), 3),
            "share_of_time": round(seconds[row] / sum(seconds.values()), 3),
            "gmacs_per_second": round(macs[row] / seconds[row] / 1e9, 1),
        }
        for row in sorted(macs)
    ]


def reason(level: Plain, whole: Plain, backend: str) -> str:
    """Why a level keeps less than is asked for: what takes more of it than of all."""
    own, all_of_it = (each[backend]["share_of_time"] for each in (level, whole))
    more = sorted(own, key=lambda kind: all_of_it[kind] - own[kind])[:3]
    shares = ", ".join(f"{k} {own[k]:.0%} ({all_of_it[k]:.0%})" for k in more)
    allowed = level[backend]["kept_by_its_nodes"]
    return f"its nodes allow {allowed:.2f}; of its time (the whole's): {shares}"


def shortfalls(network: Plain) -> list[str]:
    """The levels that keep less than is asked for, a line for each."""
    what = f"depth {network['depth']}, {network['widths'][0]} channels"
    *_, whole = network["levels"]
    return [
        f"{what}, {level['level']}, {name}: {level[name]['kept']:.2f}; "
        f"{reason(level, whole, name)}"
        for level in network["levels"]
        for name in LAYOUTS
        if level[name]["kept"] < ASKED
    ]


def show(network: Plain) -> None:
    title = f"depth {network['depth']}, {network['widths'][0]} channels in row 0"
    levels = network["levels"]
    show_table(
        ["level", "parameters", "fewer", "bytes", "kept", "peak memory, bytes"],
        [
            [
                level["level"],
                count(level["parameters"]),
                f"{level['promised_by_parameters']:.1f}",
                count(level["file_bytes"]),
                f"{level['kept_in_bytes']:.2f}",
                count(level["eager"]["peak_bytes"]),
            ]
            for level in levels
        ],
        title=title,
    )
    for name in LAYOUTS:
        show_table(
            ["level", "fewer MACs", "ms", "times faster", "kept", "its nodes allow"],
            [
                [
                    level["level"],
                    f"{level['promised_by_macs']:.2f}",
                    *cells(level[name]),
                ]
                for level in levels
            ],
            title=f"{title}, {name}",
        )


def cells(told: Plain) -> list[str]:
    low, high = told["speedup_interval"]
    return [
        f"{told['milliseconds']:.1f}",
        f"{told['speedup']:.2f} ({low:.2f} to {high:.2f})",
        f"{told['kept']:.2f}{'' if told['kept'] >= ASKED else ' !'}",
        f"{told['kept_by_its_nodes']:.2f}",
    ]


def plot(networks: Sequence[Plain], path: Path) -> None:
    """Measured against promised speed-ups, a panel for each layout."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    colours = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00"]
    with mpl.rc_context({"font.size": 10, "svg.hashsalt": "nestgen"}):
        figure = Figure(figsize=(9.5, 4.3), layout="constrained")
        panels = figure.subplots(1, len(LAYOUTS), sharey=True, sharex=True)
        for axes, name in zip(panels, LAYOUTS, strict=True):
            line = [1, 25]
            axes.plot(line, line, color=OTHER, linewidth=0.9)
            axes.plot(line, [ASKED * x for x in line], "--", color=OTHER, linewidth=0.9)
            for network, colour in zip(networks, colours, strict=False):
                levels = network["levels"]
                axes.plot(
                    [level["promised_by_macs"] for level in levels],
                    [level[name]["speedup"] for level in levels],
                    "o-",
                    color=colour,
                    markersize=5,
                    linewidth=1,
                    label=f"depth {network['depth']}, {network['widths'][0]} channels",
                )
            axes.set(xscale="log", yscale="log", title=name)
            axes.set_xlabel("times fewer MACs than the whole")
            axes.set_xticks([1, 2, 5, 10, 20], ["1", "2", "5", "10", "20"])
            axes.set_yticks([1, 2, 5, 10, 20], ["1", "2", "5", "10", "20"])
            axes.minorticks_off()
            axes.spines[["top", "right"]].set_visible(False)
            axes.grid(color="#EEEEEE")
            axes.tick_params(colors=INK)
        panels[0].set_ylabel("times faster than the whole")
        panels[0].legend(frameon=False, fontsize=8)
        figure.supxlabel(
            f"lines: all of what the MACs promise, and {ASKED} of it",
            fontsize=8,
            color=OTHER,
        )
        write_figure(figure, path)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Measure what a cut saves.")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--output", type=Path, default=RESULTS / "prune-cpu.json")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    machine = describe_machine(PACKAGES)
    networks = [measure(depth, width, options.rounds) for depth, width in NETWORKS]
    missing = [line for network in networks for line in shortfalls(network)]
    report = {
        "command": f"python benchmarks/prune.py --rounds {options.rounds} "
        f"--threads {options.threads}",
        "machine": machine,
        "input": [1, 3, *SIZE],
        "asked": ASKED,
        "networks": networks,
        "below": missing,
    }
    write_whole(options.output, json.dumps(report, indent=2) + "\n")
    plot(networks, options.output.with_suffix(".svg"))
    for network in networks:
        show(network)
    for line in missing:
        print(line)


if __name__ == "__main__":
    main()
