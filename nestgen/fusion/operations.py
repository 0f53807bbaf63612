"""What the nodes of a traced network do, as far as fusing has to know it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor, fx

UpMode = Literal["nearest", "bilinear", "bilinear-aligned"]


@dataclass(frozen=True)
class Convolution:
    """A convolution of zero-padded `x`, or a transposed one.

    Attributes:
        x: what is convolved.
        weight: [Co, C / groups, *kernel]; transposed [C, Co / groups, *kernel].
        bias: [Co], or None.
        stride, padding, dilation, output_padding: by axis.
        groups: of channels.
        transposed: whether it is the gradient of one.
    """

    x: fx.Node
    weight: Tensor
    bias: Tensor | None
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int = 1
    transposed: bool = False
    output_padding: tuple[int, ...] = ()

    @property
    def kernel(self) -> tuple[int, ...]:
        """The sizes of the kernel."""
        return tuple(self.weight.shape[2:])

    @property
    def is_plain(self) -> bool:
        """Neither strided, dilated nor grouped, with as much padding as keeps sizes."""
        same = all(
            2 * p == d * (k - 1)
            for p, d, k in zip(self.padding, self.dilation, self.kernel, strict=True)
        )
        once = set(self.stride) | set(self.dilation) == {1}
        return same and once and self.groups == 1 and not self.transposed

    @property
    def is_up(self) -> bool:
        """Whether it is a transposed one of 2x2, stride 2."""
        return (
            self.transposed
            and set(self.kernel) == set(self.stride) == {2}
            and set(self.padding) | set(self.output_padding) == {0}
            and set(self.dilation) == {self.groups} == {1}
        )


@dataclass(frozen=True)
class Norm:
    """Batch norm by running statistics: weight * (x - mean) / sqrt(var + eps) + bias.

    All of them are [C]; `training` says that it takes the batch's instead.
    """

    x: fx.Node
    mean: Tensor
    var: Tensor
    weight: Tensor | None
    bias: Tensor | None
    eps: float
    training: bool = False


@dataclass(frozen=True)
class Act:
    """`x` where it is positive, else `slope` times `x`."""

    x: fx.Node
    slope: float


@dataclass(frozen=True)
class Concatenation:
    """Channels of several images, one after another."""

    parts: tuple[fx.Node, ...]


@dataclass(frozen=True)
class Up:
    """Up-sampling by 2 on every axis."""

    x: fx.Node
    mode: UpMode


@dataclass(frozen=True)
class Pool:
    """The largest of every 2x2 pixels; of an odd last row or column nothing."""

    x: fx.Node


@dataclass(frozen=True)
class Same:
    """`x` as it is: an identity, dropout when it is off, padding by nothing.

    Attributes:
        x: what is given on.
        copied: whether it is a tensor of its own, not `x` itself.
    """

    x: fx.Node
    copied: bool = False


Operation = Convolution | Norm | Act | Concatenation | Up | Pool | Same
