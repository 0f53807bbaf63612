"""How each node and edge of a network looks: by its part, a cut, gradients, heat."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from nestgen.arch.families import FAMILIES
from nestgen.arch.graph import Edge, NestGraph, Node
from nestgen.drawing import style
from nestgen.drawing.measures import Scale
from nestgen.drawing.options import Options
from nestgen.drawing.style import EdgeLook, NodeLook
from nestgen.errors import CutError, DrawingError


@dataclass(frozen=True)
class Looks:
    """What of `graph` is drawn how, with `kept` in colour and all else in grey.

    >>> from nestgen.arch.spec import NestSpec
    >>> looks = looks_of(NestGraph(NestSpec(depth=2)), Options(level=1))
    >>> looks.part(Node(0, 1)), looks.part(Node(1, 1)), looks.part(Node(0, 0))
    ('head', 'dropped', 'encoder')
    """

    graph: NestGraph
    kept: NestGraph
    backward: bool = False

    def part(self, node: Node) -> str:
        """The key of a node in `style.NODES`."""
        if node not in self.kept.dag:
            return "dead" if self.backward else "dropped"
        if node in (self.graph.head(level) for level in self.kept.levels):
            return "head"
        if node.j == 0 and self.graph.spec.encoder_row in (None, *range(node.i + 1)):
            return "encoder"
        return "decoder" if FAMILIES[self.graph.spec.family].single else "nested"

    def edge(self, edge: Edge) -> EdgeLook:
        """How an edge looks: grey if nothing that is kept needs it."""
        look = style.EDGES[edge.kind]
        if edge.target not in self.kept.dag:
            name = "no gradient" if self.backward else ""
            return replace(look, name=name, line=style.DROPPED_LINE)
        if self.backward:
            name = "gradient, from the heads back"
            return replace(look, name=name, line=style.BACKWARD_LINE)
        return look

    def tag(self, level: int) -> NodeLook:
        """How the tag of a head looks."""
        if level in self.kept.levels:
            return style.NODES["head"]
        return style.NODES["dropped"]

    def reaching(self, node: Node) -> str:
        """The heads whose gradient reaches a node, as L1-4 or L2,4; "" for none."""
        reach = [k for k in self.kept.levels if node in self.graph.needed(k)]
        if len(reach) > 2 and reach[-1] - reach[0] == len(reach) - 1:
            return f"L{reach[0]}-{reach[-1]}"
        return "L" + ",".join(map(str, reach)) if reach else ""


def looks_of(graph: NestGraph, options: Options) -> Looks:
    """The looks of one network; `DrawingError` for a level without a head."""
    try:
        if options.level is not None:
            return Looks(graph, graph.level(options.level))
        if options.gradients is not None:
            return Looks(graph, graph.cut(options.gradients), backward=True)
    except CutError as error:
        raise DrawingError(str(error)) from None
    return Looks(graph, graph)


def heated(look: NodeLook, scale: Scale, value: int) -> NodeLook:
    """`look` filled with the colour of `value`."""
    colour = style.ramp(scale.of_heat(value))
    return replace(look, fill=colour, ink=style.RAMP_INK)


def node_looks(drawn: Iterable[Looks]) -> list[NodeLook]:
    """The looks of nodes that occur, in the order of their table."""
    parts = {looks.part(node) for looks in drawn for node in looks.graph.nodes}
    return [look for part, look in style.NODES.items() if part in parts]


def edge_looks(drawn: Iterable[Looks]) -> list[EdgeLook]:
    """The looks of edges that occur, one of each name, likewise; grey ones last."""
    found = [
        (edge.kind, looks.edge(edge)) for looks in drawn for edge in looks.graph.edges
    ]
    named: dict[str, EdgeLook] = {}
    for kind in style.EDGES:
        for look in (look for other, look in found if other == kind and look.name):
            named.setdefault(look.name, look)
    return sorted(named.values(), key=lambda look: look.line == style.DROPPED_LINE)
