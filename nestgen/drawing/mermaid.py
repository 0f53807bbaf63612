"""The drawing as Mermaid, which hosts of README files draw by themselves.

Mermaid places the nodes; the rows are its subgraphs, strokes and colours are ours.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from nestgen.drawing import style
from nestgen.drawing.figure import Figure
from nestgen.drawing.panel import Panel
from nestgen.errors import DrawingError

_LINKS = {"down": "-->", "up": "==>", "skip": "-.->"}
"""Thin, thick and dotted."""
_BARE = {"down": "---", "up": "===", "skip": "-.-"}
"""The same without an arrow head."""


def mermaid_text(drawn: Figure) -> str:
    """A figure of one network as a flowchart; the same each time.

    Raises `DrawingError` for what a flowchart cannot show.

    >>> from nestgen.arch.graph import NestGraph
    >>> from nestgen.arch.spec import NestSpec
    >>> from nestgen.drawing.figure import figure
    >>> from nestgen.drawing.options import Options
    >>> drawn = figure([NestGraph(NestSpec(depth=1))], Options(title=""))
    >>> mermaid_text(drawn).splitlines()[:2]
    ['flowchart LR', '  accTitle: UNet++ of depth 1']
    """
    if len(drawn.panels) > 1:
        raise DrawingError(
            f"{len(drawn.panels)} networks: Mermaid shows one, .svg and .tex several"
        )
    panel = drawn.panels[0]
    if panel.area:
        raise DrawingError("area: Mermaid fills nodes whole, --heat has colours for it")
    title = json.dumps(" ".join(panel.title), ensure_ascii=False)
    head = ["---", f"title: {title}", "---"] if panel.title else []
    body = [
        *head,
        f"flowchart {'RL' if panel.looks.backward else 'LR'}",
        f"  accTitle: {_text(drawn.title)}",
        f"  accDescr: {_text(drawn.alt)}",
        *_rows(panel),
        *_links(panel),
        *_classes(panel),
    ]
    return "\n".join(body) + "\n"


def _rows(panel: Panel) -> Iterator[str]:
    """A subgraph for each row, the deepest first: so row 0 comes out on top."""
    heads = {panel.graph.head(level): level for level in panel.graph.levels}
    for row in reversed(range(panel.graph.depth + 1)):
        text = panel.rows[row] if panel.rows else f"row {row}"
        yield f'  subgraph row{row} ["{_text(text)}"]'
        for node in sorted(node for node in panel.graph.nodes if node.i == row):
            lines = [f"X<sup>{node.i},{node.j}</sup>"]
            lines += [f"<b>L{heads[node]}</b>"] if node in heads else []
            lines += [below] if (below := panel.below(node)) else []
            yield f'    {node.name}("{"<br>".join(lines)}")'
        yield "  end"
        yield f"  style row{row} fill:none,stroke:{style.DROPPED_LINE}"


def _links(panel: Panel) -> Iterator[str]:
    """A link for each edge, in the order by which Mermaid puts row 0 on top.

    All run the same way, or it would place the nodes anew: where gradients run
    backwards, edges without one have no arrow head.
    """
    edges = sorted(panel.graph.edges, key=lambda edge: (-edge.target.i, edge.source.i))
    if panel.looks.backward:
        edges.reverse()
    for n, edge in enumerate(edges):
        source, target = edge.source.name, edge.target.name
        if not panel.looks.backward:
            yield f"  {source} {_LINKS[edge.kind]} {target}"
        elif edge.target in panel.looks.kept.dag:
            yield f"  {target} {_LINKS[edge.kind]} {source}"
        else:
            yield f"  {target} {_BARE[edge.kind]} {source}"
        yield f"  linkStyle {n} stroke:{panel.looks.edge(edge).line}"


def _classes(panel: Panel) -> Iterator[str]:
    """The look of each node, in one class for all that share it."""
    shared: dict[str, list[str]] = {}
    for node in panel.graph.nodes:
        look = panel.look(node)
        dashes = ",stroke-dasharray:4 3" if look.dashed else ""
        text = (
            f"fill:{look.fill},stroke:{look.line},stroke-width:{look.width:g}px,"
            f"color:{look.ink}{dashes}"
        )
        shared.setdefault(text, []).append(node.name)
    for n, (text, names) in enumerate(shared.items()):
        yield f"  classDef look{n} {text}"
        yield f"  class {','.join(names)} look{n}"


def _text(words: str) -> str:
    """Text that ends neither its quotes nor its line.

    >>> _text('a "b"; #1')
    'a #quot;b#quot;#59; #35;1'
    """
    shown = "".join(letter if letter.isprintable() else "?" for letter in words)
    marks = {'"': "#quot;", "#": "#35;", ";": "#59;", "<": "#lt;", ">": "#gt;"}
    return "".join(marks.get(letter, letter) for letter in shown)
