"""NestGraph: a nested U-Net as the directed acyclic graph of its nodes X[i,j]."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import Literal, NamedTuple

import networkx as nx

from nestgen.arch.families import FAMILIES
from nestgen.arch.spec import NestSpec

EdgeKind = Literal["down", "up", "skip"]


class Node(NamedTuple):
    """X[i,j]: row i has resolution 1/2^i, column j counts along the skip pathway."""

    i: int
    j: int

    @property
    def name(self) -> str:
        """How code and state dicts call it.

        >>> Node(0, 3).name
        'x0_3'
        """
        return f"x{self.i}_{self.j}"


class Edge(NamedTuple):
    """`source` feeds `target`: `down` pools, `up` up-samples, `skip` is as it is."""

    source: Node
    target: Node
    kind: EdgeKind


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
        whole = nx.DiGraph()
        for node in _triangle(spec.depth):
            whole.add_node(node)
            for edge in _inputs(spec, node):
                whole.add_edge(edge.source, edge.target, kind=edge.kind)
        needed = _needed(whole, spec.heads) if spec.trim else set(whole)
        self.dag: nx.DiGraph[Node] = nx.freeze(whole.subgraph(needed).copy())

    @property
    def depth(self) -> int:
        """d: the row of the deepest node, X[d,0]."""
        return self.spec.depth

    @property
    def levels(self) -> tuple[int, ...]:
        """The levels that have a head: k stands for X[0,k]."""
        return self.spec.heads

    @cached_property
    def nodes(self) -> tuple[Node, ...]:
        """All nodes in topological order, by anti-diagonals i+j, each from below."""
        return tuple(node for node in _triangle(self.depth) if node in self.dag)

    @cached_property
    def edges(self) -> tuple[Edge, ...]:
        """All edges, by target and then in the order of the concatenation."""
        return tuple(edge for node in self.nodes for edge in self.inputs(node))

    def needed(self, level: int) -> frozenset[Node]:
        """The nodes of the level: X[0,k] and all that it depends on."""
        return frozenset(_needed(self.dag, [level]))

    def inputs(self, node: Node) -> tuple[Edge, ...]:
        """The edges into `node`, in the order in which it concatenates them."""
        return tuple(_inputs(self.spec, node))

    def width(self, node: Node) -> int:
        """Channels of X[i,j]: those of its row."""
        return self.spec.widths[node.i]

    def in_channels(self, node: Node) -> int:
        """Channels that X[i,j] reads, concatenated.

        >>> NestGraph(NestSpec(depth=2)).in_channels(Node(0, 2))
        48
        """
        if node == (0, 0):
            return self.spec.in_channels
        return sum(self.channels(edge) for edge in self.inputs(node))

    def channels(self, edge: Edge) -> int:
        """Channels that arrive over `edge`; a transposed convolution changes them."""
        learned = edge.kind == "up" and self.spec.up == "transpose"
        return self.width(edge.target if learned else edge.source)

    def level(self, k: int) -> NestGraph:
        """What X[0,k] depends on, with the head Lk alone."""
        return self.cut([k])

    def cut(self, levels: Iterable[int]) -> NestGraph:
        """What the heads of `levels` depend on; `CutError` for one without a head."""
        return NestGraph(self.spec.cut(levels))


def _triangle(depth: int) -> Iterator[Node]:
    for diagonal in range(depth + 1):
        for j in range(diagonal + 1):
            yield Node(diagonal - j, j)


def _inputs(spec: NestSpec, node: Node) -> list[Edge]:
    i, j = node
    if j == 0:
        return [Edge(Node(i - 1, 0), node, "down")] if i else []
    columns = FAMILIES[spec.family].skips(j)
    skips = [Edge(Node(i, k), node, "skip") for k in columns]
    up = [Edge(Node(i + 1, j - 1), node, "up")]
    orders = {
        "up-first": up + skips,
        "up-last": skips + up,
        "up-first-newest": up + skips[::-1],
    }
    return orders[spec.concat]


def _needed(dag: nx.DiGraph[Node], levels: Iterable[int]) -> set[Node]:
    outputs = [Node(0, level) for level in levels]
    return set(outputs).union(*(nx.ancestors(dag, node) for node in outputs))
