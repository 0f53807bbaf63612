"""The model of a network's kernels counts what the formulas of its cost count."""

from __future__ import annotations

import doctest
import json
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from benchmarks import roofline
from benchmarks.roofline import DEVICES, STYLES, Case, Kernel, Run, Total, saved
from nestgen.arch.cost import graph_cost
from nestgen.arch.graph import NestGraph, Node
from nestgen.arch.memory import memory
from nestgen.arch.spec import NestSpec

PAPER = NestSpec(widths=32, block={"bias": True})
GIGA, MILLI, GIBI = 1e9, 1e-3, 2**30


def case(spec: NestSpec, side: int = 512, batch: int = 8) -> Case:
    graph = NestGraph(spec)
    return Case(graph, (side, side), batch, "bfloat16", DEVICES["h100"])


def total(of: Case, style: str, level: int) -> Total:
    return of.total(of.kernels(style, level))


def test_examples() -> None:
    assert doctest.testmod(roofline).failed == 0


@pytest.mark.parametrize(
    ("style", "numbers", "flops"),
    [
        (
            "eager",
            [
                *(17, *[8] * 3, 17, *[8] * 3),  # x0_0: 4 pixels, 9 weights
                *(5, 21, *[4] * 3, 40, *[4] * 3),  # x1_0: pool, 18 and 36 weights
                *(15, 8, 16, 30, *[8] * 3, 17, *[8] * 3, 10),  # up, bias, cat; head
            ],
            [72, 72, 36, 72, 16, 144, 72, 8],
        ),
        (
            "compile",
            # x0_0 is written into one concatenation, and once for pooling
            [17, 8, 17, 12, 5, 21, 4, 40, 4, 15, 8, 30, 8, 17, 8, 10],
            [72, 72, 36, 72, 16, 144, 72, 8],
        ),
        (
            "fused",
            # pooled in x0_0's second; 41 weights and 9 biases, 1x1 head, no features
            [18, 18 + 1, 23, 42, 4 + 2 + 4 + 41 + 9, 4 + 4 + 12],
            [72, 72, 36, 72, 2 * 4 * (9 + 4 * 2), 2 * 4 * (9 + 1)],
        ),
        (
            "node",
            # what is between two convolutions is neither written nor read
            [18 + 19 - 8, 23 + 42 - 4, 60 + 20 - 8],
            [144, 108, 136 + 80],
        ),
    ],
)
def test_smallest_network_by_hand(
    style: str, numbers: list[int], flops: list[int]
) -> None:
    """Rows of 1 and 2 channels, of 2x2 and 1x1 pixels, one image, 4 bytes a number."""
    spec = NestSpec(depth=1, widths=1, in_channels=1, block={"bias": True})
    kernels = Run(NestGraph(spec), STYLES[style], (2, 2), 1, 4).kernels
    assert [kernel.moved for kernel in kernels] == [4 * count for count in numbers]
    assert [kernel.flops for kernel in kernels if kernel.flops] == flops


@pytest.mark.parametrize(
    ("style", "fields", "names"),
    [
        ("eager", {}, "up, up bias, cat, conv1, norm, act, conv2, norm, act, head"),
        (
            "eager",
            {"up": "nearest", "block": {"bias": True}},
            "up, cat, conv1, bias, norm, act, conv2, bias, norm, act, head",
        ),
        (
            "folded",
            {"up": "bilinear"},
            "up, cat, conv1, bias, act, conv2, bias, act, head",
        ),
        (
            "folded",
            {"block": {"norm": "none"}},
            "up, up bias, cat, conv1, act, conv2, act, head",
        ),
        (
            "compile",
            {},
            "up, up bias, conv1, bias norm act, conv2, bias norm act, head",
        ),
        ("conv_ep", {}, "up, conv1, conv2, head"),
        ("fused", {"up": "nearest"}, "conv1, conv2"),
        ("blocked", {"up": "bilinear"}, "up, conv1, conv2"),
        ("node", {}, "conv1 conv2"),
    ],
)
def test_kernels_of_a_node(style: str, fields: dict[str, Any], names: str) -> None:
    spec = NestSpec(**{"depth": 1, **fields})
    kernels = Run(NestGraph(spec), STYLES[style], (2, 2), 1, 4).kernels
    assert ", ".join(k.name for k in kernels if k.node == Node(0, 1)) == names


