"""A pass of a network, played through with the sizes of its tensors alone.

It goes as the generated `forward` goes: a node's output lives to the end, what stands
between two layers until the second has read it, and an argument as long as its call.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from nestgen.arch.blocks import BLOCKS, SINGLE_WIRING, single
from nestgen.arch.graph import Edge, NestGraph, Node
from nestgen.arch.lines import Lines
from nestgen.arch.operations import Operations
from nestgen.arch.tape import Held, Tape
from nestgen.arch.weighing import excited, gated


def rehearse(
    graph: NestGraph, size: tuple[int, ...], batch: int, training: bool
) -> Tape:
    """The tape of a pass of `batch` images of `size`, which fits unpadded.

    >>> from nestgen.arch.spec import NestSpec
    >>> rehearse(NestGraph(NestSpec(depth=1)), (8, 8), batch=1, training=False).peak
    27392
    """
    graph.require_formulas()
    return _Rehearsal(graph, size, batch, training).whole()


class _Rehearsal:
    def __init__(
        self, graph: NestGraph, size: tuple[int, ...], batch: int, training: bool
    ) -> None:
        self.graph, self.spec = graph, graph.spec
        self.ops = Operations(batch, training)
        self.tape = self.ops.tape
        self.lines = Lines(self.ops, self.spec)
        self.size = size
        self.nodes: dict[Node, Held] = {}

    def whole(self) -> Tape:
        image = self.ops.new(self.spec.in_channels, self._pixels(0), grad=False)
        for level, nodes in self.graph.stages.items():
            for node in nodes:
                self.nodes[node] = self._node(node, image)
            self._head(level)
        return self.tape

    def _node(self, node: Node, image: Held) -> Held:
        arriving = [self._arrive(edge) for edge in self.graph.inputs(node)] or [image]
        if self.graph.full_scale and node.j:
            y = self._single(arriving, self.graph.width(node), node.i)
        else:
            block = self.spec.block
            rule = BLOCKS[block.kind]
            channels = (self.graph.in_channels(node), self.graph.width(node))
            layers = rule.layers(*channels, block.expansion)
            y = self.lines.play(arriving, layers, rule.wiring, node.i)
        self._free(arriving, {image, *self.nodes.values()})
        return y

    def _head(self, level: int) -> None:
        node = self.graph.head(level)
        y = self.ops.convolution(
            self.nodes[node], self.spec.classes, self._pixels(node.i)
        )
        if node.i:
            self.ops.new(self.spec.classes, self._pixels(0))
            self.tape.free(y)

    def _arrive(self, edge: Edge) -> Held:
        """What a node reads over an edge; a plain skip is the source itself."""
        x, row = self.nodes[edge.source], edge.target.i
        if self.graph.full_scale and edge.target.j:
            moved = x if edge.kind == "skip" else self._resize(x, edge)
            y = self._single([moved], self.graph.channels(edge), row)
            self._free([moved], {x})
            return y
        if edge.kind == "down":
            return self.ops.pool(x, self._pixels(row))
        if edge.kind == "up":
            return self._up(x, edge)
        if self.spec.skip == "se":
            return excited(self.ops, x)
        if self.spec.skip == "gate":
            return gated(self.ops, x, self.nodes[self.graph.below(edge.target)])
        return x

    def _resize(self, x: Held, edge: Edge) -> Held:
        pixels = self._pixels(edge.target.i)
        if edge.kind == "down":
            return self.ops.pool(x, pixels)
        return self.ops.new(x.channels, pixels)

    def _up(self, x: Held, edge: Edge) -> Held:
        channels, up = self.graph.channels(edge), self.spec.up
        pixels = self._pixels(edge.target.i)
        if up == "transpose":
            return self.ops.convolution(x, channels, pixels)
        if up.startswith("pixel-shuffle"):
            return self._shuffle(x, channels, edge)
        narrow = x
        if channels != x.channels:
            narrow = self.ops.convolution(x, channels, x.pixels)
        y = self.ops.new(channels, pixels)
        self._free([narrow], {x})
        return y

    def _shuffle(self, x: Held, channels: int, edge: Edge) -> Held:
        sides = self.graph.size_at(edge.target.i, self.size)
        scale = self.graph.scale(edge.source.i, edge.target.i)
        split = self.ops.convolution(x, channels * math.prod(scale), x.pixels)
        y = self.ops.new(channels, math.prod(sides))
        self.tape.free(split)
        if self.spec.up == "pixel-shuffle":
            return y
        padded = math.prod(a + b - 1 for a, b in zip(sides, scale, strict=True))
        before = self.ops.new(channels, padded)
        self.tape.save(before)
        blurred = self.ops.new(channels, math.prod(sides))
        self.tape.free(before, y)
        return blurred

    def _single(self, arriving: list[Held], channels: int, row: int) -> Held:
        layers = single(sum(x.channels for x in arriving), channels)
        return self.lines.play(arriving, layers, SINGLE_WIRING, row)

    def _free(self, tensors: Iterable[Held], kept: set[Held]) -> None:
        self.tape.free(*(tensor for tensor in tensors if tensor not in kept))

    def _pixels(self, row: int) -> int:
        return math.prod(self.graph.size_at(row, self.size))
