"""Any network as blocks: each in the row of its resolution, right of what it reads."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from nestgen.drawing import style
from nestgen.drawing.curves import Point
from nestgen.drawing.figure import Figure
from nestgen.drawing.layout import hull
from nestgen.drawing.routes import clear
from nestgen.drawing.shapes import Arrow, Disc, Shape, Words

_NAME_SIZE = 8.5
_NAME_LETTERS = 22
_BELOW = style.RADIUS + _NAME_SIZE


@dataclass(frozen=True)
class Block:
    """A block of a network.

    Attributes:
        row: its resolution, 0 the finest.
        text: what stands in it.
        name: what stands below it.
        reads: the places in the list of the blocks that it reads.
        output: whether an output of the network comes of it.
    """

    row: int
    text: str
    name: str
    reads: tuple[int, ...] = ()
    output: bool = False


@dataclass(frozen=True)
class Blocks:
    """A network of blocks, each after those that it reads.

    Attributes:
        title: what it is.
        rows: what stands beside each row.
        blocks: them.

    >>> net = Blocks("two", ("8x8",), (Block(0, "2", "a"), Block(0, "4", "b", (0,))))
    >>> net.places
    (Point(x=0.0, y=0.0), Point(x=88.0, y=0.0))
    """

    title: str
    rows: tuple[str, ...]
    blocks: tuple[Block, ...]

    @property
    def alt(self) -> str:
        """What a picture of it shows, in a sentence."""
        arrows = sum(len(block.reads) for block in self.blocks)
        return (
            f"{self.title}: {_several(len(self.blocks), 'block')} in "
            f"{_several(len(self.rows), 'row')}, one for each resolution, with "
            f"{_several(arrows, 'connection')}."
        )

    @property
    def places(self) -> tuple[Point, ...]:
        """The centre of each block: a row down, and a column from what it reads."""
        widest = max((_width(block.name) for block in self.blocks), default=0.0)
        across = max(style.ROW_PITCH, widest + style.CLEARANCE)
        found: list[tuple[int, int]] = []
        for block in self.blocks:
            column = max((found[n][1] + 1 for n in block.reads), default=0)
            while (block.row, column) in found:
                column += 1
            found.append((block.row, column))
        return tuple(
            Point(across * column, 0.0 - style.ROW_PITCH * row) for row, column in found
        )


def blocks_figure(net: Blocks, title: str | None = None) -> Figure:
    """The figure of `net`; `title` stands in place of its own, "" for none."""
    shown = net.title if title is None else title
    shapes = [*_arrows(net), *_discs(net), *_rows(net)]
    low, high = hull([*_boxes(shapes)])
    if shown:
        top = Point((low.x + high.x) / 2, high.y + style.TITLE_GAP)
        shapes.append(Words("title", top, shown, size=style.TITLE_SIZE))
        low, high = hull([*_boxes(shapes)])
    margin = style.MARGIN
    page = (
        Point(low.x - margin, low.y - margin),
        Point(high.x + margin, high.y + margin),
    )
    return Figure(shown or net.title, net.alt, page, (), tuple(shapes))


def _arrows(net: Blocks) -> Iterator[Shape]:
    for n, (block, target) in enumerate(zip(net.blocks, net.places, strict=True)):
        for m in block.reads:
            row, source = net.blocks[m].row, net.places[m]
            kind = "skip" if row == block.row else "down" if row < block.row else "up"
            look = style.EDGES[kind]
            others = [x for k, x in enumerate(net.places) if k not in (m, n)]
            curve = clear(source, target, look, others)
            yield Arrow(f"b{m}", f"b{n}", curve, look)


def _discs(net: Blocks) -> Iterator[Shape]:
    """Blocks with their names, which keep clear of arrows down to the right."""
    leading = {m for x in net.blocks for m in x.reads if net.blocks[m].row < x.row}
    for n, (block, place) in enumerate(zip(net.blocks, net.places, strict=True)):
        look = style.NODES["head" if block.output else "nested"]
        yield Disc(f"b{n}", place, style.RADIUS, look)
        yield Words(f"b{n}_text", place, block.text)
        below, name = place.plus(Point(0.0, -_BELOW)), _short(block.name)
        if n in leading:
            end = below.plus(Point(style.RADIUS / 2, 0.0))
            yield Words(f"b{n}_name", end, name, "right", size=_NAME_SIZE)
        else:
            yield Words(f"b{n}_name", below, name, size=_NAME_SIZE)


def _rows(net: Blocks) -> Iterator[Shape]:
    for row, text in enumerate(net.rows):
        end = Point(-style.ROW_TEXT_END, 0.0 - style.ROW_PITCH * row)
        yield Words(f"row{row}", end, text, "right")


def _boxes(shapes: list[Shape]) -> Iterator[tuple[Point, Point]]:
    """What the shapes cover."""
    for shape in shapes:
        if isinstance(shape, Disc):
            reach = Point(shape.radius, shape.radius)
            yield shape.centre.plus(Point(-reach.x, -reach.y)), shape.centre.plus(reach)
        elif isinstance(shape, Arrow):
            yield from ((point, point) for point in shape.curve.points())
        elif isinstance(shape, Words):
            width, half = style.text_width(shape.text, shape.size), shape.size / 2
            left = {"middle": width / 2, "left": 0.0, "right": width}[shape.side]
            yield (
                shape.place.plus(Point(-left, -half)),
                shape.place.plus(Point(width - left, half)),
            )


def _several(number: int, thing: str) -> str:
    """A number of things.

    >>> _several(1, "row"), _several(2, "row")
    ('1 row', '2 rows')
    """
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def _short(name: str) -> str:
    """The end of a long name, which says the most."""
    return name if len(name) <= _NAME_LETTERS else f"…{name[1 - _NAME_LETTERS :]}"


def _width(name: str) -> float:
    return style.text_width(_short(name), _NAME_SIZE)
