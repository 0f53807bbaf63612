"""Which way each edge runs: straight where it can, round what stands between."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping

from nestgen.arch.graph import Edge, NestGraph, Node
from nestgen.drawing import style
from nestgen.drawing.curves import Curve, Point, arc, bent, line
from nestgen.drawing.style import EdgeLook

Box = tuple[Point, Point]
"""The lower left and the upper right corner."""

_ANGLES = [math.radians(degrees) for degrees in range(-60, 61, 12)]
_TURNS = sorted(
    ((leaves, arrives) for leaves in _ANGLES for arrives in _ANGLES),
    key=lambda turns: (abs(turns[0]) + abs(turns[1]), turns),
)
"""How far a bent edge may leave and arrive off the straight line, the least first."""


class Arcs:
    """The edges that are in line with a node between, and how high each is bowed.

    Of two arcs that share a node, the longer runs above the shorter all the way. Those
    of a row with heads start above their tags.
    """

    def __init__(self, graph: NestGraph) -> None:
        self.edges = frozenset(edge for edge in graph.edges if _passes(edge, graph))
        self.longest = max((_span(edge) for edge in self.edges), default=2)
        self.tagged = frozenset(graph.head(level).i for level in graph.levels)

    def height(self, edge: Edge) -> float:
        """How far the peak of the arc `edge` lies above the centres of its row."""
        low = style.TAG_TOP + style.ARC_ROOM if self._over_tags(edge) else style.ARC_LOW
        return low + style.ARC_RISE * self._share(edge, style.ARC_INTERVALS)

    def angle(self, edge: Edge) -> float:
        """Under which angle, in radians, `edge` leaves: the longest is the steepest."""
        low, high = style.TAG_ANGLES if self._over_tags(edge) else style.ARC_ANGLES
        return math.radians(low + (high - low) * self._share(edge, 1))

    def peak(self, *, first_row: bool) -> float:
        """The highest arc of row 0, or of all other rows; 0 where there is none."""
        return max(
            (
                self.height(edge)
                for edge in self.edges
                if first_row == (edge.source.i == edge.target.i == 0)
            ),
            default=0.0,
        )

    def curve(self, edge: Edge, source: Point, target: Point) -> Curve:
        """The arc: above its row, and to the right of a diagonal."""
        height, angle = self.height(edge), self.angle(edge)
        leftwards = edge.kind == "skip" and edge.target.j < edge.source.j
        side = -1 if edge.kind == "up" or leftwards else 1
        return arc(source, target, side * height, side * angle, style.EDGES[edge.kind])

    def _over_tags(self, edge: Edge) -> bool:
        return edge.kind == "skip" and edge.source.i in self.tagged

    def _share(self, edge: Edge, intervals: int) -> float:
        """0 for the shortest, 1 for the longest; short ones further apart."""
        intervals = max(intervals, self.longest - 2)
        return float(((_span(edge) - 2) / intervals) ** style.ARC_BEND)


def routes(
    graph: NestGraph,
    arcs: Arcs,
    centres: Mapping[Node, Point],
    boxes: Iterable[Box],
) -> dict[Edge, Curve]:
    """The way of each edge, clear of the other nodes and of `boxes`."""
    barred = tuple(boxes)
    return {edge: _route(edge, arcs, centres, barred) for edge in graph.edges}


def _route(
    edge: Edge,
    arcs: Arcs,
    centres: Mapping[Node, Point],
    boxes: tuple[Box, ...],
) -> Curve:
    source, target = centres[edge.source], centres[edge.target]
    if edge in arcs.edges:
        first = arcs.curve(edge, source, target)
    else:
        first = line(source, target, style.EDGES[edge.kind])
    if edge.kind == "skip" or (_on_axis(edge) and _span(edge) == 1):
        return first
    discs = [centre for node, centre in centres.items() if node not in edge[:2]]
    bows = _bows(source, target, style.EDGES[edge.kind])
    return _clearest(itertools.chain([first], bows), discs, boxes)


def clear(source: Point, target: Point, look: EdgeLook, discs: list[Point]) -> Curve:
    """A line from node to node, bent where it would cross other nodes at `discs`."""
    bows = _bows(source, target, look)
    return _clearest(itertools.chain([line(source, target, look)], bows), discs, ())


def _bows(source: Point, target: Point, look: EdgeLook) -> Iterator[Curve]:
    """Other ways for an edge, from the least bent."""
    handle = 0.4 * math.dist(source, target)
    for turns in _TURNS:
        yield bent(source, target, turns, handle, look)


def _clearest(
    curves: Iterable[Curve], discs: list[Point], boxes: tuple[Box, ...]
) -> Curve:
    """The first of the curves that is clear, or the clearest if none is."""
    seen: list[tuple[float, Curve]] = []
    for curve in curves:
        seen.append((_clear(curve, discs, boxes), curve))
        if seen[-1][0] > style.CLEARANCE:
            return curve
    return max(seen)[1]


def _clear(curve: Curve, discs: list[Point], boxes: tuple[Box, ...]) -> float:
    """How far the curve stays from the borders of discs and boxes."""
    points = tuple(curve.points())
    to_discs = (
        math.dist(point, disc) - style.RADIUS for point in points for disc in discs
    )
    to_boxes = (outside(point, box) for point in points for box in boxes)
    return min(itertools.chain(to_discs, to_boxes), default=math.inf)


def outside(point: Point, box: Box) -> float:
    """How far a point lies outside a box; 0 inside."""
    (left, low), (right, high) = box
    return math.hypot(
        max(left - point.x, point.x - right, 0.0),
        max(low - point.y, point.y - high, 0.0),
    )


def _span(edge: Edge) -> int:
    """How many steps an edge takes along an axis of the triangle."""
    return max(abs(edge.target.j - edge.source.j), abs(edge.target.i - edge.source.i))


def _on_axis(edge: Edge) -> bool:
    """Whether an edge runs along a row or one of the two diagonals."""
    down, right = edge.target.i - edge.source.i, edge.target.j - edge.source.j
    return down == 0 or right in (0, -down)


def _passes(edge: Edge, graph: NestGraph) -> bool:
    span = _span(edge)
    down = (edge.target.i - edge.source.i) // span
    right = (edge.target.j - edge.source.j) // span
    return _on_axis(edge) and any(
        Node(edge.source.i + n * down, edge.source.j + n * right) in graph.dag
        for n in range(1, span)
    )
