"""The few shapes of the drawing, each as a DOT statement."""

from __future__ import annotations

from typing import Literal

from nestgen.drawing import style
from nestgen.drawing.curves import Curve, Point
from nestgen.drawing.style import EdgeLook, NodeLook
from nestgen.drawing.syntax import Html, at, literal, spline, statement


def disc(
    name: str, centre: Point, radius: float, look: NodeLook, inside: str = ""
) -> str:
    """A node. Graphviz draws a second ring outside: the first is that much smaller."""
    inner = radius - style.RING_GAP * (look.rings - 1)
    return statement(
        name,
        pos=at(centre),
        width=_inches(2 * inner),
        color=look.line,
        fillcolor=look.fill,
        fontcolor=look.ink,
        penwidth=look.width,
        peripheries=look.rings,
        label=inside,
    )


def arrow(source: str, target: str, curve: Curve, look: EdgeLook) -> str:
    """An edge."""
    return statement(
        f"{source} -> {target}",
        pos=spline(curve),
        color=look.line,
        penwidth=look.width,
        style=look.stroke,
        arrowsize=look.arrow,
    )


def tag(text: str, centre: Point, look: NodeLook) -> str:
    """The tag of a head."""
    return statement(
        text,
        pos=at(centre),
        shape="box",
        style="filled,rounded",
        width=_inches(style.TAG_WIDTH),
        height=_inches(style.TAG_HEIGHT),
        color=look.line,
        fillcolor=look.line,
        label=text,
        fontname=style.SANS_BOLD,
        fontsize=style.TAG_SIZE,
        fontcolor="white",
    )


def stem(source: str, target: str, start: Point, end: Point, look: NodeLook) -> str:
    """The short line from a node to its tag."""
    return statement(
        f"{source} -> {target}",
        pos=" ".join(at(point) for point in (start, start, end, end)),
        color=look.line,
        arrowhead="none",
    )


def words(
    name: str,
    place: Point,
    text: str,
    side: Literal["middle", "left", "right"] = "middle",
    size: float = style.TEXT_SIZE,
    font: str = style.SANS,
) -> str:
    """A line of text that has its middle, its left or its right end at `place`."""
    half = style.text_width(text, size) / 2
    shift, justified = {
        "middle": (0.0, ""),
        "left": (half, "\\l"),
        "right": (-half, "\\r"),
    }[side]
    return statement(
        name,
        pos=at(Point(place.x + shift, place.y)),
        shape="plaintext",
        style="",
        width=_inches(2 * half),
        height=_inches(size),
        label=literal(text) + justified,
        fontname=font,
        fontsize=size,
        fontcolor=style.INK,
    )


def unseen(name: str, place: Point) -> str:
    """A point that takes its place on the page and is not drawn."""
    return statement(name, pos=at(place), shape="point", style="invis", width="0.01")


def name_inside(i: int, j: int, channels: int | None) -> Html:
    """X with its indices raised: two cells, as not every engine raises letters."""
    cells = _cell("X", style.SERIF_ITALIC, style.LETTER_SIZE, "BOTTOM") + _cell(
        f"{i},{j}", style.SERIF, style.INDEX_SIZE, "TOP"
    )
    rows = f"<TR>{cells}</TR>"
    if channels is not None:
        below = _cell(str(channels), style.SANS, style.CHANNELS_SIZE, "TOP", span=2)
        rows += f"<TR>{below}</TR>"
    return Html(
        '<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="0" CELLPADDING="0">'
        f"{rows}</TABLE>"
    )


def _cell(text: str, font: str, size: float, side: str, span: int = 1) -> str:
    return (
        f'<TD VALIGN="{side}" COLSPAN="{span}">'
        f'<FONT FACE="{font}" POINT-SIZE="{size}">{text}</FONT></TD>'
    )


def _inches(points: float) -> str:
    return f"{points / 72:.4f}"
