"""Where everything stands: the triangle of the paper as plain numbers.

X[i,j] stands at column j + i/2 of row i, so that the network is an equilateral
triangle on its tip. Lengths are points; y grows upwards, X[0,0] stands at (0, 0).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from nestgen.arch.graph import Edge, NestGraph, Node
from nestgen.drawing import style
from nestgen.drawing.curves import Curve, Point
from nestgen.drawing.routes import Arcs, Box, outside, routes


@dataclass(frozen=True)
class Layout:
    """The place of each thing that is drawn.

    Attributes:
        centres: of the nodes; all have the radius `style.RADIUS`.
        curves: of the edges.
        tags: the centres of the heads' tags, by level.
        rows: where the text of each row ends, to the left of X[i,0].
        title: the centre of each line of the title.
        legend: where each entry of the legend starts.
        page: the lower left and the upper right corner.
    """

    centres: dict[Node, Point]
    curves: dict[Edge, Curve]
    tags: dict[int, Point]
    rows: tuple[Point, ...]
    title: tuple[Point, ...]
    legend: tuple[Point, ...]
    page: Box


def place(
    graph: NestGraph,
    *,
    title: Sequence[str] = (),
    rows: Sequence[str] = (),
    legend: Sequence[str] = (),
    top: float = 0.0,
) -> Layout:
    """Lay out `graph` with the lines of a title, a text a row, a legend's entries.

    The title stands above `top` at the least, so that those of neighbours agree.

    >>> from nestgen.arch.spec import NestSpec
    >>> layout = place(NestGraph(NestSpec(depth=2)))
    >>> layout.centres[Node(0, 0)]
    Point(x=0.0, y=0.0)
    """
    arcs = Arcs(graph)
    pitch = _pitch(arcs)
    centres = {node: _at(node, pitch) for node in graph.nodes}
    tags = {k: _tag(centres[graph.head(k)]) for k in graph.levels}
    curves = routes(graph, arcs, centres, map(tag_box, tags.values()))
    row_ends = tuple(
        _at(Node(i, 0), pitch).plus(Point(-style.ROW_TEXT_END, 0.0))
        for i in range(len(rows))
    )
    drawn = [
        *(_around(centre, style.RADIUS, style.RADIUS) for centre in centres.values()),
        *map(tag_box, tags.values()),
        *((point, point) for curve in curves.values() for point in curve.points()),
        *map(_row_box, row_ends, rows),
    ]
    lines = _title(title, hull(drawn), top)
    entries = _legend(legend, drawn)
    drawn += map(_title_box, lines, title)
    drawn += map(_entry_box, entries, legend)
    (left, low), (right, high) = hull(drawn)
    return Layout(
        centres=centres,
        curves=curves,
        tags=tags,
        rows=row_ends,
        title=lines,
        legend=entries,
        page=(
            Point(math.floor(left - style.MARGIN), math.floor(low - style.MARGIN)),
            Point(math.ceil(right + style.MARGIN), math.ceil(high + style.MARGIN)),
        ),
    )


def label_place(layout: Layout, node: Node) -> Point:
    """Where a name stands beside its node: the first place that no edge crosses.

    Where edges cross all of them, it is the place that they cross the least.
    """
    centre = layout.centres[node]
    places = [
        centre.towards(math.radians(angle), style.LABEL_DISTANCE)
        for angle in style.LABEL_ANGLES
    ]
    near = [
        point
        for curve in layout.curves.values()
        for point in curve.points()
        if math.dist(point, centre) < 2 * style.ROW_TEXT_END
    ]

    def free(place: Point) -> float:
        box = label_box(place)
        nearest = min((outside(point, box) for point in near), default=math.inf)
        return min(nearest, style.CLEARANCE / 2)

    return max(places, key=free)


def label_box(middle: Point) -> Box:
    """What a name beside its node covers."""
    return _around(middle, style.LABEL_WIDTH / 2, style.LABEL_HEIGHT / 2)


def tag_box(centre: Point) -> Box:
    """What the tag at `centre` covers."""
    return _around(centre, style.TAG_WIDTH / 2, style.TAG_HEIGHT / 2)


def hull(boxes: Iterable[Box]) -> Box:
    """The smallest box around all of `boxes`.

    >>> hull([(Point(0, 0), Point(1, 1)), (Point(-1, 0), Point(0, 3))])
    (Point(x=-1, y=0), Point(x=1, y=3))
    """
    corners = [corner for box in boxes for corner in box]
    return (
        Point(min(x for x, _ in corners), min(y for _, y in corners)),
        Point(max(x for x, _ in corners), max(y for _, y in corners)),
    )


def _pitch(arcs: Arcs) -> float:
    """From row to row: as close as the arcs between them allow."""
    room = arcs.peak(first_row=False) + style.ARC_ROOM + style.RADIUS
    return max(style.ROW_PITCH, room)


def _at(node: Node, pitch: float) -> Point:
    column = pitch * 2 / math.sqrt(3)
    return Point(column * (node.j + node.i / 2), 0.0 - pitch * node.i)


def _tag(centre: Point) -> Point:
    return Point(centre.x, centre.y + style.TAG_TOP - style.TAG_HEIGHT / 2)


def _legend(texts: Sequence[str], drawn: Sequence[Box]) -> tuple[Point, ...]:
    """Entries downwards, in the lower right corner or, lacking room, right of it."""
    (_, low), (right, _) = hull(drawn)
    first = low + style.LEGEND_ROW / 2
    top = low + style.LEGEND_ROW * (len(texts) + 0.5)
    width = style.LEGEND_TEXT + max(
        (style.text_width(text, style.TEXT_SIZE) for text in texts), default=0.0
    )
    beside = [box[1].x + style.LEGEND_CLEARANCE for box in drawn if box[0].y < top]
    start = max([right - width, *beside])
    return tuple(
        Point(start, first + style.LEGEND_ROW * above)
        for above in reversed(range(len(texts)))
    )


def _title(texts: Sequence[str], drawn: Box, top: float) -> tuple[Point, ...]:
    (left, _), (right, high) = drawn
    foot = max(top, high) + style.TITLE_GAP
    return tuple(
        Point((left + right) / 2, foot + style.TITLE_LEADING * above)
        for above in reversed(range(len(texts)))
    )


def _row_box(end: Point, text: str) -> Box:
    width, half = style.text_width(text, style.TEXT_SIZE), style.TEXT_SIZE / 2
    return Point(end.x - width, end.y - half), Point(end.x, end.y + half)


def _entry_box(start: Point, text: str) -> Box:
    width = style.LEGEND_TEXT + style.text_width(text, style.TEXT_SIZE)
    half = style.LEGEND_ROW / 2
    return Point(start.x, start.y - half), Point(start.x + width, start.y + half)


def _title_box(middle: Point, text: str) -> Box:
    return _around(
        middle, style.text_width(text, style.TITLE_SIZE) / 2, style.TITLE_SIZE / 2
    )


def _around(centre: Point, across: float, up: float) -> Box:
    return (
        Point(centre.x - across, centre.y - up),
        Point(centre.x + across, centre.y + up),
    )
