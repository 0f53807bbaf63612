"""The few shapes of which a drawing is made, for whichever language draws them."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, Literal, TypeAlias

from nestgen.drawing import style
from nestgen.drawing.curves import Curve, Point
from nestgen.drawing.style import EdgeLook, NodeLook

Side: TypeAlias = Literal["middle", "left", "right"]


@dataclass(frozen=True)
class Inside:
    """What stands in a node: X with its indices, and a small line below."""

    i: int
    j: int
    below: str = ""
    scale: float = 1.0

    @property
    def below_size(self) -> float:
        """The size of the small line, less where it is long.

        >>> Inside(0, 1, "16").below_size, Inside(0, 1, "1048576").below_size
        (8.5, 6.63)
        """
        width = style.text_width(self.below, style.BELOW_SIZE)
        fit = style.BELOW_SIZE * style.BELOW_ROOM / max(width, style.BELOW_ROOM)
        return round(fit, 2)


@dataclass(frozen=True)
class Disc:
    """A node."""

    name: str
    centre: Point
    radius: float
    look: NodeLook
    inside: Inside | None = None


@dataclass(frozen=True)
class Label:
    """The name of a node that is too small to hold it."""

    name: str
    place: Point
    inside: Inside
    ink: str


@dataclass(frozen=True)
class Arrow:
    """An edge, from one named node to another."""

    source: str
    target: str
    curve: Curve
    look: EdgeLook


@dataclass(frozen=True)
class Tag:
    """The tag of a head, and the short line to it from the border of its node."""

    name: str
    text: str
    centre: Point
    node: str
    border: Point
    look: NodeLook


@dataclass(frozen=True)
class Words:
    """A line of text that has its middle, its left or its right end at `place`."""

    name: str
    place: Point
    text: str
    side: Side = "middle"
    size: float = style.TEXT_SIZE


@dataclass(frozen=True)
class Bar:
    """A scale of colours, from left to right."""

    name: str
    start: Point
    width: float
    height: float
    colours: tuple[str, ...]


@dataclass(frozen=True)
class Spot:
    """A named place where nothing is seen: the end of a sample in the legend."""

    name: str
    place: Point


Shape: TypeAlias = Disc | Label | Arrow | Tag | Words | Bar | Spot


def moved(shape: Shape, by: Point) -> Shape:
    """`shape` elsewhere on the page.

    >>> moved(Spot("here", Point(1.0, 2.0)), Point(10.0, 20.0)).place
    Point(x=11.0, y=22.0)
    """
    places: dict[str, Any] = {}
    for field in fields(shape):
        value = getattr(shape, field.name)
        if isinstance(value, Point):
            places[field.name] = value.plus(by)
        elif isinstance(value, Curve):
            places[field.name] = Curve(*(point.plus(by) for point in value))
    return replace(shape, **places)
