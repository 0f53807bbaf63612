"""The grid of a network: which cell is which X[i,j], and which output which level."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from nestgen.arch.grid import Edge, Node
from nestgen.lifting.cells import Cell, Cells, Way
from nestgen.lifting.kinds import convolves, joins_channels
from nestgen.lifting.record import IMAGE
from nestgen.lifting.scales import Scale


@dataclass(frozen=True)
class Grid:
    """The cells in their places.

    Attributes:
        cells: what was found where.
        inputs: the nodes that feed each node, in order.
        scales: of the rows, from the finest.
        heads: by the name of an output, the nodes that it comes of and the ways to it.
        network: all that was found.
    """

    cells: dict[Node, Cell]
    inputs: dict[Node, tuple[Node, ...]]
    scales: tuple[Scale, ...]
    heads: dict[str, tuple[tuple[Node, Way], ...]]
    network: Cells

    @property
    def stem(self) -> tuple[int, ...]:
        """How much coarser than the image row 0 is, on each axis."""
        return tuple(round(1 / side) for side in self.scales[0])

    @property
    def full_scale(self) -> bool:
        """Whether edges span rows, or where there are but two, all are convolved."""
        edges = self.edges
        if len(self.scales) > 2:
            return any(abs(edge.source.i - edge.target.i) > 1 for edge in edges)
        joined = [edge for edge in edges if edge.kind != "down"]
        return self.concatenates and all(map(self.convolved, joined))

    @property
    def edges(self) -> list[Edge]:
        """All edges, by target and in order."""
        return [
            Edge(source, node)
            for node, found in self.inputs.items()
            for source in found
        ]

    def way(self, edge: Edge) -> Way:
        """The operations on an edge."""
        firsts = {cell.first: node for node, cell in self.cells.items()}
        ways = self.network.ways(self.cells[edge.target].first)
        return next(way for way in ways if firsts[way.source] == edge.source)

    def convolved(self, edge: Edge) -> bool:
        """Whether channels are mixed on an edge."""
        steps = (self.network.operations[n] for n in self.way(edge).numbers)
        return any(map(convolves, steps))

    def width(self, node: Node) -> int:
        """The channels of a node."""
        return self.network.operations[self.cells[node].numbers[-1]].shape[1]

    @property
    def outputs(self) -> dict[str, int | None]:
        """The level of each output; None for one that is none."""
        return {
            name: self.level(heads[0][0]) if len(heads) == 1 else None
            for name, heads in self.heads.items()
        }

    @property
    def concatenates(self) -> bool:
        """Whether nodes put their inputs beside one another, rather than add them."""
        firsts = (self.cells[node].first for node, x in self.inputs.items() if x[1:])
        return all(joins_channels(self.network.operations[n]) for n in firsts)

    def level(self, node: Node) -> int | None:
        """Which level's head stands on a node, if one does."""
        if not node.j:
            return None
        depth = len(self.scales) - 1
        if self.full_scale and sum(node) == depth:
            return node.j
        return None if node.i else node.j


def grid(network: Cells) -> Grid | None:
    """The grid of a network; None for one that has none.

    A row is a resolution. In it the first column is the encoder, whose nodes read the
    image or the one above; each other node stands one to the right of all that it reads
    of its row and of the one below.
    """
    cells = network.all
    rows = sorted({cell.scale for cell in cells.values()}, key=math.prod, reverse=True)
    places: dict[int, Node] = {}
    for first, cell in cells.items():
        row = rows.index(cell.scale)
        if IMAGE in cell.inputs and len(cell.inputs) > 1:
            return None
        sources = [places[n] for n in cell.inputs if n != IMAGE]
        places[first] = _place(row, sources, frozenset(places.values()))
    inputs = {
        places[first]: tuple(places[n] for n in cell.inputs if n != IMAGE)
        for first, cell in cells.items()
    }
    if not any(Edge(a, b).kind == "up" for b, found in inputs.items() for a in found):
        return None
    heads = {
        name: tuple(_heads(network, places, firsts))
        for name, firsts in network.pieces.ends.items()
    }
    return Grid(
        cells={places[first]: cell for first, cell in cells.items()},
        inputs=inputs,
        scales=tuple(rows),
        heads=heads,
        network=network,
    )


def _heads(
    network: Cells, places: Mapping[int, Node], firsts: tuple[int, ...]
) -> Iterator[tuple[Node, Way]]:
    for first in firsts:
        way = network.head(first)
        if way.source != IMAGE:
            yield places[way.source], way


def _place(row: int, sources: list[Node], taken: frozenset[Node]) -> Node:
    """The place of a node in `row` that reads `sources`: the first that is free."""
    column = max((node.j + 1 for node in sources if node.i >= row), default=0)
    while Node(row, column) in taken:
        column += 1
    return Node(row, column)
