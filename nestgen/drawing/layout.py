"""Where everything stands: the triangle of the paper as plain numbers.

X[i,j] stands at column j + i/2 of row i, so that the network is an equilateral
triangle on its tip. Lengths are points; y grows upwards, X[0,0] stands at (0, 0).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nestgen.arch.graph import Edge, NestGraph, Node
from nestgen.drawing import style
from nestgen.drawing.curves import Arcs, Curve, Point, arc, line


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
    page: tuple[Point, Point]


def place(
    graph: NestGraph,
    *,
    title: Sequence[str] = (),
    rows: Sequence[str] = (),
    legend: Sequence[str] = (),
) -> Layout:
    """Lay out `graph` with the lines of a title, a text a row, a legend's entries.

    >>> from nestgen.arch.spec import NestSpec
    >>> layout = place(NestGraph(NestSpec(depth=2)))
    >>> layout.centres[Node(0, 0)]
    Point(x=0.0, y=0.0)
    """
    arcs = Arcs(graph)
    centres = _triangle(graph, arcs)
    row_ends = tuple(
        Point(centres[Node(i, 0)].x - style.ROW_TEXT_END, centres[Node(i, 0)].y)
        for i in range(len(rows))
    )
    entries = _legend(legend, centres)

    starts = [
        end.x - style.text_width(text, style.TEXT_SIZE)
        for end, text in zip(row_ends, rows, strict=True)
    ]
    ends = [
        entry.x + style.LEGEND_TEXT + style.text_width(text, style.TEXT_SIZE)
        for entry, text in zip(entries, legend, strict=True)
    ]
    left = min([-style.RADIUS, *starts])
    right = max([*(x + style.RADIUS for x, _ in centres.values()), *ends])
    low = min(y for _, y in centres.values()) - style.RADIUS
    high = max(style.TAG_TOP, arcs.peak(head_row=True))

    middle = (left + right) / 2
    lines = tuple(
        Point(middle, high + style.TITLE_GAP + style.TITLE_LEADING * above)
        for above in reversed(range(len(title)))
    )
    if lines:
        high = lines[0].y + style.TITLE_SIZE / 2
    half = max(
        [
            right - middle,
            *(style.text_width(text, style.TITLE_SIZE) / 2 for text in title),
        ]
    )
    margin = style.MARGIN
    return Layout(
        centres=centres,
        curves={edge: _curve(edge, centres, arcs) for edge in graph.edges},
        tags={k: _tag(centres[Node(0, k)]) for k in graph.levels},
        rows=row_ends,
        title=lines,
        legend=entries,
        page=(
            Point(math.floor(middle - half - margin), math.floor(low - margin)),
            Point(math.ceil(middle + half + margin), math.ceil(high + margin)),
        ),
    )


def _triangle(graph: NestGraph, arcs: Arcs) -> dict[Node, Point]:
    """Rows as close as the arcs between them allow, equal sides."""
    room = arcs.peak(head_row=False) + style.ARC_ROOM + style.RADIUS
    row = max(style.ROW_PITCH, room)
    column = row * 2 / math.sqrt(3)
    return {
        node: Point(column * (node.j + node.i / 2), 0.0 - row * node.i)
        for node in graph.nodes
    }


def _curve(edge: Edge, centres: Mapping[Node, Point], arcs: Arcs) -> Curve:
    source, target = centres[edge.source], centres[edge.target]
    look = style.EDGES[edge.kind]
    if edge in arcs.edges:
        return arc(source, target, arcs.height(edge), arcs.angle(edge), look)
    return line(source, target, look)


def _tag(centre: Point) -> Point:
    return Point(centre.x, centre.y + style.TAG_TOP - style.TAG_HEIGHT / 2)


def _legend(texts: Sequence[str], centres: Mapping[Node, Point]) -> tuple[Point, ...]:
    """Entries downwards, in the lower right corner or, lacking room, right of it."""
    low = min(y for _, y in centres.values()) - style.RADIUS + style.LEGEND_ROW / 2
    top = low + style.LEGEND_ROW * len(texts)
    width = style.LEGEND_TEXT + max(
        (style.text_width(text, style.TEXT_SIZE) for text in texts), default=0.0
    )
    corner = max(x for x, _ in centres.values()) + style.RADIUS - width
    beside = [
        x + style.RADIUS + style.LEGEND_CLEARANCE
        for x, y in centres.values()
        if y - style.RADIUS < top
    ]
    start = max([corner, *beside])
    return tuple(
        Point(start, low + style.LEGEND_ROW * above)
        for above in reversed(range(len(texts)))
    )
