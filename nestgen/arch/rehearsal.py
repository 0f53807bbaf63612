"""A pass of a network, played through with the sizes of its tensors alone.

It goes as the generated `forward` goes: a node's output lives to the end, what stands
between two layers until the second has read it, and an argument as long as its call.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from nestgen.arch.blocks import BLOCKS, SINGLE_WIRING, single
from nestgen.arch.graph import Edge, NestGraph, Node
from nestgen.arch.layers import Convolution, Gain, Layer, Normalisation
from nestgen.arch.operations import Operations
from nestgen.arch.skips import gate_channels, squeezed
from nestgen.arch.tape import Held, Tape


def rehearse(
    graph: NestGraph, size: tuple[int, ...], batch: int, training: bool
) -> Tape:
    """The tape of a pass of `batch` images of `size`, which fits unpadded.

    >>> from nestgen.arch.spec import NestSpec
    >>> rehearse(NestGraph(NestSpec(depth=1)), (8, 8), batch=1, training=False).peak
    27392
    """
    return _Rehearsal(graph, size, batch, training).whole()


class _Rehearsal:
    def __init__(
        self, graph: NestGraph, size: tuple[int, ...], batch: int, training: bool
    ) -> None:
        self.graph, self.spec = graph, graph.spec
        self.ops = Operations(batch, training)
        self.tape = self.ops.tape
        self.size = size
        self.nodes: dict[Node, Held] = {}

    def whole(self) -> Tape:
        image = self.ops.new(self.spec.in_channels, self._pixels(0))
        for node in self.graph.nodes:
            self.nodes[node] = self._node(node, image)
        for level in self.graph.levels:
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
            y = self._block(arriving, layers, rule.wiring, node.i)
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
        return {"plain": lambda: x, "se": lambda: self._excite(x)}.get(
            self.spec.skip, lambda: self._gate(x, edge)
        )()

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

    def _excite(self, x: Held) -> Held:
        inner = squeezed(x.channels)
        mean = self.ops.new(x.channels, 1)
        squeeze = self.ops.convolution(mean, inner, 1)
        self.tape.free(mean)
        rectified = self.ops.activation(squeeze, "relu", in_place=False)
        self.tape.free(squeeze)
        asked = self.ops.convolution(rectified, x.channels, 1)
        self.tape.free(rectified)
        return self._weigh(x, asked, asked)

    def _gate(self, x: Held, edge: Edge) -> Held:
        below = self.nodes[self.graph.below(edge.target)]
        inner = gate_channels(x.channels)
        theta, phi = (self.ops.convolution(y, inner, below.pixels) for y in (x, below))
        added = self.ops.new(inner, below.pixels)
        self.tape.free(theta, phi)
        asked = self.ops.activation(added, "relu", in_place=False)
        self.tape.free(added)
        psi = self.ops.convolution(asked, 1, below.pixels)
        weighed = self._weigh(x, psi, None)
        self.tape.free(asked)
        return weighed

    def _weigh(self, x: Held, asked: Held, local: Held | None) -> Held:
        """`x` times the sigmoid of `asked`, up-sampled where that is coarser.

        `local` is `asked` where the caller has a name for it, and holds it longer.
        """
        factor = self.ops.new(asked.channels, asked.pixels)
        self.tape.save(factor)
        if local is None:
            self.tape.free(asked)
            coarse, factor = factor, self.ops.new(1, x.pixels)
            self.tape.free(coarse)
        self.tape.save(x, factor)
        weighed = self.ops.new(x.channels, x.pixels)
        self.tape.free(factor, *([local] if local else []))
        return weighed

    def _single(self, arriving: list[Held], channels: int, row: int) -> Held:
        layers = single(sum(x.channels for x in arriving), channels)
        return self._block(arriving, layers, SINGLE_WIRING, row)

    def _block(
        self,
        arriving: list[Held],
        layers: Iterable[Layer],
        wiring: tuple[str, ...],
        row: int,
    ) -> Held:
        """A node's own `forward`: its lines, one after the other."""
        by_name = {layer.name: layer for layer in layers}
        x = arriving[0]
        if len(arriving) > 1:
            x = self.ops.new(sum(part.channels for part in arriving), x.pixels)
        names = {"x": x}
        for line in wiring:
            target, _, rest = line.partition(" = ")
            read, _, chain = rest.partition(":")
            y = self._chain(
                [names[name] for name in read.split(" + ")], chain, by_name, row
            )
            before = names.get(target)
            names[target] = y
            if before and before not in [*arriving, *names.values()]:
                self.tape.free(before)
        self._free((held for held in set(names.values())), {*arriving, names["x"]})
        return names["x"]

    def _chain(
        self, read: list[Held], chain: str, layers: dict[str, Layer], row: int
    ) -> Held:
        """Layer after layer: each frees what the one before it made."""
        x = y = read[0]
        if len(read) > 1:
            y = self.ops.new(x.channels, x.pixels)
        for name in chain.split():
            made = self._step(name, y, layers, row)
            if y not in (made, *read):
                self.tape.free(y)
            y = made
        return y

    def _step(self, name: str, x: Held, layers: dict[str, Layer], row: int) -> Held:
        block, layer = self.spec.block, layers.get(name)
        if isinstance(layer, Convolution):
            return self._convolution(x, layer, row)
        if isinstance(layer, Normalisation):
            return (
                x
                if block.norm == "none"
                else self.ops.norm(x, block.norm, block.groups)
            )
        if isinstance(layer, Gain):
            return self.ops.gain(x)
        if name == "act":
            in_place = block.kind != "double-preact"
            return self.ops.activation(x, block.activation, in_place)
        if name == "dropout":
            return self.ops.dropout(x) if block.dropout else x
        return self.ops.drop_path(x) if block.drop_path else x

    def _convolution(self, x: Held, layer: Convolution, row: int) -> Held:
        assert isinstance(layer.outputs, int)
        dense = not (layer.pointwise or layer.depthwise)
        if not (self.spec.block.standardise and dense):
            return self.ops.convolution(x, layer.outputs, x.pixels)
        volume = math.prod(self.spec.kernel_size(row))
        weights = layer.outputs * x.channels * volume
        return self.ops.standard_convolution(x, layer.outputs, weights)

    def _free(self, tensors: Iterable[Held], kept: set[Held]) -> None:
        self.tape.free(*(tensor for tensor in tensors if tensor not in kept))

    def _pixels(self, row: int) -> int:
        return math.prod(self.graph.size_at(row, self.size))
