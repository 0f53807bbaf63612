"""Receptive fields, by formula: how much of the input a pixel of X[i,j] sees.

On each axis for itself, of an image without end, and of all pixels of a node, that
which sees the most.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from nestgen.arch.axis import Axis
from nestgen.arch.graph import NestGraph, Node


@dataclass(frozen=True)
class Field:
    """What a pixel sees.

    Attributes:
        pixels: on each axis, from the first to the last that convolutions, pooling and
            interpolation read. With `align_corners`, where the size decides, the most
            that it can be.
        whole: whether numbers about the whole image reach it besides, on which each
            pixel has its small share: squeeze-and-excite, instance and group norm.
    """

    pixels: tuple[int, ...]
    whole: bool = False

    def to_plain(self) -> dict[str, Any]:
        """As JSON types."""
        return {"pixels": list(self.pixels), "whole": self.whole}


def node_fields(graph: NestGraph) -> dict[Node, Field]:
    """The field of each node.

    Raises `SpecError` for a network with a backbone, and where a side has to be a
    multiple of more than 2^20.

    >>> from nestgen.arch.spec import NestSpec
    >>> fields = node_fields(NestGraph(NestSpec(depth=4)))
    >>> [fields[Node(i, 0)].pixels[0] for i in range(5)]
    [5, 14, 32, 68, 140]
    """
    axes = [Axis(graph, axis) for axis in range(graph.spec.dims)]
    whole = _whole(graph)
    return {
        node: Field(tuple(axis.largest(axis.spans[node]) for axis in axes), whole[node])
        for node in graph.nodes
    }


def head_fields(graph: NestGraph) -> dict[int, Field]:
    """The field of each level's logits: its node's, and of UNet 3+ what the head adds.

    >>> from nestgen.arch.spec import NestSpec
    >>> fields = head_fields(NestGraph(NestSpec(depth=4)))
    >>> [fields[k].pixels[0] for k in (1, 2, 3, 4)]
    [18, 44, 100, 204]
    """
    axes = [Axis(graph, axis) for axis in range(graph.spec.dims)]
    whole = _whole(graph)
    return {
        k: Field(
            tuple(axis.largest(axis.logits(k)) for axis in axes), whole[graph.head(k)]
        )
        for k in graph.levels
    }


def _whole(graph: NestGraph) -> dict[Node, bool]:
    """Of each node, whether something about the whole image reaches it."""
    spec, found = graph.spec, dict[Node, bool]()
    for node in graph.nodes:
        excited = spec.skip == "se" and any(
            edge.kind == "skip" for edge in graph.inputs(node)
        )
        found[node] = (
            spec.block.norm in ("instance", "group")
            or excited
            or any(found[edge.source] for edge in graph.inputs(node))
        )
    return found
