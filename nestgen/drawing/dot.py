"""The drawing as DOT text: every place is given, so that an engine only draws."""

from __future__ import annotations

from collections.abc import Iterator
from functools import singledispatch

from nestgen.drawing import style
from nestgen.drawing.curves import Point
from nestgen.drawing.figure import Figure
from nestgen.drawing.shapes import Arrow, Bar, Disc, Inside, Label, Spot, Tag, Words
from nestgen.drawing.syntax import Html, at, literal, quoted, spline, statement

_DEFAULTS = (
    '  graph [bgcolor="white", margin="0", pad="0", outputorder="edgesfirst"];',
    '  node [shape="circle", style="filled", fixedsize="true", margin="0", label=""];',
)


def dot_text(drawn: Figure) -> str:
    """The figure in the DOT language, for `neato -n2`; the same each time.

    >>> from nestgen.arch.graph import NestGraph
    >>> from nestgen.arch.spec import NestSpec
    >>> from nestgen.drawing.figure import figure
    >>> from nestgen.drawing.options import Options
    >>> print(dot_text(figure([NestGraph(NestSpec(depth=1))], Options()))[:29])
    digraph "UNet++ of depth 1" {
    """
    body = [
        f"digraph {quoted(literal(drawn.title))} {{",
        *_DEFAULTS,
        *(line for shape in drawn.shapes for line in _statements(shape)),
        *(_unseen(f"corner{n}", corner) for n, corner in enumerate(drawn.page)),
        "}\n",
    ]
    return "\n".join(body)


@singledispatch
def _statements(shape: object) -> Iterator[str]:
    """The statements that draw a shape."""
    raise TypeError(shape)


@_statements.register
def _disc(shape: Disc) -> Iterator[str]:
    """A node. Graphviz draws a second ring outside: the first is that much smaller."""
    look = shape.look
    inner = shape.radius - style.RING_GAP * (look.rings - 1)
    yield statement(
        shape.name,
        pos=at(shape.centre),
        width=_inches(2 * inner),
        color=look.line,
        fillcolor=look.fill,
        fontcolor=look.ink,
        penwidth=look.width,
        peripheries=look.rings,
        label=_inside(shape.inside) if shape.inside else "",
        **({"style": "filled,dashed"} if look.dashed else {}),
    )


@_statements.register
def _label(shape: Label) -> Iterator[str]:
    yield statement(
        shape.name,
        pos=at(shape.place),
        shape="plaintext",
        style="",
        width=_inches(2 * style.LABEL_ROOM),
        height=_inches(style.LETTER_SIZE),
        fontcolor=shape.ink,
        label=_inside(shape.inside),
    )


@_statements.register
def _arrow(shape: Arrow) -> Iterator[str]:
    yield statement(
        f"{shape.source} -> {shape.target}",
        pos=spline(shape.curve),
        color=shape.look.line,
        penwidth=shape.look.width,
        style="dashed" if shape.look.dashed else "solid",
        arrowsize=shape.look.arrow,
    )


@_statements.register
def _tag(shape: Tag) -> Iterator[str]:
    yield statement(
        shape.name,
        pos=at(shape.centre),
        shape="box",
        style="filled,rounded",
        width=_inches(style.TAG_WIDTH),
        height=_inches(style.TAG_HEIGHT),
        color=shape.look.line,
        fillcolor=shape.look.line,
        label=shape.text,
        fontname=style.SANS_BOLD,
        fontsize=style.TAG_SIZE,
        fontcolor="white",
    )
    ends = (shape.border, shape.border, shape.centre, shape.centre)
    yield statement(
        f"{shape.node} -> {shape.name}",
        pos=" ".join(map(at, ends)),
        color=shape.look.line,
        arrowhead="none",
    )


@_statements.register
def _words(shape: Words) -> Iterator[str]:
    half = style.text_width(shape.text, shape.size) / 2
    shift, justified = {
        "middle": (0.0, ""),
        "left": (half, "\\l"),
        "right": (-half, "\\r"),
    }[shape.side]
    yield statement(
        shape.name,
        pos=at(shape.place.plus(Point(shift, 0.0))),
        shape="plaintext",
        style="",
        width=_inches(2 * half),
        height=_inches(shape.size),
        label=literal(shape.text) + justified,
        fontname=style.SANS,
        fontsize=shape.size,
        fontcolor=style.INK,
    )


@_statements.register
def _bar(shape: Bar) -> Iterator[str]:
    step = shape.width / len(shape.colours)
    for n, colour in enumerate(shape.colours):
        yield statement(
            f"{shape.name}_{n}",
            pos=at(shape.start.plus(Point(step * (n + 0.5), 0.0))),
            shape="box",
            width=_inches(step),
            height=_inches(shape.height),
            color=colour,
            fillcolor=colour,
            penwidth=0,
        )


@_statements.register
def _spot(shape: Spot) -> Iterator[str]:
    yield _unseen(shape.name, shape.place)


def _unseen(name: str, place: Point) -> str:
    """A point that takes its place on the page and is not drawn."""
    return statement(name, pos=at(place), shape="point", style="invis", width="0.01")


def _inside(inside: Inside) -> Html:
    """X with its indices raised: two cells, as not every engine raises letters."""
    letter = style.LETTER_SIZE * inside.scale
    index = style.INDEX_SIZE * inside.scale
    cells = _cell("X", style.SERIF_ITALIC, letter, "BOTTOM")
    cells += _cell(f"{inside.i},{inside.j}", style.SERIF, index, "TOP")
    rows = f"<TR>{cells}</TR>"
    if inside.below:
        below = _cell(inside.below, style.SANS, inside.below_size, "TOP", span=2)
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
