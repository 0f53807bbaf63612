"""The parts of a network, its nodes, edges and heads, and the modules of each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from nestgen.lifting.grid import Grid
from nestgen.lifting.record import Operation, Record


@dataclass(frozen=True)
class Part:
    """A node, an edge or a head.

    Attributes:
        name: `x0_1`, `x1_0 -> x0_1`, `L1`, `output 0` of a head that is no
            level's.
        numbers: of its operations.
        shape: of its result.
        modules: the paths of the modules that are called in it: each the outermost
            that is called nowhere else, or else the innermost.
        parameters: how many numbers it learns; what is called in several parts counts
            in each.
    """

    name: str
    numbers: tuple[int, ...]
    shape: tuple[int, ...]
    modules: tuple[str, ...]
    parameters: int

    def to_plain(self) -> dict[str, Any]:
        """As JSON types."""
        return {
            "part": self.name,
            "shape": list(self.shape),
            "parameters": self.parameters,
            "modules": list(self.modules),
        }


def parts(grid: Grid) -> dict[str, Part]:
    """The parts by name: nodes, edges, heads; an edge without operations is none."""
    done, owners = grid.network.pieces.done, grid.network.pieces.owners
    named = {n: name for name, numbers in _named(grid) for n in numbers}
    numbers: dict[str, list[int]] = {name: [] for name, _ in _named(grid)}
    for number, owner in sorted(owners.items()):
        if owner in named:
            numbers[named[owner]].append(number)
    whole = {name: found for name, found in numbers.items() if found}
    return parts_of(done, whole)


def parts_of(done: Record, numbers: Mapping[str, list[int]]) -> dict[str, Part]:
    """Parts with these operations."""
    modules = _modules(done, numbers)
    return {
        name: Part(
            name=name,
            numbers=tuple(found),
            shape=done.operations[found[-1]].shape,
            modules=modules[name],
            parameters=_parameters(done, [done.operations[n] for n in found]),
        )
        for name, found in numbers.items()
    }


def _named(grid: Grid) -> Iterator[tuple[str, tuple[int, ...]]]:
    """The operations of the skeleton in each part; the first that has one keeps it."""
    seen: set[int] = set()
    for name, numbers in _all_named(grid):
        yield name, tuple(n for n in numbers if n not in seen)
        seen.update(numbers)


def _all_named(grid: Grid) -> Iterator[tuple[str, tuple[int, ...]]]:
    for node, cell in grid.cells.items():
        yield node.name, cell.numbers
    for output, heads in grid.heads.items():
        for node, way in heads:
            level = grid.level(node)
            yield f"L{level}" if level else f"output {output}", way.numbers
    for edge in grid.edges:
        ahead = grid.cells[edge.source].rest
        name = f"{edge.source.name} -> {edge.target.name}"
        yield name, ahead + grid.way(edge).numbers


def _modules(
    done: Record, numbers: Mapping[str, list[int]]
) -> dict[str, tuple[str, ...]]:
    """The paths of the modules of each part."""
    of: dict[str, set[str]] = defaultdict(set)
    part_of = {n: name for name, found in numbers.items() for n in found}
    for number, operation in enumerate(done.operations):
        for path in done.called.intersection(_outwards(operation.path)):
            of[path].add(part_of.get(number, ""))
    found = {
        name: [_outermost(done.operations[n].path, name, of) for n in its]
        for name, its in numbers.items()
    }
    return {name: tuple(_without_outer(paths)) for name, paths in found.items()}


def _without_outer(paths: list[str]) -> list[str]:
    """The paths that are inside of no other, once each.

    >>> _without_outer(["a", "a.b", "c", "c"])
    ['a.b', 'c']
    """
    outer = {up for path in paths for up in [*_outwards(path)][1:]} | {""}
    return [path for path in dict.fromkeys(paths) if path not in outer]


def _outermost(path: str, part: str, of: Mapping[str, set[str]]) -> str:
    own = [outer for outer in _outwards(path) if of.get(outer) == {part}]
    return own[-1] if own else path


def _outwards(path: str) -> Iterator[str]:
    """`a.b`, then `a`.

    >>> list(_outwards("a.b"))
    ['a.b', 'a']
    """
    while path:
        yield path
        path = path.rpartition(".")[0]


def _parameters(done: Record, operations: list[Operation]) -> int:
    read = {name for operation in operations for name in operation.reads}
    learned = (done.tensors[name] for name in read)
    return sum(x.numel() for x in learned if isinstance(x, nn.Parameter))
