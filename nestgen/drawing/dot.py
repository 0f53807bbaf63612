"""The drawing as DOT text: every place is given, so that an engine only draws."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import replace

from nestgen.arch.cost import fitting_size
from nestgen.arch.families import FAMILIES
from nestgen.arch.graph import NestGraph, Node
from nestgen.drawing import style
from nestgen.drawing.curves import Point, chord
from nestgen.drawing.layout import Layout, place
from nestgen.drawing.shapes import arrow, disc, name_inside, stem, tag, unseen, words
from nestgen.drawing.style import EdgeLook, NodeLook
from nestgen.drawing.syntax import literal, quoted
from nestgen.errors import CutError, DrawingError, SpecError

_DEFAULTS = (
    '  graph [bgcolor="white", pad="0", outputorder="edgesfirst"];',
    '  node [shape="circle", style="filled", fixedsize="true", margin="0", label=""];',
)


def dot_text(
    graph: NestGraph,
    *,
    level: int | None = None,
    channels: bool = False,
    size: tuple[int, ...] | None = None,
    legend: bool = True,
    title: str | None = None,
) -> str:
    """The drawing of `graph` in the DOT language, for `neato -n2`; the same each time.

    `level` greys what a cut at that level drops; `channels` writes the width of each
    node into it; `size`, (H, W) of the input in pixels, writes each row's resolution
    beside it; `title` replaces the spec's own, and "" leaves it out.
    Raises `DrawingError` for a level without a head, and for a size that cannot be
    halved from row to row.

    >>> from nestgen.arch.spec import NestSpec
    >>> print(dot_text(NestGraph(NestSpec(depth=1)))[:29])
    digraph "UNet++ of depth 1" {
    """
    kept = _cut(graph, level)
    cut = "" if level is None else f", cut at L{level}"
    label = graph.spec.label.replace("^e", "ᵉ")
    heading = graph.spec.title or label if title is None else title
    lines = _wrapped(heading + cut) if heading else []
    rows = _resolutions(graph, size) if size else []
    looks = _legend(graph, kept) if legend else []
    layout = place(graph, title=lines, rows=rows, legend=[look.name for look in looks])
    body = [
        f"digraph {quoted(literal(label + cut))} {{",
        *_DEFAULTS,
        *_nodes(graph, kept, layout, channels),
        *_heads(kept, layout),
        *_edges(graph, kept, layout),
        *_texts(lines, rows, layout),
        *_samples(looks, layout),
        *(unseen(f"corner{n}", point) for n, point in enumerate(layout.page)),
        "}\n",
    ]
    return "\n".join(body)


def _cut(graph: NestGraph, level: int | None) -> NestGraph:
    try:
        return graph if level is None else graph.level(level)
    except CutError as error:
        raise DrawingError(str(error)) from None


def _wrapped(title: str) -> list[str]:
    one_line = " ".join(title.split())
    return textwrap.wrap(one_line, style.TITLE_LETTERS, max_lines=3, placeholder=" …")


def _resolutions(graph: NestGraph, size: tuple[int, ...]) -> list[str]:
    try:
        whole = fitting_size(graph, size)
    except SpecError as error:
        raise DrawingError(str(error)) from None
    return [
        " \N{MULTIPLICATION SIGN} ".join(map(str, graph.size_at(i, whole)))
        for i in range(graph.depth + 1)
    ]


def _look(node: Node, kept: NestGraph) -> NodeLook:
    if node not in kept.dag:
        return style.NODES["dropped"]
    if node.i == 0 and node.j in kept.levels:
        return style.NODES["head"]
    if node.j == 0:
        return style.NODES["encoder"]
    return style.NODES["decoder" if FAMILIES[kept.spec.family].single else "nested"]


def _legend(graph: NestGraph, kept: NestGraph) -> list[NodeLook | EdgeLook]:
    """The looks that occur, in the order of their tables."""
    nodes = {_look(node, kept) for node in graph.nodes}
    kinds = {edge.kind for edge in kept.edges}
    return [
        *(look for look in style.NODES.values() if look in nodes),
        *(look for kind, look in style.EDGES.items() if kind in kinds),
    ]


def _nodes(
    graph: NestGraph, kept: NestGraph, layout: Layout, channels: bool
) -> Iterator[str]:
    for node in sorted(graph.nodes, key=kept.dag.__contains__):
        inside = name_inside(node.i, node.j, graph.width(node) if channels else None)
        look = _look(node, kept)
        yield disc(node.name, layout.centres[node], style.RADIUS, look, inside)


def _heads(kept: NestGraph, layout: Layout) -> Iterator[str]:
    for level, centre in layout.tags.items():
        look = style.NODES["head" if level in kept.levels else "dropped"]
        node, name = Node(0, level), f"L{level}"
        border = Point(centre.x, layout.centres[node].y + style.RADIUS)
        yield tag(name, centre, look)
        yield stem(node.name, name, border, centre, look)


def _edges(graph: NestGraph, kept: NestGraph, layout: Layout) -> Iterator[str]:
    for edge in sorted(graph.edges, key=lambda edge: edge.target in kept.dag):
        look = style.EDGES[edge.kind]
        if edge.target not in kept.dag:
            look = replace(look, line=style.DROPPED_LINE)
        yield arrow(edge.source.name, edge.target.name, layout.curves[edge], look)


def _texts(lines: Sequence[str], rows: Sequence[str], layout: Layout) -> Iterator[str]:
    for n, (text, point) in enumerate(zip(lines, layout.title, strict=True)):
        yield words(f"title{n}", point, text, size=style.TITLE_SIZE)
    for n, (text, point) in enumerate(zip(rows, layout.rows, strict=True)):
        yield words(f"row{n}", point, text, "right")


def _samples(looks: Sequence[NodeLook | EdgeLook], layout: Layout) -> Iterator[str]:
    """The entries of the legend: a small node or a short edge, and its name."""
    for n, (look, start) in enumerate(zip(looks, layout.legend, strict=True)):
        end = Point(start.x + style.LEGEND_SAMPLE, start.y)
        text = Point(start.x + style.LEGEND_TEXT, start.y)
        yield words(f"legend{n}", text, look.name, "left")
        if isinstance(look, NodeLook):
            middle = Point((start.x + end.x) / 2, start.y)
            yield disc(f"sample{n}", middle, style.LEGEND_RADIUS, look)
        else:
            yield unseen(f"from{n}", start)
            yield unseen(f"to{n}", end)
            yield arrow(f"from{n}", f"to{n}", chord(start, end, look), look)
