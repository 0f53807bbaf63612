"""The lines of a block's `forward`, played with the sizes of its tensors."""

from __future__ import annotations

import math
from collections.abc import Iterable

from nestgen.arch.layers import Convolution, Gain, Layer, Normalisation, is_dense
from nestgen.arch.operations import Operations
from nestgen.arch.spec import NestSpec
from nestgen.arch.tape import Held


class Lines:
    """Plays the wiring of blocks, as `BlockRule` has it, on operations.

    >>> lines = Lines(Operations(batch=1, training=False), NestSpec())
    >>> image = lines.ops.new(3, 64)
    >>> layers = [Convolution("conv", 3, 16), Normalisation("norm", 16)]
    >>> lines.play([image], layers, ("x = x: conv norm act",), row=0).channels
    16
    >>> lines.ops.tape.live == image.nbytes + 4 * 16 * 64
    True
    """

    def __init__(self, ops: Operations, spec: NestSpec) -> None:
        self.ops, self.spec = ops, spec

    def play(
        self,
        arriving: list[Held],
        layers: Iterable[Layer],
        wiring: Iterable[str],
        row: int,
    ) -> Held:
        """What a block in `row` makes of its inputs; all else that it made is freed."""
        by_name = {layer.name: layer for layer in layers}
        x = arriving[0]
        if len(arriving) > 1:
            x = self.ops.new(sum(part.channels for part in arriving), x.pixels)
        names = {"x": x}
        for line in wiring:
            target, _, rest = line.partition(" = ")
            read, _, chain = rest.partition(":")
            terms = [names[name] for name in read.split(" + ")]
            y = self._chain(terms, chain, by_name, row)
            replaced, names[target] = names.get(target), y
            self._free({replaced} - {None, *arriving, *names.values()})
        self._free({*names.values()} - {*arriving, names["x"]})
        return names["x"]

    def _chain(
        self, terms: list[Held], chain: str, layers: dict[str, Layer], row: int
    ) -> Held:
        """Layer after layer: each frees what the one before it made."""
        y = terms[0]
        if len(terms) > 1:
            y = self.ops.new(y.channels, y.pixels)
        for name in chain.split():
            made = self._step(name, y, layers, row)
            self._free({y} - {made, *terms})
            y = made
        return y

    def _step(self, name: str, x: Held, layers: dict[str, Layer], row: int) -> Held:
        """A layer, or what a block without it does: nothing."""
        block, layer = self.spec.block, layers.get(name)
        if isinstance(layer, Convolution):
            return self._convolution(x, layer, row)
        if isinstance(layer, Normalisation) and block.norm != "none":
            return self.ops.norm(x, block.norm, block.groups)
        if isinstance(layer, Gain):
            return self.ops.gain(x)
        if name == "act":
            in_place = block.kind != "double-preact"
            return self.ops.activation(x, block.activation, in_place)
        if name == "dropout" and block.dropout:
            return self.ops.dropout(x)
        if name == "drop_path" and block.drop_path:
            return self.ops.drop_path(x)
        return x

    def _convolution(self, x: Held, layer: Convolution, row: int) -> Held:
        assert isinstance(layer.outputs, int), "its rule was asked with numbers"
        if not (self.spec.block.standardise and is_dense(layer)):
            return self.ops.convolution(x, layer.outputs, x.pixels)
        volume = math.prod(self.spec.kernel_size(row))
        weights = layer.outputs * x.channels * volume
        return self.ops.standard_convolution(x, layer.outputs, weights)

    def _free(self, tensors: Iterable[Held | None]) -> None:
        self.ops.tape.free(*(tensor for tensor in tensors if tensor))
