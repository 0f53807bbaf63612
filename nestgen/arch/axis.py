"""What the pixels of every node see of the input, on one axis.

What a pixel sees depends on where it lies between the pixels of coarser rows, and
repeats from one pixel of the deepest row to the next: one such period is a node's all.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from nestgen.arch.blocks import BLOCKS, single
from nestgen.arch.graph import Edge, NestGraph, Node
from nestgen.arch.layers import Convolution
from nestgen.arch.reach import Pixels, Span
from nestgen.errors import SpecError

LONGEST = 2**20
"""The longest period that is looked at."""


class Axis:
    """The spans of all nodes on one axis, for the pixels of one period.

    >>> from nestgen.arch.spec import NestSpec
    >>> axis = Axis(NestGraph(NestSpec(depth=1)), 0)
    >>> axis.largest(axis.spans[Node(0, 1)])
    18
    """

    def __init__(self, graph: NestGraph, axis: int) -> None:
        graph.require_formulas()
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
        """The most pixels that one of `span`'s sees."""
        return int(np.max(span.last - span.first)) + 1

    def logits(self, level: int) -> Span:
        """What the head of `level` sees, in row 0 of UNet 3+ too."""
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
