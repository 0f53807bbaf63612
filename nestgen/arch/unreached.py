"""What of a network no gradient reaches, by its graph and by formula. No torch."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from nestgen.arch.cost import default_size, head_cost, node_cost
from nestgen.arch.graph import NestGraph


@dataclass(frozen=True)
class Part:
    """A node with what stands on the edges into it, or a head: its name, its size."""

    name: str
    parameters: int


def unreached(graph: NestGraph, levels: Iterable[int]) -> tuple[Part, ...]:
    """The nodes, then the heads, that get no gradient from the heads of `levels`.

    A gradient runs from a head's node back to all that the node depends on, and so
    reaches what a cut keeps. `CutError` for a level without a head.

    >>> from nestgen.arch.spec import NestSpec
    >>> graph = NestGraph(NestSpec(family="unet-e", depth=2))
    >>> [part.name for part in unreached(graph, [2])]
    ['X[0,1]', 'head L1']
    >>> unreached(graph, [1, 2])
    ()
    """
    kept, size = graph.cut(levels), default_size(graph)
    nodes = [
        Part(node.label, node_cost(graph, node, size).parameters)
        for node in graph.nodes
        if node not in kept.dag
    ]
    heads = [
        Part(f"head L{level}", head_cost(graph, level, size).parameters)
        for level in graph.levels
        if level not in kept.levels
    ]
    return (*nodes, *heads)
