"""Points, and edges as curves with an arrow head."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

from nestgen.drawing import style
from nestgen.drawing.style import EdgeLook


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

    def plus(self, other: Point) -> Point:
        """The sum of both.

        >>> Point(1.0, 2.0).plus(Point(0.5, 0.0))
        Point(x=1.5, y=2.0)
        """
        return Point(self.x + other.x, self.y + other.y)

    def angle_to(self, other: Point) -> float:
        """Under which angle, in radians, `other` is seen from here."""
        return math.atan2(other.y - self.y, other.x - self.x)


class Curve(NamedTuple):
    """A cubic Bezier curve from a border to the foot of an arrow head, and its tip."""

    start: Point
    first: Point
    second: Point
    foot: Point
    tip: Point

    def backward(self, look: EdgeLook) -> Curve:
        """The same way from the tip to the start, with the arrow head there."""
        return Curve(
            self.tip,
            self.second,
            self.first,
            self.start.towards(self.start.angle_to(self.first), look.arrow_length),
            self.start,
        )

    def reaching(self, source: float, target: float) -> Curve:
        """The same way between nodes of smaller radii, on to their borders."""
        ahead = self.first.angle_to(self.start)
        behind = self.foot.angle_to(self.tip)
        return self._replace(
            start=self.start.towards(ahead, style.RADIUS - source),
            foot=self.foot.towards(behind, style.RADIUS - target),
            tip=self.tip.towards(behind, style.RADIUS - target),
        )

    def points(self, steps: int = 24) -> Iterator[Point]:
        """Points along the curve, and the tip.

        >>> one = line(Point(0.0, 0.0), Point(142.0, 0.0), style.EDGES["up"])
        >>> [round(point.x) for point in one.points(2)]
        [21, 68, 115, 121]
        """
        for step in range(steps + 1):
            t = step / steps
            shares = ((1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3)
            yield Point(
                sum(share * self[n].x for n, share in enumerate(shares)),
                sum(share * self[n].y for n, share in enumerate(shares)),
            )
        yield self.tip


def line(source: Point, target: Point, look: EdgeLook) -> Curve:
    """The straight edge between the nodes whose centres are `source` and `target`.

    >>> line(Point(0.0, 0.0), Point(142.0, 0.0), style.EDGES["up"]).start
    Point(x=21.0, y=0.0)
    """
    angle = source.angle_to(target)
    return chord(
        source.towards(angle, style.RADIUS),
        target.towards(angle, -style.RADIUS),
        look,
    )


def chord(start: Point, tip: Point, look: EdgeLook) -> Curve:
    """The straight edge from `start` to the tip of its arrow head."""
    length = math.dist(start, tip) - look.arrow_length
    angle = start.angle_to(tip)
    return Curve(
        start,
        start.towards(angle, length / 3),
        start.towards(angle, length * 2 / 3),
        start.towards(angle, length),
        tip,
    )


def arc(
    source: Point, target: Point, height: float, angle: float, look: EdgeLook
) -> Curve:
    """The edge that leaves `angle` off the straight line and arrives likewise.

    It peaks `height` away from the line, on its left, or where both are negative on
    its right.
    """
    handle = (height / math.sin(angle) - style.RADIUS) * 4 / 3
    return bent(source, target, (angle, angle), handle, look)


def bent(
    source: Point,
    target: Point,
    angles: tuple[float, float],
    handle: float,
    look: EdgeLook,
) -> Curve:
    """The edge that leaves and arrives so much to the left of the straight line."""
    straight = source.angle_to(target)
    leaves, arrives = straight + angles[0], straight + math.pi - angles[1]
    start, tip = (
        source.towards(leaves, style.RADIUS),
        target.towards(arrives, style.RADIUS),
    )
    return Curve(
        start,
        start.towards(leaves, handle),
        tip.towards(arrives, handle),
        tip.towards(arrives, look.arrow_length),
        tip,
    )
