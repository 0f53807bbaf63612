"""The drawing as TikZ, for a paper: the same places, the paper's own fonts."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache, singledispatch

import jinja2

from nestgen.codegen.environment import environment
from nestgen.codegen.expressions import Code
from nestgen.drawing import style
from nestgen.drawing.curves import Point
from nestgen.drawing.figure import Figure
from nestgen.drawing.shapes import Arrow, Bar, Disc, Inside, Label, Spot, Tag, Words
from nestgen.drawing.syntax import number
from nestgen.drawing.tex import colour, hexadecimal, length, place, tex


def tikz_text(drawn: Figure) -> str:
    """The figure as a TeX document that needs TikZ alone; the same each time.

    >>> from nestgen.arch.graph import NestGraph
    >>> from nestgen.arch.spec import NestSpec
    >>> from nestgen.drawing.figure import figure
    >>> from nestgen.drawing.options import Options
    >>> text = tikz_text(figure([NestGraph(NestSpec(depth=1))], Options()))
    >>> text.splitlines()[0], "$X^{0,1}$" in text
    ('% UNet++ of depth 1', True)
    """
    low, high = drawn.page
    ordered = sorted(drawn.shapes, key=lambda shape: not isinstance(shape, Arrow))
    template = _environment().get_template("figure.tex.jinja")
    return template.render(
        title=drawn.title,
        width=high.x - low.x,
        height=high.y - low.y,
        low=low,
        high=high,
        colours=sorted(_palette(drawn)),
        lines=[line for shape in ordered for line in _commands(shape)],
    )


@cache
def _environment() -> jinja2.Environment:
    """The environment of Python source, with marks and filters that fit TeX."""
    made = environment().overlay(
        block_start_string="<%",
        block_end_string="%>",
        variable_start_string="<<",
        variable_end_string=">>",
        comment_start_string="<#",
        comment_end_string="#>",
    )
    made.filters = {
        "tex": tex,
        "colour": colour,
        "hex": hexadecimal,
        "bp": length,
        "at": place,
    }
    return made


def _palette(drawn: Figure) -> set[str]:
    """The colours of all shapes."""
    found = {style.INK, "#ffffff"}
    for shape in drawn.shapes:
        if isinstance(shape, Disc):
            look = shape.look
            found |= {look.fill, look.line, look.ink}
        elif isinstance(shape, Label):
            found.add(shape.ink)
        elif isinstance(shape, (Arrow, Tag)):
            found.add(shape.look.line)
        elif isinstance(shape, Bar):
            found.update(shape.colours)
    return found


@singledispatch
def _commands(shape: object) -> Iterator[Code]:
    """The commands that draw a shape."""
    raise TypeError(shape)


@_commands.register
def _disc(shape: Disc) -> Iterator[Code]:
    look, centre = shape.look, place(shape.centre)
    inner = shape.radius - style.RING_GAP * (look.rings - 1)
    dashed = ", dashed" if look.dashed else ""
    stroke = f"draw={colour(look.line)}, line width={length(look.width)}{dashed}"
    if look.rings > 1:
        yield Code(rf"\path[{stroke}] {centre} circle[radius={length(shape.radius)}];")
    yield Code(
        rf"\path[fill={colour(look.fill)}, {stroke}] "
        rf"{centre} circle[radius={length(inner)}];"
    )
    if shape.inside:
        yield from _inside(shape.inside, shape.centre, colour(look.ink))


@_commands.register
def _label(shape: Label) -> Iterator[Code]:
    yield from _inside(shape.inside, shape.place, colour(shape.ink))


def _inside(inside: Inside, centre: Point, ink: Code) -> Iterator[Code]:
    up = 2.5 if inside.below else 0.0
    middle = place(centre.plus(Point(0.0, up)))
    name = f"$X^{{{inside.i:d},{inside.j:d}}}$"
    small = ", small name" if inside.scale < 1 else ""
    yield Code(rf"\node[name{small}, text={ink}] at {middle} {{{name}}};")
    if inside.below:
        under = place(centre.plus(Point(0.0, -9.0)))
        size, text = number(inside.below_size / 10), tex(inside.below)
        yield Code(rf"\node[words, scale={size}, text={ink}] at {under} {{{text}}};")


@_commands.register
def _arrow(shape: Arrow) -> Iterator[Code]:
    """The head lies over the last, straight piece of the path."""
    start, first, second, foot, tip = map(place, shape.curve)
    look = shape.look
    wide, long = length(0.7 * look.arrow_length), length(look.arrow_length)
    dashed = "dashed, " if look.dashed else ""
    yield Code(
        rf"\draw[{colour(look.line)}, line width={length(look.width)}, {dashed}"
        rf"-{{Triangle[length={long}, width={wide}]}}] "
        rf"{start} .. controls {first} and {second} .. {foot} -- {tip};"
    )


@_commands.register
def _tag(shape: Tag) -> Iterator[Code]:
    half = Point(style.TAG_WIDTH / 2, style.TAG_HEIGHT / 2)
    low = Point(shape.centre.x - half.x, shape.centre.y - half.y)
    line = colour(shape.look.line)
    yield Code(rf"\draw[{line}] {place(shape.border)} -- {place(shape.centre)};")
    yield Code(
        rf"\path[fill={line}, rounded corners=3bp] "
        rf"{place(low)} rectangle {place(shape.centre.plus(half))};"
    )
    yield Code(rf"\node[tag] at {place(shape.centre)} {{{tex(shape.text)}}};")


@_commands.register
def _words(shape: Words) -> Iterator[Code]:
    kind = "heading" if shape.size == style.TITLE_SIZE else "words"
    anchor = {"middle": "mid", "left": "mid west", "right": "mid east"}[shape.side]
    yield Code(
        rf"\node[{kind}, text={colour(style.INK)}, anchor={anchor}] "
        rf"at {place(shape.place)} {{{tex(shape.text)}}};"
    )


@_commands.register
def _bar(shape: Bar) -> Iterator[Code]:
    step, half = shape.width / len(shape.colours), shape.height / 2
    for n, found in enumerate(shape.colours):
        low = place(shape.start.plus(Point(n * step, -half)))
        high = place(shape.start.plus(Point((n + 1) * step, half)))
        yield Code(rf"\path[fill={colour(found)}] {low} rectangle {high};")


@_commands.register
def _spot(shape: Spot) -> Iterator[Code]:
    """Only Graphviz needs the ends of an edge to be things."""
    return iter(())
