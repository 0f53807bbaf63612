"""What stands on a skip that is not plain, played with the sizes of its tensors."""

from __future__ import annotations

from nestgen.arch.operations import Operations
from nestgen.arch.skips import gate_channels, squeezed
from nestgen.arch.tape import Held


def excited(ops: Operations, x: Held) -> Held:
    """Squeeze and excite: `x` weighed by channel.

    >>> ops = Operations(batch=1, training=True)
    >>> excited(ops, ops.new(32, 64)).nbytes, ops.tape.saved - 4 * 32 * 64
    (8192, 264)
    """
    mean = ops.new(x.channels, 1)
    squeezing = ops.convolution(mean, squeezed(x.channels), 1)
    ops.tape.free(mean)
    rectified = ops.activation(squeezing, "relu", in_place=False)
    ops.tape.free(squeezing)
    asked = ops.convolution(rectified, x.channels, 1)
    ops.tape.free(rectified)
    factor = ops.sigmoid(asked)
    weighed = ops.product(x, factor)
    ops.tape.free(asked, factor)
    return weighed


def gated(ops: Operations, x: Held, below: Held) -> Held:
    """An attention gate: `x` weighed by pixel, as `below` and it ask for."""
    inner = gate_channels(x.channels)
    theta, phi = (ops.convolution(y, inner, below.pixels) for y in (x, below))
    added = ops.new(inner, below.pixels)
    ops.tape.free(theta, phi)
    asked = ops.activation(added, "relu", in_place=False)
    ops.tape.free(added)
    psi = ops.convolution(asked, 1, below.pixels)
    coarse = ops.sigmoid(psi)
    ops.tape.free(psi)
    factor = ops.new(1, x.pixels)
    ops.tape.free(coarse)
    weighed = ops.product(x, factor)
    ops.tape.free(factor, asked)
    return weighed