def test_loads_by_hand() -> None:
    """Of the fused node of two rows: 9 skip and 4 low loads, 50 weights for a tile."""
    spec = NestSpec(depth=1, widths=1, in_channels=1, block={"bias": True})
    for style, loads in (("fused", 9 + 4 * 2), ("blocked", 4 + 2.25 * 2)):
        first = Run(NestGraph(spec), STYLES[style], (2, 2), 1, 4).kernels[4]
        assert first.loaded == 4 * (4 * loads + 4 * 50 / 256)


NOTED = [
    ("eager", [6.66, 12.60, 19.67, 27.71], [2.22, 4.27, 6.83, 9.90]),
    ("folded", [5.32, 10.32, 16.38, 23.38], [1.78, 3.51, 5.73, 8.45]),
    ("compile", [3.57, 6.76, 10.64, 15.14], [1.20, 2.32, 3.82, 5.71]),
    ("conv_ep", [1.83, 3.47, 5.44, 7.71], [0.61, 1.23, 2.08, 3.23]),
    ("fused", [1.16, 2.33, 3.80, 5.55], [0.39, 0.85, 1.54, 2.51]),
]
"""GB and the floor's milliseconds of L1 to L4, 512x512, batch 8, bfloat16, H100."""


@pytest.mark.parametrize(("style", "giga", "floors"), NOTED)
def test_levels_of_the_paper(
    style: str, giga: list[float], floors: list[float]
) -> None:
    totals = [total(case(PAPER), style, level) for level in range(1, 5)]
    near = 0.0055  # they are rounded twice
    assert [each.moved / GIGA for each in totals] == pytest.approx(giga, abs=near)
    assert [each.floor / MILLI for each in totals] == pytest.approx(floors, abs=near)


def test_the_fourth_level_of_the_paper() -> None:
    counts = {"eager": 155, "folded": 125, "compile": 85, "conv_ep": 45, "fused": 30}
    with_caches = {"eager": 14.9, "compile": 10.7, "conv_ep": 8.2, "fused": 8.2}
    with_caches["blocked"] = 5.05
    whole = {style: total(case(PAPER), style, 4) for style in STYLES}
    assert {style: whole[style].kernels for style in counts} == counts
    told = {style: whole[style].estimate / MILLI for style in with_caches}
    assert told == pytest.approx(with_caches, abs=0.05)
    assert round(whole["eager"].flops / GIGA) == 1906


@pytest.mark.parametrize(("up", "eager"), [("transpose", 6.84), ("nearest", 7.60)])
def test_saved_activations_of_the_paper(up: str, eager: float) -> None:
    kept = case(PAPER.replace(up=up)).saved(4)
    parts = (kept.eager, kept.in_place, kept.convolutions)
    assert [part / GIBI for part in parts] == pytest.approx(
        [eager, 4.13, 2.06], abs=0.005
    )


NETWORKS: list[dict[str, Any]] = [
    *({"family": name} for name in ("unet", "unet-e", "unet+", "unet++")),
    {"up": "nearest", "concat": "up-last", "classes": 3},
    {"up": "bilinear-aligned", "node_widths": {"x0_2": 7}},
    {"up_widths": [5, 6, 7], "heads": [1, 3], "widths": [3, 5, 6, 9]},
    {"block": {"norm": "none", "bias": True}, "in_channels": 1},
]


@pytest.mark.parametrize("fields", NETWORKS, ids=str)
def test_products_are_those_of_the_costs(fields: dict[str, Any]) -> None:
    graph = NestGraph(NestSpec(**{"depth": 3, "widths": 4, **fields}))
    macs = graph_cost(graph, (16, 24)).macs
    for style in ("eager", "folded", "compile", "conv_ep"):
        kernels = Run(graph, STYLES[style], (16, 24), 2, 2).kernels
        assert sum(kernel.flops for kernel in kernels) == 2 * 2 * macs


