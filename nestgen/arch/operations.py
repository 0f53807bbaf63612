"""What torch's operations make and keep, one by one, in float32.

In the order in which torch's own kernels do it: for the backward pass a convolution
keeps what it reads, a norm too and its statistics, an activation what it wrote where
its gradient follows from that, else what it read.
"""

from __future__ import annotations

from nestgen.arch.choices import Norm
from nestgen.arch.tape import Held, Tape

FLOAT, INT64 = 4, 8

OF_RESULT = ("relu", "leaky_relu", "elu", "selu")
"""Activations whose gradient follows from what they wrote, where that is in place."""


class Operations:
    """Operations on `batch` images, played on a tape.

    Attributes:
        training: whether there will be a backward pass, and dropout.
    """

    def __init__(self, batch: int, training: bool) -> None:
        self.tape, self.batch, self.training = Tape(), batch, training

    def new(self, channels: int, pixels: int, grad: bool = True) -> Held:
        """A tensor [N, channels, pixels]."""
        nbytes = self.batch * channels * pixels * FLOAT
        return self.tape.new(channels, pixels, nbytes, grad)

    def convolution(self, x: Held, channels: int, pixels: int) -> Held:
        """Also a transposed one."""
        self.tape.save(x)
        return self.new(channels, pixels)

    def standard_convolution(self, x: Held, channels: int, weights: int) -> Held:
        """One whose weights are standardised first: they are tensors of the pass."""
        mean, deviation = self._numbers(channels), self._numbers(channels)
        centred, divisor = self._numbers(weights), self._numbers(channels)
        weight = self._numbers(weights)
        self.tape.save(deviation, centred, divisor, weight)
        self.tape.free(centred, divisor)
        y = self.convolution(x, channels, x.pixels)
        self.tape.free(mean, deviation, weight)
        return y

    def norm(self, x: Held, kind: Norm, groups: int) -> Held:
        """A norm; for the backward pass it keeps a mean and a deviation of whatever it
        norms, and instance norm a scale for each image."""
        y = self.new(x.channels, x.pixels)
        statistics = {
            "batch": 2 * x.channels,
            "instance": 3 * x.channels * self.batch,
            "group": 2 * groups * self.batch,
            "layer": 2 * x.pixels * self.batch,
        }[kind]
        self.tape.save(x, _aside(FLOAT * statistics))
        return y

    def activation(self, x: Held, kind: str, in_place: bool) -> Held:
        """An activation; in place it writes into what it reads."""
        if not x.grad:
            return self.new(x.channels, x.pixels, grad=False)
        if in_place and kind != "gelu":
            self.tape.save(x if kind in OF_RESULT else _aside(x.nbytes))
            return x
        y = self.new(x.channels, x.pixels)
        self.tape.save(y if kind == "relu" else x)
        return y

    def dropout(self, x: Held) -> Held:
        """Of the numbers; what is dropped is kept as floats, as torch does on a CPU."""
        if not self.training:
            return x
        if x.grad:
            self.tape.save(_aside(x.nbytes))
        return self.new(x.channels, x.pixels, x.grad)

    def drop_path(self, x: Held) -> Held:
        """Of the whole tensor, image by image."""
        factor = self.new(1, 1)
        y = self.new(x.channels, x.pixels)
        self.tape.save(factor)
        self.tape.free(factor)
        return y

    def gain(self, x: Held) -> Held:
        """A learned factor for each channel."""
        self.tape.save(x)
        return self.new(x.channels, x.pixels)

    def sigmoid(self, x: Held) -> Held:
        """Kept as it was written."""
        y = self.new(x.channels, x.pixels)
        self.tape.save(y)
        return y

    def product(self, x: Held, factor: Held) -> Held:
        """`x` times what has a gradient too."""
        self.tape.save(x, factor)
        return self.new(x.channels, x.pixels)

    def pool(self, x: Held, pixels: int) -> Held:
        """A maximum, and where it was found."""
        y = self.new(x.channels, pixels)
        self.tape.save(x, _aside(INT64 * y.nbytes // FLOAT))
        return y

    def _numbers(self, count: int) -> Held:
        """Of the weights, and so as many for any batch."""
        return self.tape.new(count, 1, FLOAT * count)


def _aside(nbytes: int) -> Held:
    """What an operation makes inside of it, and keeps for the backward pass alone."""
    return Held(1, 1, nbytes)
