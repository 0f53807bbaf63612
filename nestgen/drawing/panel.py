"""One network of a figure: its shapes, where its layout has them."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from nestgen.arch.graph import NestGraph, Node
from nestgen.drawing import style
from nestgen.drawing.curves import Point
from nestgen.drawing.layout import Layout, label_place
from nestgen.drawing.looks import Looks, heated
from nestgen.drawing.measures import Scale, fitted, times
from nestgen.drawing.options import Options
from nestgen.drawing.shapes import Arrow, Disc, Inside, Label, Shape, Tag, Words
from nestgen.drawing.style import NodeLook


@dataclass(frozen=True)
class Shown:
    """A measure on its scale, and its value for each node that has one."""

    scale: Scale
    values: Mapping[Node, int]


@dataclass(frozen=True)
class Panel:
    """A network and what is written and shown of it.

    Attributes:
        looks: what is drawn how.
        title: the lines above it.
        rows: the text beside each row.
        channels: whether nodes say how many they have.
        heat: what the nodes' colours show.
        area: what the nodes' areas show.
    """

    looks: Looks
    title: tuple[str, ...] = ()
    rows: tuple[str, ...] = ()
    channels: bool = False
    heat: Shown | None = None
    area: Shown | None = None

    @property
    def graph(self) -> NestGraph:
        """The network."""
        return self.looks.graph

    def shapes(self, layout: Layout, prefix: str = "") -> Iterator[Shape]:
        """All shapes; those of nodes in colour after those in grey."""
        kept = self.looks.kept.dag
        for edge in sorted(self.graph.edges, key=lambda edge: edge.target in kept):
            look, ends = self.looks.edge(edge), map(self.radius, edge[:2])
            curve = layout.curves[edge].reaching(*ends)
            source, target = prefix + edge.source.name, prefix + edge.target.name
            if self.looks.backward and edge.target in kept:
                yield Arrow(target, source, curve.backward(look), look)
            else:
                yield Arrow(source, target, curve, look)
        for level, centre in layout.tags.items():
            node = self.graph.head(level)
            border = layout.centres[node].plus(Point(0.0, self.radius(node)))
            name, above = f"L{level}", self.looks.tag(level)
            yield Tag(prefix + name, name, centre, prefix + node.name, border, above)
        for node in sorted(self.graph.nodes, key=kept.__contains__):
            yield from self._node(node, layout, prefix)
        for n, (text, point) in enumerate(zip(self.title, layout.title, strict=True)):
            yield Words(f"{prefix}title{n}", point, text, size=style.TITLE_SIZE)
        for n, (text, point) in enumerate(zip(self.rows, layout.rows, strict=True)):
            yield Words(f"{prefix}row{n}", point, text, "right")

    def look(self, node: Node) -> NodeLook:
        """How a node looks."""
        look = self.adapted(style.NODES[self.looks.part(node)])
        if self.heat and node in self.heat.values:
            return heated(look, self.heat.scale, self.heat.values[node])
        return look

    def adapted(self, look: NodeLook) -> NodeLook:
        """`look` as far as all its nodes share it.

        Where areas show something, one thin outline has to do.
        """
        if self.heat and look not in (style.NODES["dropped"], style.NODES["dead"]):
            look = replace(look, fill="#ffffff")
        elif self.area:
            look = replace(look, fill=look.strong)
        return replace(look, rings=1, width=1.0) if self.area else look

    def radius(self, node: Node) -> float:
        """The radius of a node, whose area is in proportion to what it shows."""
        if self.area is None:
            return style.RADIUS
        share = self.area.scale.of_area(self.area.values.get(node, 0))
        return float(max(style.RADIUS * share**0.5, style.DOT))

    def _node(self, node: Node, layout: Layout, prefix: str) -> Iterator[Shape]:
        name, look, radius = prefix + node.name, self.look(node), self.radius(node)
        centre = layout.centres[node]
        scale = style.SMALL if self.area else 1.0
        inside = Inside(node.i, node.j, self.below(node), scale)
        if radius >= style.LABEL_ROOM:
            yield Disc(name, centre, radius, look, inside)
        else:
            yield Disc(name, centre, radius, look)
            ink = style.INK if node in self.looks.kept.dag else look.ink
            yield Label(f"{name}_name", label_place(layout, node), inside, ink)

    def below(self, node: Node) -> str:
        """The small line in a node."""
        if self.looks.backward:
            return self.looks.reaching(node)
        return str(self.graph.width(node)) if self.channels else ""


def heading(graph: NestGraph, options: Options, *, own: bool = True) -> str:
    """The title of one network: what `options` say, its own, or what it is."""
    label = graph.spec.label.replace("^e", "ᵉ")
    title = (graph.spec.title if own else None) or label
    if options.title is not None:
        title = options.title
    one_line = " ".join(title.split())
    if one_line and options.level is not None:
        return f"{one_line}, cut at L{options.level}"
    if one_line and options.gradients is not None:
        levels = ", ".join(f"L{level}" for level in options.gradients)
        return f"{one_line}, gradient from {levels}"
    return one_line


def wrapped(title: str) -> tuple[str, ...]:
    """A title in at most three lines."""
    lines = textwrap.wrap(title, style.TITLE_LETTERS, max_lines=3, placeholder=" …")
    return tuple(lines)


def resolutions(graph: NestGraph, size: tuple[int, ...]) -> tuple[str, ...]:
    """The size of each row for an input of `size`; `DrawingError` if it takes none."""
    whole = fitted(graph, size)
    return tuple(times(graph.size_at(i, whole)) for i in range(graph.depth + 1))