@pytest.mark.parametrize("fields", NETWORKS, ids=str)
def test_saved_is_what_a_rehearsal_keeps(fields: dict[str, Any]) -> None:
    """In float32, but for the norms' statistics, a mean and a deviation a channel."""
    graph = NestGraph(NestSpec(**{"depth": 3, "widths": 4, **fields}))
    statistics = 2 * 2 * 4 * sum(graph.width(node) for node in graph.nodes)
    if graph.spec.block.norm == "none":
        statistics = 0
    rehearsed = memory(graph, (16, 24), batch_size=2).activations
    assert saved(graph, (16, 24), 2, 4).eager + statistics == rehearsed


@pytest.mark.parametrize("fields", NETWORKS, ids=str)
def test_each_style_moves_less_than_the_one_before(fields: dict[str, Any]) -> None:
    graph = NestGraph(NestSpec(**{"depth": 3, "widths": 4, **fields}))
    order = ("eager", "folded", "compile", "conv_ep", "fused", "node")
    moved = [
        sum(kernel.moved for kernel in Run(graph, STYLES[s], (64, 64), 2, 2).kernels)
        for s in order
    ]
    folds = graph.spec.block.norm == "batch" and graph.spec.block.bias
    for (before, after), (a, b) in zip(pairwise(order), pairwise(moved), strict=True):
        assert b < a or (not folds and (before, after) == ("eager", "folded")), after


def test_seconds_follow_the_scarcest() -> None:
    kernel = Kernel(NestGraph(PAPER).nodes[0], "", moved=6, flops=8, loaded=20)
    device = replace(DEVICES["a100"], bandwidth=2.0, l2=4.0, peak={"tf32": 4.0})
    assert (kernel.floor(device, "tf32"), kernel.estimate(device, "tf32")) == (3.0, 5.0)
    fast = replace(device, bandwidth=4.0)
    assert kernel.floor(fast, "tf32") == 2.0


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        (["--dims", "3"], "dims: 3 is not modelled, 2"),
        (["--family", "unet3+"], "family: 'unet3+' is not modelled, unet, unet-e"),
        (["--norm", "group"], "block.norm: 'group' is not modelled, batch, none"),
        (["--up", "pixel-shuffle"], "up: 'pixel-shuffle' is not modelled, transpose"),
        (["--kernel-sizes", "5"], "kernel_sizes: {(5, 5)} is not modelled"),
        (["--up", "nearest", "--up-widths", "8"], "up_widths: "),
        (["--size", "100"], "size: "),
        (["--bandwidth", "0"], "'0': a rate is above 0"),
    ],
)
def test_refusals_are_one_line(
    fields: list[str], line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "told.json"
    with pytest.raises(SystemExit) as stopped:
        roofline.main([*fields, "--json", str(file)])
    told = capsys.readouterr()
    assert stopped.value.code == 2
    assert told.err.startswith("roofline: ")
    assert line in told.err
    assert told.err.count("\n") == 1
    assert not file.exists()
    assert told.out == ""


def test_json_holds_what_is_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "told.json"
    options = ["--depth", "2", "--size", "64x96", "--batch", "1", "--dtype", "tf32"]
    own = ["--device", "a100", "--bandwidth", "1.5T", "--peak", "100T", "--l2", "3T"]
    roofline.main([*options, *own, "--json", str(file)])
    told, printed = json.loads(file.read_text("utf-8")), capsys.readouterr().out
    assert "64x96, batch 1, tf32; 1.5 TB/s, 100 TFLOP/s, 3 TB/s" in printed
    assert NestSpec(**told["spec"]) == NestSpec(depth=2, widths=32, block=PAPER.block)
    assert [*told["levels"]] == ["L1", "L2"]
    assert all(name in printed for name in told["nodes"])
    for style, whole in told["levels"]["L2"]["styles"].items():
        assert f"{1e3 * whole['floor']:.3f}" in printed
        parts = [styles[style] for styles in told["nodes"].values()]
        for name in ("kernels", "flops", "moved", "floor", "estimate"):
            summed = sum(part[name] for part in parts)
            assert summed == pytest.approx(whole[name], rel=1e-12)


def test_loads_no_torch() -> None:
    program = (
        "import sys; from benchmarks.roofline import main; main(['--depth', '1']); "
        "assert 'torch' not in sys.modules"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", program], cwd=root, check=False)
    assert done.returncode == 0
