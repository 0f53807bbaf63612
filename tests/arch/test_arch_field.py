"""Receptive fields by formula against the gradient of a pixel, for any spec."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import pytest
import torch
from hypothesis import Phase, assume, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from nestgen.arch.cost import default_size
from nestgen.arch.field import Field, head_fields, node_fields
from nestgen.arch.graph import NestGraph, Node
from nestgen.arch.reach import Span
from nestgen.arch.spec import NestSpec
from nestgen.codegen.load import build
from nestgen.errors import SpecError

Specs = st.SearchStrategy[NestSpec]

NARROW: dict[str, Any] = {"depth": 2, "widths": 2, "in_channels": 1, "pad": False}
PLAIN: dict[str, Any] = {"norm": "none", "bias": True}
SAMPLE = [
    {"dims": 1},
    {"dims": 1, "depth": 3},
    {"dims": 1, "family": "unet"},
    {"dims": 1, "family": "unet+", "up": "linear"},
    {"dims": 1, "up": "nearest", "strides": [3, 2], "kernel_sizes": [1, 3, 5]},
    {"dims": 1, "up": "linear", "strides": [3, 4]},
    {"dims": 1, "up": "pixel-shuffle", "kernel_sizes": 5},
    {"dims": 1, "up": "pixel-shuffle-blur", "strides": [3, 2]},
    {"dims": 1, "skip": "gate"},
    {"dims": 1, "skip": "gate", "strides": [2, 3], "family": "unet-e"},
    {"dims": 1, "family": "unet3+"},
    {"dims": 1, "family": "unet3+", "depth": 3, "up": "nearest", "strides": [2, 3, 2]},
    {
        "dims": 1,
        "family": "custom",
        "edges": [
            ["x0_0", "x1_0"],
            ["x1_0", "x0_1"],
            ["x0_1", "x1_1"],
            ["x1_0", "x2_0"],
            ["x2_0", "x1_1"],
            ["x1_1", "x0_2"],
        ],
    },
    # a gate asks x1_0, which sees less than x0_1, the skip that it weighs
    {
        "dims": 1,
        "skip": "gate",
        "family": "custom",
        "edges": [
            ["x0_0", "x1_0"],
            ["x1_0", "x2_0"],
            ["x2_0", "x1_1"],
            ["x1_1", "x0_1"],
            ["x1_0", "x0_2"],
            ["x0_1", "x0_2"],
        ],
    },
    {},
    {"up": "bilinear", "strides": [[1, 2], 2], "kernel_sizes": [[1, 3], 3, 3]},
    {"dims": 3, "depth": 1, "strides": [[1, 2, 2]], "kernel_sizes": [[1, 3, 3], 3]},
    *(
        {"dims": 1, "depth": 1, "block": {"kind": kind, **PLAIN}}
        for kind in ("double-preact", "residual", "separable", "inverted", "convnext")
    ),
]


def averaging(spec: NestSpec) -> nn.Module:
    """A network of the spec in which every path counts: no rectifiers, means for
    maxima, and convolutions that average with weights of their own."""
    torch.manual_seed(0)
    model = build(spec).eval().double()
    pools = {nn.MaxPool2d: nn.AvgPool2d, nn.MaxPool3d: nn.AvgPool3d}
    for name, module in list(model.named_modules()):
        parent = model.get_submodule(name.rpartition(".")[0])
        child = name.rpartition(".")[2]
        if child == "act":
            setattr(parent, child, nn.Identity())
        elif type(module).__name__ == "MaxPool1d":
            setattr(parent, child, nn.AvgPool1d(module.kernel_size[1]))
        elif type(module) in pools:
            setattr(parent, child, pools[type(module)](module.kernel_size))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.uniform_(0.5, 1.5)
            # biases are small, since the sigmoid of a gate must not saturate
            parameter.div_(parameter[0].numel() if parameter.ndim > 1 else 100)
    return model


def extents(y: Tensor, x: Tensor, pixel: tuple[int, ...]) -> list[int]:
    """By axis, from the first to the last pixel of `x` that `y` sees at `pixel`."""
    (gradient,) = torch.autograd.grad(y[(0, 0, *pixel)], x, retain_graph=True)
    seen = gradient[0].abs().sum(0)
    found = []
    for axis in range(seen.ndim):
        others = [other for other in range(seen.ndim) if other != axis]
        line = seen.sum(others) if others else seen
        # an interpolation's weight that should be zero may be the last digit's error
        places = (line > 1e-12 * line.max()).nonzero().flatten().tolist()
        found.append(places[-1] - places[0] + 1 if places else 0)
    return found


def outputs(
    spec: NestSpec, model: nn.Module, x: Tensor
) -> dict[Node | int, tuple[Tensor, int]]:
    """What each node and each level says of `x`, and in which row."""
    graph, found = NestGraph(spec), dict[Node | int, tuple[Tensor, int]]()

    def keep(node: Node) -> Any:
        return lambda module, inputs, y: found.update({node: (y, node.i)})

    for node in graph.nodes:
        model.get_submodule(node.name).register_forward_hook(keep(node))
    said = model(x)
    for level, y in zip(
        graph.levels, said.values() if isinstance(said, dict) else [said], strict=True
    ):
        found[level] = (y, 0)
    return found


def formula(graph: NestGraph) -> dict[Any, Field]:
    return {**node_fields(graph), **head_fields(graph)}


@pytest.mark.parametrize("fields", SAMPLE, ids=str)
def test_a_pixel_sees_exactly_its_field(fields: dict[str, Any]) -> None:
    spec = NestSpec(**{**NARROW, "block": PLAIN, **fields})
    graph = NestGraph(spec)
    told = formula(graph)
    largest = [
        max(sides) for sides in zip(*(f.pixels for f in told.values()), strict=True)
    ]
    # so large that the pixels of a period in its middle see no border
    size = tuple(
        by * (2 * math.ceil((side / 2 + by) / by) + 1)
        for side, by in zip(largest, graph.multiples, strict=True)
    )
    x = torch.rand(1, 1, *size, dtype=torch.float64, requires_grad=True)
    for what, (y, row) in outputs(spec, averaging(spec), x).items():
        period = graph.scale(graph.depth, row)
        found = []
        for turn in range(max(period)):
            pixel = tuple(
                side // 2 // by * by + turn % by
                for side, by in zip(y.shape[2:], period, strict=True)
            )
            found.append(extents(y, x, pixel))
        assert tuple(map(max, zip(*found, strict=True))) == told[what].pixels, what


def test_the_comparison_can_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    test_a_pixel_sees_exactly_its_field({"dims": 1, "up": "linear"})
    monkeypatch.setattr(Span, "samples", Span.cells)
    with pytest.raises(AssertionError):
        test_a_pixel_sees_exactly_its_field({"dims": 1, "up": "linear"})


@settings(max_examples=40, phases=[Phase.generate])
@given(data=st.data())
def test_a_pixel_never_sees_more(specs: Specs, data: st.DataObject) -> None:
    """Of the network as it is, with its maxima and rectifiers, in any place."""
    whole = data.draw(specs.filter(lambda spec: spec.encoder is None))
    spec = whole.cut(whole.heads[:1])
    graph = NestGraph(spec)
    size = tuple(3 * by for by in graph.multiples)
    assume(math.prod(size) <= 20_000)
    torch.manual_seed(0)
    x = torch.rand(1, spec.in_channels, *size, dtype=torch.float64, requires_grad=True)
    told = formula(graph)
    for what, (y, _) in outputs(spec, build(spec).eval().double(), x).items():
        if not told[what].whole:
            pixel = tuple(data.draw(st.integers(0, side - 1)) for side in y.shape[2:])
            for found, side in zip(
                extents(y, x, pixel), told[what].pixels, strict=True
            ):
                assert found <= side


@pytest.mark.parametrize(
    ("fields", "whole"),
    [
        ({}, False),
        ({"skip": "gate"}, False),
        ({"block": {"norm": "layer"}}, False),
        ({"block": {"norm": "instance"}}, True),
        ({"block": {"norm": "group", "groups": 1}}, True),
        ({"skip": "se"}, True),
    ],
)
def test_numbers_about_the_whole_image_are_told(
    fields: dict[str, Any], whole: bool
) -> None:
    spec = NestSpec(**{**NARROW, "depth": 1, "widths": 4, **fields})
    side = 64
    x = torch.rand(1, 1, side, side, dtype=torch.float64, requires_grad=True)
    y = averaging(spec)(x)
    field = head_fields(NestGraph(spec))[1]
    assert field.whole is whole
    (gradient,) = torch.autograd.grad(y[0, 0, 32, 32], x)
    far = gradient[0, 0, 0, 0].item() != 0 or gradient[0, 0, -1, -1].item() != 0
    assert far is whole


def test_squeeze_and_excite_reaches_what_follows_alone() -> None:
    edges = ["x0_0 x1_0", "x1_0 x2_0", "x1_0 x0_1", "x0_0 x0_1", "x0_1 x1_1"]
    spec = NestSpec(
        family="custom",
        depth=2,
        edges=[tuple(edge.split()) for edge in [*edges, "x2_0 x1_1", "x1_1 x0_2"]],
        skip="se",
    )
    fields = node_fields(NestGraph(spec))
    whole = {node.name for node, field in fields.items() if field.whole}
    assert whole == {"x0_1", "x1_1", "x0_2"}


@given(
    scale=st.integers(2, 9),
    pixels=st.integers(2, 40),
    part=st.floats(0, 1),
    data=st.data(),
)
def test_aligned_samples_are_in_their_span(
    scale: int, pixels: int, part: float, data: st.DataObject
) -> None:
    """Where torch puts the corners of both on each other, whatever the size."""
    p = data.draw(st.integers(0, scale * pixels - 1))
    span = Span(p, p).aligned_samples(scale)
    at = Fraction(p * (pixels - 1), scale * pixels - 1)
    assert span.first <= math.floor(at)
    assert math.ceil(at) <= span.last


def test_aligned_spans_are_no_larger_than_that() -> None:
    """Both ends of a span are read, at one size or another."""
    for scale in (2, 3, 4):
        for inside in range(scale):
            read = set()
            for pixels in range(2, 60):
                for cell in range(1, pixels - 1):
                    p = cell * scale + inside
                    at = Fraction(p * (pixels - 1), scale * pixels - 1)
                    read |= {math.floor(at) - cell, math.ceil(at) - cell}
            span = Span(inside, inside).aligned_samples(scale)
            assert {span.first, span.last} <= read


@pytest.mark.parametrize(
    "fields", [{"depth": 12}, {"depth": 10, "strides": 4, "dims": 1}]
)
def test_deep_networks_are_told(fields: dict[str, Any]) -> None:
    graph = NestGraph(NestSpec(**fields, family="unet"))
    ((_, field),) = head_fields(graph).items()
    assert min(field.pixels) > max(default_size(graph))


def test_periods_without_end_are_refused() -> None:
    graph = NestGraph(NestSpec(depth=4, strides=64))
    with pytest.raises(
        SpecError, match=r"^strides: 16777216 pixels .* at most 1048576$"
    ):
        node_fields(graph)
