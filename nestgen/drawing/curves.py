"""The edges as curves: straight between neighbours, arcs over what stands between."""

from __future__ import annotations

import math
from typing import NamedTuple

from nestgen.arch.graph import Edge, NestGraph, Node
from nestgen.drawing import style


class Point(NamedTuple):
    """A place on the page in points, y upwards."""

    x: float
    y: float

    def towards(self, angle: float, distance: float) -> Point:
        """The point that lies `distance` away under `angle`, in radians.

        >>> Point(1.0, 2.0).towards(0.0, 3.0)
        Point(x=4.0, y=2.0)
        """
        return Point(
            self.x + distance * math.cos(angle), self.y + distance * math.sin(angle)
        )


class Curve(NamedTuple):
    """A cubic Bezier curve from a border to the foot of an arrow head, and its tip."""

    start: Point
    first: Point
    second: Point
    foot: Point
    tip: Point


def line(source: Point, target: Point, look: style.EdgeLook) -> Curve:
    """The straight edge between the nodes whose centres are `source` and `target`.

    >>> line(Point(0.0, 0.0), Point(142.0, 0.0), style.EDGES["up"]).start
    Point(x=21.0, y=0.0)
    """
    angle = math.atan2(target.y - source.y, target.x - source.x)
    return chord(
        source.towards(angle, style.RADIUS),
        target.towards(angle, -style.RADIUS),
        look,
    )


def chord(start: Point, tip: Point, look: style.EdgeLook) -> Curve:
    """The straight edge from `start` to the tip of its arrow head."""
    length = math.dist(start, tip) - look.arrow_length
    angle = math.atan2(tip.y - start.y, tip.x - start.x)
    return Curve(
        start,
        start.towards(angle, length / 3),
        start.towards(angle, length * 2 / 3),
        start.towards(angle, length),
        tip,
    )


def arc(
    source: Point, target: Point, height: float, angle: float, look: style.EdgeLook
) -> Curve:
    """The edge that leaves under `angle`, peaks at `height` and arrives likewise."""
    mirror = math.pi - angle
    rise = height - style.RADIUS * math.sin(angle)
    handle = rise * 4 / 3 / math.sin(angle)
    start, tip = (
        source.towards(angle, style.RADIUS),
        target.towards(mirror, style.RADIUS),
    )
    return Curve(
        start,
        start.towards(angle, handle),
        tip.towards(mirror, handle),
        tip.towards(mirror, look.arrow_length),
        tip,
    )


class Arcs:
    """The skips of a graph that pass over a node, and how high each of them rises.

    Of two arcs that share a node, the longer runs above the shorter all the way. Those
    of row 0 start above the tags of the heads.
    """

    def __init__(self, graph: NestGraph) -> None:
        self.edges = frozenset(edge for edge in graph.edges if _passes(edge, graph))
        self.longest = max((_span(edge) for edge in self.edges), default=2)

    def height(self, edge: Edge) -> float:
        """How far the peak of the arc `edge` lies above the centres of its row."""
        low = style.ARC_LOW if edge.source.i else style.TAG_TOP + style.ARC_ROOM
        return low + style.ARC_RISE * self._share(edge, style.ARC_INTERVALS)

    def angle(self, edge: Edge) -> float:
        """Under which angle, in radians, `edge` leaves: the longest is the steepest."""
        low, high = style.ARC_ANGLES if edge.source.i else style.TAG_ANGLES
        return math.radians(low + (high - low) * self._share(edge, 1))

    def peak(self, *, head_row: bool) -> float:
        """The highest arc of row 0, or of all other rows; 0 where there is none."""
        heights = (
            self.height(edge) for edge in self.edges if (edge.source.i == 0) == head_row
        )
        return max(heights, default=0.0)

    def _share(self, edge: Edge, intervals: int) -> float:
        """0 for the shortest, 1 for the longest; short ones further apart."""
        intervals = max(intervals, self.longest - 2)
        return float(((_span(edge) - 2) / intervals) ** style.ARC_BEND)


def _span(edge: Edge) -> int:
    return edge.target.j - edge.source.j


def _passes(edge: Edge, graph: NestGraph) -> bool:
    i, j = edge.source
    between = (Node(i, column) for column in range(j + 1, edge.target.j))
    return edge.kind == "skip" and any(node in graph.dag for node in between)
