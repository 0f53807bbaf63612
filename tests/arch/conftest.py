"""What the tests of specs, graphs and costs draw."""

from __future__ import annotations

import string
from typing import Any, get_args

import pytest
from hypothesis import strategies as st

from nestgen.arch.choices import (
    Activation,
    BlockKind,
    Concat,
    Norm,
    Skip,
    Up,
)
from nestgen.arch.encoders import ENCODERS
from nestgen.arch.families import FAMILIES, FamilyName, inputs_by_rule
from nestgen.arch.grid import Node, triangle
from nestgen.arch.spec import NestSpec
from nestgen.errors import SpecError

_PLAIN = st.characters(exclude_categories=["C", "Z"], exclude_characters='"\\')
_TITLES = st.text(_PLAIN | st.just(" "), max_size=78).map(str.strip).filter(bool)
_DENSE = ("double", "double-preact", "residual")
_RESIDUAL = ("residual", "inverted", "convnext")


@pytest.fixture(scope="session")
def specs() -> st.SearchStrategy[NestSpec]:
    """Specs of every kind, narrow and of depth 1 to 5."""
    return _specs()


@st.composite
def _specs(draw: st.DrawFn) -> NestSpec:
    depth = draw(st.integers(1, 5))
    dims = draw(st.sampled_from([1, 2, 2, 3]))
    groups = draw(st.integers(1, 3))
    rows = st.integers(1, 4).map(lambda times: times * groups)
    inner = draw(st.sets(st.integers(1, depth))) - {depth}
    family = draw(st.sampled_from(get_args(FamilyName)))
    single, full = family == "unet", family == "unet3+"
    others = {1: ("bi", "tri"), 2: ("linear", "tri"), 3: ("linear", "bi")}[dims]
    ups = [up for up in get_args(Up) if not up.startswith(others)]
    if full:
        ups = [up for up in ups if "linear" in up or up == "nearest"]
    fields: dict[str, Any] = {
        "family": family,
        "edges": _edges(draw, depth) if family == "custom" else None,
        "depth": depth,
        "dims": dims,
        "widths": draw(st.tuples(*[rows] * (depth + 1))),
        "strides": draw(_rows(depth, dims, (2, 2, 3))),
        "kernel_sizes": draw(_rows(depth + 1, dims, (1, 3))),
        "in_channels": draw(st.integers(1, 5)),
        "classes": draw(st.integers(1, 4)),
        "up": draw(st.sampled_from(ups)),
        "concat": draw(st.sampled_from(get_args(Concat)))
        if family != "custom"
        else "up-first",
        "skip": "plain" if full else draw(st.sampled_from(get_args(Skip))),
        "heads": [depth] if single else [*sorted(inner), depth],
        "trim": True if single else draw(st.booleans()),
        "pad": draw(st.booleans()),
        "name": draw(st.none() | st.text(string.ascii_letters, max_size=9).map(_named)),
        "title": draw(st.none() | _TITLES),
        "block": draw(_blocks(groups)),
    }
    backbone = draw(st.sampled_from([None, None, None, *ENCODERS]))
    if backbone and depth <= ENCODERS[backbone].deepest:
        stages = ENCODERS[backbone].names(depth)
        fields["encoder"] = backbone
        fields["node_widths"] = {node: 4 * draw(rows) for node in stages}
    elif not full and draw(st.booleans()):
        fields["up_widths"] = draw(st.tuples(*[rows] * depth))
        fields["node_widths"] = {"x0_0": draw(rows), f"x{depth}_0": draw(rows)}
    if family == "custom" and draw(st.booleans()):
        return _freely(draw, fields)
    return NestSpec(**fields)


def _freely(draw: st.DrawFn, fields: dict[str, Any]) -> NestSpec:
    """With edges of any kind, where they make a network; else as the fields are."""
    free = {name: value for name, value in fields.items() if name != "heads"}
    try:
        return NestSpec(**{**free, "edges": _any_edges(draw, fields["depth"])})
    except SpecError:
        return NestSpec(**fields)


def _any_edges(draw: st.DrawFn, depth: int) -> list[tuple[str, str]]:
    """Each node, and one beyond the triangle, reads one or two that were before it."""
    nodes, edges = [Node(0, 0)], list[tuple[str, str]]()
    for node in [*triangle(depth)[1:], Node(0, depth + 1)]:
        near = [other for other in nodes if abs(other.i - node.i) <= 1]
        if near and draw(st.integers(0, 4)) > 0:
            chosen = st.lists(
                st.sampled_from(near), min_size=1, max_size=2, unique=True
            )
            edges += [(source.name, node.name) for source in draw(chosen)]
            nodes.append(node)
    return edges


def _rows(rows: int, dims: int, sides: tuple[int, ...]) -> st.SearchStrategy[Any]:
    side = st.sampled_from(sides)
    return side | st.tuples(*[side | st.tuples(*[side] * dims)] * rows)


def _edges(draw: st.DrawFn, depth: int) -> list[tuple[str, str]]:
    """Those of a U-Net^e, and others that lead on."""
    nodes = triangle(depth)
    more = [
        (source.name, target.name)
        for at, target in enumerate(nodes)
        for source in nodes[:at]
        if abs(source.i - target.i) <= 1
    ]
    rule = inputs_by_rule(FAMILIES["unet-e"].rule, depth)
    base = [(source.name, node.name) for node, ins in rule.items() for source in ins]
    extra = draw(st.lists(st.sampled_from(more), unique=True, max_size=6))
    return [*base, *(edge for edge in extra if edge not in base)]


@st.composite
def _blocks(draw: st.DrawFn, groups: int) -> dict[str, Any]:
    kind = draw(st.sampled_from(get_args(BlockKind)))
    norm = draw(st.sampled_from(get_args(Norm)))
    if kind == "double-preact" and norm == "group":
        norm = "batch"
    rate = st.floats(0, 1, exclude_max=True)
    return {
        "kind": kind,
        "norm": norm,
        "activation": draw(st.sampled_from(get_args(Activation))),
        "slope": draw(st.floats(0, 1)),
        "dropout": draw(rate),
        "drop_path": draw(rate) if kind in _RESIDUAL else 0.0,
        "bias": draw(st.booleans()),
        "groups": groups,
        "expansion": draw(st.integers(1, 3)),
        "standardise": norm != "none" and kind in _DENSE and draw(st.booleans()),
    }


def _named(letters: str) -> str:
    return f"Net{letters}"
