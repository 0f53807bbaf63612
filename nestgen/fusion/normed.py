"""The layers of a network in training, as they are run where norms are deferred."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from nestgen.kernels.normed_conv import normed_conv
from nestgen.kernels.normed_conv_reference import read, resample
from nestgen.kernels.part import Part, Resampling, wide

Vectors = tuple[Tensor, Tensor]
"""scale and shift, [C] each"""


@dataclass(frozen=True)
class Reading:
    """How a tensor is read: normed, through an activation, at another resolution.

    Attributes:
        slope: of the activation where its input is negative; 1 is none.
        resampling: as of `nestgen.kernels.part.Part`.
        up: the transposed convolution, where that is it.
    """

    slope: float = 1.0
    resampling: Resampling = "same"
    up: nn.ConvTranspose2d | None = None

    def part(self, source: Tensor, vectors: Vectors | None) -> Part:
        """What is read of `source` [N, C, h, w]."""
        scale, shift = vectors or (None, None)
        weight, bias = (self.up.weight, self.up.bias) if self.up else (None, None)
        return Part(source, scale, shift, self.slope, self.resampling, weight, bias)


class NormedConv(nn.Module):
    """A convolution of several tensors, each with its `Reading`.

    `conv` and the up-samplings stay the network's: their tensors are read when it runs.
    """

    def __init__(
        self, conv: nn.Conv2d, readings: Sequence[Reading], statistics: bool
    ) -> None:
        super().__init__()
        self.conv, self.readings, self.statistics = conv, tuple(readings), statistics

    def forward(self, *given: tuple[Tensor, Vectors | None]) -> Any:
        """Of tensors and their vectors: y, its mean and its biased variance."""
        parts = [
            reading.part(source, vectors)
            for reading, (source, vectors) in zip(self.readings, given, strict=True)
        ]
        return normed_conv(
            parts, self.conv.weight, self.conv.bias, statistics=self.statistics
        )

    def extra_repr(self) -> str:
        """How it reads."""
        return ", ".join(map(str, self.readings))


class Read(nn.Module):
    """A tensor with its `Reading`, made for those who cannot defer it."""

    def __init__(self, reading: Reading) -> None:
        super().__init__()
        self.reading = reading

    def forward(self, source: Tensor, vectors: Vectors | None) -> Tensor:
        """What is read of it."""
        part = self.reading.part(source, vectors)
        return resample(read(part), part)


class Own(nn.Module):
    """A tensor of the network itself, as it is when it is asked for."""

    def __init__(self, owner: nn.Module, name: str) -> None:
        super().__init__()
        self.owner, self.name = owner, name

    def forward(self) -> Any:
        """The tensor."""
        return getattr(self.owner, self.name)


class NormVectors(nn.Module):
    """A batch norm as a scale and a shift, and its running statistics as torch's.

    scale = weight / sqrt(var + eps), shift = bias - mean * scale (Ioffe and Szegedy,
    2015); the mean and the variance are the batch's where `norm` is in training mode.
    """

    def __init__(self, norm: nn.BatchNorm2d) -> None:
        super().__init__()
        self.norm = norm

    def forward(self, y: Tensor, mean: Tensor, var: Tensor) -> Vectors:
        """Of [N, C, H, W] and its statistics [C], the variance biased."""
        norm: Any = self.norm
        if norm.training:
            self._follow(y, mean.detach(), var.detach())
        else:
            kept = wide(y.dtype)
            mean, var = norm.running_mean.to(kept), norm.running_var.to(kept)
        scale = torch.rsqrt(var + norm.eps)
        scale = scale * norm.weight if norm.affine else scale
        shift = -mean * scale
        return scale, shift + norm.bias if norm.affine else shift

    @torch.no_grad()
    def _follow(self, y: Tensor, mean: Tensor, var: Tensor) -> None:
        norm: Any = self.norm
        numbers = y.numel() // y.shape[1]
        if numbers == 1:
            raise ValueError(
                f"a batch norm of {list(y.shape)} is not allowed, more than one value "
                "in a channel"
            )
        norm.num_batches_tracked.add_(1)
        share = norm.momentum
        if share is None:
            share = 1.0 / norm.num_batches_tracked.to(mean.dtype)
        unbiased = var * (numbers / (numbers - 1))
        for running, seen in ((norm.running_mean, mean), (norm.running_var, unbiased)):
            running.copy_(share * seen + (1 - share) * running)
