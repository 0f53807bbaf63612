"""Receptive fields, by formula: how much of the input a pixel of X[i,j] sees.

On each axis for itself, and of an image without end. What a pixel sees depends on
where it lies between the pixels of coarser rows, and repeats from one pixel of the
deepest row to the next: all pixels of such a period are looked at, the most is told.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from nestgen.arch.blocks import BLOCKS, single
from nestgen.arch.graph import Edge, NestGraph, Node
from nestgen.arch.layers import Convolution
from nestgen.arch.reach import Pixels, Span
from nestgen.errors import SpecError

LONGEST = 2**20
"""The largest multiple on an axis of which fields are told."""


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

    Raises `SpecError` where a side has to be a multiple of more than `LONGEST`.

    >>> from nestgen.arch.spec import NestSpec
    >>> fields = node_fields(NestGraph(NestSpec(depth=4)))
    >>> [fields[Node(i, 0)].pixels[0] for i in range(5)]
    [5, 14, 32, 68, 140]
    """
    axes = [_Axis(graph, axis) for axis in range(graph.spec.dims)]
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
    axes = [_Axis(graph, axis) for axis in range(graph.spec.dims)]
    whole = _whole(graph)
    return {
        k: Field(
            tuple(axis.largest(axis.logits(k)) for axis in axes), whole[graph.head(k)]
        )
        for k in graph.levels
    }


class _Axis:
    """The spans of all nodes on one axis, for the pixels of one period."""

    def __init__(self, graph: NestGraph, axis: int) -> None:
        if graph.multiples[axis] > LONGEST:
            raise SpecError(
                f"strides: {graph.multiples[axis]} pixels to one of the deepest row "
                f"are not allowed here, at most {LONGEST}"
            )
        self.graph, self.axis = graph, axis
        self.spans: dict[Node, Span] = {}
        for node in graph.nodes:
            self.spans[node] = self._node(node)

    def largest(self, span: Span) -> int:
        return int(np.max(span.last - span.first)) + 1

    def logits(self, level: int) -> Span:
        node = self.graph.head(level)
        if not self.graph.full_scale:
            return self.spans[node]
        span = self._interpolated(self._period(0), self._scale(node.i, 0))
        return self._read(node, span.around(self._radius(node.i)))

    def _node(self, node: Node) -> Span:
        span = self._period(node.i).around(_radii(self.graph, node, self.axis))
        read = [
            self._read(source, there)
            for edge in self.graph.inputs(node)
            for source, there in self._over(edge, span)
        ]
        return _union(read) if read else span

    def _over(self, edge: Edge, span: Span) -> Iterator[tuple[Node, Span]]:
        """What `span` of the target reads over an edge: nodes, and spans in them."""
        (source, target), graph = edge, self.graph
        if graph.full_scale and target.j:
            span = span.around(self._radius(target.i))
        if edge.kind == "down":
            yield source, span.windows(self._scale(target.i, source.i))
        elif edge.kind == "up":
            yield source, self._up(span, edge)
        else:
            yield source, span
            if graph.spec.skip == "gate":
                below = graph.below(target)
                scale = self._scale(below.i, target.i)
                asked = span.samples(scale)
                yield below, asked
                yield source, asked.windows(scale)

    def _up(self, span: Span, edge: Edge) -> Span:
        up, (source, target) = self.graph.spec.up, edge
        scale = self._scale(source.i, target.i)
        if up.startswith("pixel-shuffle"):
            before = scale - 1 if up.endswith("blur") else 0
            read = Span(span.first - before, span.last).cells(scale)
            return read.around(self._radius(target.i))
        return (
            span.cells(scale) if up == "transpose" else self._interpolated(span, scale)
        )

    def _interpolated(self, span: Span, scale: int) -> Span:
        up = self.graph.spec.up
        if up == "nearest":
            return span.cells(scale)
        return span.aligned_samples(scale) if "aligned" in up else span.samples(scale)

    def _read(self, node: Node, span: Span) -> Span:
        """What a span of `node` sees of the input."""
        known, period = self.spans[node], self._length(node.i)

        def at(ends: Pixels, pixels: Pixels) -> Pixels:
            turns, inside = np.divmod(pixels, period)
            return ends[inside] + turns * self.graph.multiples[self.axis]

        return Span(at(known.first, span.first), at(known.last, span.last))

    def _period(self, row: int) -> Span:
        pixels = np.arange(self._length(row))
        return Span(pixels, pixels)

    def _length(self, row: int) -> int:
        return self._scale(self.graph.depth, row)

    def _scale(self, row: int, above: int) -> int:
        return self.graph.scale(row, above)[self.axis]

    def _radius(self, row: int) -> int:
        return self.graph.spec.kernel_size(row)[self.axis] // 2


def _radii(graph: NestGraph, node: Node, axis: int) -> int:
    """How far a node's own convolutions reach: in every block they stand in a row."""
    block = graph.spec.block
    joins = graph.full_scale and node.j > 0
    layers = single(1, 1) if joins else BLOCKS[block.kind].layers(1, 1, block.expansion)
    spatial = [
        layer
        for layer in layers
        if isinstance(layer, Convolution) and not layer.pointwise
    ]
    return len(spatial) * (graph.spec.kernel_size(node.i)[axis] // 2)


def _union(spans: list[Span]) -> Span:
    return Span(
        np.minimum.reduce([span.first for span in spans]),
        np.maximum.reduce([span.last for span in spans]),
    )


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
