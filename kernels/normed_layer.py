"""A layer of a network in training that is only compiled: its tensors are not there."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from nestgen.kernels import normed_dgrad, normed_gather, normed_wgrad
from nestgen.kernels.configurations import Configuration
from nestgen.kernels.launch import Launch
from nestgen.kernels.layout import channels_last
from nestgen.kernels.output_gradient import OutputGradient
from nestgen.kernels.part import Part, Resampling

SIDES = {"same": 512, "pool": 1024, "nearest": 256}
"""Of the source that is read as 512 x 512 pixels."""


@dataclass(frozen=True)
class Layer:
    """A normed convolution of several parts, and what its result receives."""

    parts: list[Part]
    weight: Tensor
    gradient: OutputGradient

    def launch(self, kernel: str, one: Configuration) -> Launch:
        """That of a kernel, by the name of its file; backward, of the last part."""
        y, part = self.gradient.g, self.parts[-1]
        if kernel == "normed_gather":
            sums, bias = normed_gather.new_sums(y, one), y.new_empty(y.shape[1])
            return normed_gather.launch(self.parts, self.weight, bias, y, sums, one)
        if kernel == "normed_wgrad":
            side = self.weight.shape[2]
            sums = normed_wgrad.new_sums(part, self.gradient, side, one)
            return normed_wgrad.launch(part, self.gradient, sums, one)
        columns = self.weight[:, -part.channels :]
        sums, out = normed_dgrad.new_sums(part, one), torch.empty_like(part.source)
        return normed_dgrad.launch(
            part, columns, self.gradient, out, sums, one, add=True
        )


def example_layer(resampling: Resampling, channels: int, dtype: torch.dtype) -> Layer:
    """Three parts of as many channels as the result, the last of them resampled.

    Batch 8, 512 x 512 pixels, on the meta device.

    >>> example_layer("nearest", 32, torch.float16).parts[-1].source.shape
    torch.Size([8, 32, 256, 256])
    """

    def empty(*shape: int) -> Tensor:
        return channels_last(torch.empty(shape, dtype=dtype, device="meta"))

    vectors = torch.empty(2, channels, device="meta")
    scale, shift = vectors
    side = SIDES[resampling]
    skip, y = empty(8, channels, 512, 512), empty(8, channels, 512, 512)
    parts = [
        Part(skip, scale, shift, 0.0),
        Part(skip, scale, shift, 0.0),
        Part(empty(8, channels, side, side), scale, shift, 0.0, resampling),
    ]
    weight = empty(channels, 3 * channels, 3, 3)
    return Layer(parts, weight, OutputGradient(y, y, vectors))
