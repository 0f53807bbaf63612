"""NestGraph: a nested U-Net as the directed acyclic graph of its nodes X[i,j]."""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import cached_property

import networkx as nx

from nestgen.arch.choices import LEARNED_UPS
from nestgen.arch.encoders import ENCODERS, Backbone
from nestgen.arch.families import FAMILIES
from nestgen.arch.grid import Edge as Edge
from nestgen.arch.grid import EdgeKind as EdgeKind
from nestgen.arch.grid import Node as Node
from nestgen.arch.inputs import ancestors, head_nodes
from nestgen.arch.spec import NestSpec
from nestgen.errors import SpecError


class NestGraph:
    """The nodes and edges of a spec's network; everything nestgen does reads it.

    >>> graph = NestGraph(NestSpec(depth=2))
    >>> [node.name for node in graph.nodes]
    ['x0_0', 'x1_0', 'x0_1', 'x2_0', 'x1_1', 'x0_2']
    >>> [edge.source.name for edge in graph.inputs(Node(0, 2))]
    ['x1_1', 'x0_0', 'x0_1']
    >>> graph.level(1).nodes
    (Node(i=0, j=0), Node(i=1, j=0), Node(i=0, j=1))
    """

    def __init__(self, spec: NestSpec) -> None:
        self.spec = spec
        self._inputs = spec.inputs
        self._widths = dict(spec.node_widths)
        dag: nx.DiGraph[Node] = nx.DiGraph()
        dag.add_nodes_from(self._inputs)
        for node in self._inputs:
            for edge in self.inputs(node):
                dag.add_edge(edge.source, edge.target, kind=edge.kind)
        self.dag = nx.freeze(dag)

    @property
    def depth(self) -> int:
        """d: the row of the deepest node."""
        return self.spec.depth

    @property
    def levels(self) -> tuple[int, ...]:
        """The levels that have a head."""
        return self.spec.heads

    @property
    def full_scale(self) -> bool:
        """Whether edges may span rows, each with a convolution of its own."""
        return FAMILIES[self.spec.family].full_scale

    @property
    def backbone(self) -> Backbone | None:
        """The encoder, where it is one of our own."""
        return ENCODERS.get(self.spec.encoder or "")

    def encoded(self, node: Node) -> bool:
        """Whether the encoder computes X[i,j].

        >>> graph = NestGraph(NestSpec(depth=1, encoder="resnet18"))
        >>> [node.name for node in graph.nodes if graph.encoded(node)]
        ['x1_0']
        """
        first = self.spec.encoder_row
        return first is not None and node.j == 0 and node.i >= first

    def foreign(self, node: Node) -> bool:
        """Whether a package's encoder does: all such nodes are one module."""
        return self.encoded(node) and self.backbone is None

    @property
    def has_formulas(self) -> bool:
        """Whether formulas of fields and memory know all layers: not a backbone's."""
        return self.spec.encoder is None

    def require_formulas(self) -> None:
        """Raise `SpecError` where there are none."""
        if not self.has_formulas:
            raise SpecError(f"encoder: {self.spec.encoder} has no such formula")

    @cached_property
    def nodes(self) -> tuple[Node, ...]:
        """All nodes in topological order, by anti-diagonals i+j, each from below."""
        order = nx.lexicographical_topological_sort(
            self.dag, key=lambda node: (node.i + node.j, node.j)
        )
        return tuple(order)

    @cached_property
    def edges(self) -> tuple[Edge, ...]:
        """All edges, by target and then in the order of the concatenation."""
        return tuple(edge for node in self.nodes for edge in self.inputs(node))

    @cached_property
    def multiples(self) -> tuple[int, ...]:
        """What each side of an input is a multiple of, where nothing is padded.

        >>> NestGraph(NestSpec(depth=4)).multiples
        (16, 16)
        """
        return self.scale(self.depth)

    @property
    def least(self) -> int:
        """How many of its multiples a side has at least, where nothing is padded.

        Two with instance norm, which has nothing to norm a single pixel by.
        """
        return 2 if self.spec.block.norm == "instance" else 1

    def scale(self, row: int, above: int = 0) -> tuple[int, ...]:
        """How much coarser `row` is than the row `above` it, on each axis.

        >>> NestGraph(NestSpec(depth=3, dims=3, strides=[[1, 2, 2], 2, 2])).scale(2)
        (2, 4, 4)
        """
        steps = (self.spec.stride(i) for i in range(above + 1, row + 1))
        return tuple(map(math.prod, zip((1,) * self.spec.dims, *steps, strict=True)))

    def size_at(self, row: int, size: tuple[int, ...]) -> tuple[int, ...]:
        """The size of `row` for an input of `size`, a multiple of `multiples`."""
        scale = self.scale(row)
        return tuple(side // by for side, by in zip(size, scale, strict=True))

    def head(self, level: int) -> Node:
        """The node on which the head of `level` stands: X[0,k], of UNet 3+ X[d-k,k].

        `CutError` for a level without a head.
        """
        self.spec.require_levels([level])
        return head_nodes(self.spec.family, self.depth, [level])[level]

    def needed(self, level: int) -> frozenset[Node]:
        """The nodes of the level: its head's node and all that it depends on."""
        return frozenset(ancestors(self._inputs, [self.head(level)]))

    @cached_property
    def stages(self) -> dict[int, tuple[Node, ...]]:
        """By level, the nodes that its head needs beyond those of the levels before.

        What no head needs comes with the last.

        >>> graph = NestGraph(NestSpec(depth=2))
        >>> {level: len(nodes) for level, nodes in graph.stages.items()}
        {1: 3, 2: 3}
        """
        left, found = list(self.nodes), {}
        for level in self.levels:
            last = level == self.levels[-1]
            wanted = frozenset(left) if last else self.needed(level)
            found[level] = tuple(node for node in left if node in wanted)
            left = [node for node in left if node not in wanted]
        return found

    def inputs(self, node: Node) -> tuple[Edge, ...]:
        """The edges into `node`, in the order in which it concatenates them."""
        return tuple(Edge(source, node) for source in self._inputs[node])

    def below(self, node: Node) -> Node:
        """What comes up into `node`, at first, and what its gates look at."""
        return next(edge.source for edge in self.inputs(node) if edge.kind == "up")

    def width(self, node: Node) -> int:
        """Channels of X[i,j]: those of its row, or of its own.

        Where edges are full-scale, a decoder node has as many as its edges bring.
        """
        if self.full_scale and node.j:
            return self.in_channels(node)
        return self._widths.get(node.name, self.spec.widths[node.i])

    def in_channels(self, node: Node) -> int:
        """Channels that X[i,j] reads, concatenated.

        >>> NestGraph(NestSpec(depth=2)).in_channels(Node(0, 2))
        48
        """
        if not self._inputs[node]:
            return self.spec.in_channels
        return sum(self.channels(edge) for edge in self.inputs(node))

    def channels(self, edge: Edge) -> int:
        """Channels that arrive over `edge`; what is learned on the way changes them."""
        spec, row = self.spec, edge.target.i
        if self.full_scale and edge.target.j:
            return spec.widths[0]
        if edge.kind == "up" and spec.up_widths is not None:
            return spec.up_widths[row]
        if edge.kind == "up" and spec.up in LEARNED_UPS:
            return spec.widths[row]
        return self.width(edge.source)

    def level(self, k: int) -> NestGraph:
        """What the head Lk depends on, with that head alone."""
        return self.cut([k])

    def cut(self, levels: Iterable[int]) -> NestGraph:
        """What the heads of `levels` depend on; `CutError` for one without a head."""
        return NestGraph(self.spec.cut(levels))
