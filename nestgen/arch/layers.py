"""What modules are made of: layers whose channels are numbers, or names in source.

A rule says once which layers a module has. Asked with numbers, it tells what they
cost; asked with the names of arguments, how they are written.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeVar

Channels = TypeVar("Channels", int, "Named")


@dataclass(frozen=True)
class Named:
    """A number of channels that is an argument of the module, times a factor.

    >>> 4 * Named("channels")
    Named(name='channels', factor=4)
    """

    name: str
    factor: int = 1

    def __rmul__(self, factor: int) -> Named:
        return replace(self, factor=factor * self.factor)


@dataclass(frozen=True)
class Convolution:
    """A convolution that keeps the size, or divides it by its module's stride.

    Attributes:
        inputs: channels that it reads.
        outputs: channels that it writes.
        pointwise: 1x1 rather than of the row's kernel size.
        depthwise: each channel by itself.
        bias: has one in any case; None: where the block's convolutions have one.
        size: of its kernel on each axis; None: the row's.
        strided: is told the stride of its module.
    """

    name: str
    inputs: int | Named
    outputs: int | Named
    pointwise: bool = False
    depthwise: bool = False
    bias: bool | None = None
    size: int | None = None
    strided: bool = False


@dataclass(frozen=True)
class Normalisation:
    """The block's norm, where it has one."""

    name: str
    channels: int | Named


@dataclass(frozen=True)
class Gain:
    """A learned factor for each channel, the layer scale of ConvNeXt."""

    name: str
    channels: int | Named


def is_dense(layer: object) -> bool:
    """Whether a layer is a convolution over pixels and channels together.

    >>> is_dense(Convolution("conv", 1, 1)), is_dense(Normalisation("norm", 1))
    (True, False)
    """
    return isinstance(layer, Convolution) and not (layer.pointwise or layer.depthwise)


Layer = Convolution | Normalisation | Gain
