"""The spec of a grid: its family, its rows, its heads."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any, get_args

from nestgen.arch.choices import Concat
from nestgen.arch.families import FAMILIES
from nestgen.arch.inputs import head_nodes, inputs_of
from nestgen.arch.spec import NestSpec
from nestgen.errors import ModuleError, SpecError
from nestgen.lifting.grid import Grid
from nestgen.lifting.record import IMAGE


def described(grid: Grid) -> NestSpec:
    """The spec of a network with the nodes, edges, widths and heads of `grid`.

    Its family is the first whose rule gives the same inputs in the same order, and
    `custom` where none does. What the blocks are it does not say. Raises `ModuleError`
    for a grid that no spec has.
    """
    first, *others = (node.name for node, found in grid.inputs.items() if not found)
    if others:
        raise ModuleError(f"{first} and {others[0]} both read the image")
    levels = _levels(grid)
    if not levels:
        raise ModuleError("no output comes of X[0,j], up-sampled from below")
    fields = {**_rows(grid), "heads": sorted(levels), "classes": _classes(grid)}
    problem = ""
    for choice in _choices(grid, fields):
        try:
            return NestSpec(**fields, **choice)
        except SpecError as error:
            problem = str(error)
    raise ModuleError(problem)


def _choices(grid: Grid, fields: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Families with all that makes their inputs those of the grid."""
    for name, family in FAMILIES.items():
        if name == "custom" or family.full_scale != grid.full_scale:
            continue
        if family.single and len(fields["heads"]) > 1:
            continue
        for trim in (True,) if family.single else (False, True):
            for concat in get_args(Concat):
                choice = {"family": name, "trim": trim, "concat": concat}
                found = inputs_of({**fields, **choice})
                heads = head_nodes(name, fields["depth"], fields["heads"]).values()
                if found == grid.inputs and set(heads) <= set(found):
                    yield choice
    edges = sorted(grid.edges, key=lambda edge: (sum(edge.target), edge.target.j))
    names = [(edge.source.name, edge.target.name) for edge in edges]
    yield {"family": "custom", "edges": names}


def _levels(grid: Grid) -> set[int]:
    found = (grid.level(node) for heads in grid.heads.values() for node, _ in heads)
    return {level for level in found if level is not None}


def _classes(grid: Grid) -> int:
    """The channels of what the last head gives."""
    ways = [
        (grid.level(node) or 0, way)
        for heads in grid.heads.values()
        for node, way in heads
    ]
    _, way = max(ways, key=lambda pair: pair[0])
    last = way.numbers[-1] if way.numbers else grid.network.all[way.source].numbers[-1]
    return grid.network.operations[last].shape[1]


def _rows(grid: Grid) -> dict[str, Any]:
    """Depth, widths and strides; those that differ, by node."""
    depth = len(grid.scales) - 1
    widths = {node: grid.width(node) for node in grid.inputs}
    first = {node.i: widths[node] for node in sorted(widths, reverse=True)}
    own = {
        node.name: width
        for node, width in widths.items()
        if width != first[node.i] and not (grid.full_scale and node.j)
    }
    return {
        "depth": depth,
        "dims": len(grid.scales[0]),
        "widths": [first[row] for row in range(depth + 1)],
        "node_widths": own,
        "strides": [*_strides(grid)],
        "in_channels": grid.network.operations[IMAGE].shape[1],
    }


def _strides(grid: Grid) -> Iterator[list[int]]:
    for above, below in zip(grid.scales, grid.scales[1:], strict=False):
        steps = [a / b for a, b in zip(above, below, strict=True)]
        if any(step.denominator > 1 for step in steps):
            raise ModuleError(f"rows at {_told(above)} and {_told(below)}")
        yield [int(step) for step in steps]


def _told(scale: tuple[Fraction, ...]) -> str:
    return "x".join(map(str, scale))
