"""How the kernels of a normed convolution are cut into programs."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from nestgen.kernels.configurations import (
    Configuration,
    Gpu,
    gpu_of,
    padded,
    shared_bytes,
)

RESAMPLED = ("same", "pool", "nearest")
"""The resamplings that the kernels do as they read."""

_IMAGES = {
    32: (
        Configuration(8, 16, 32, 32, stages=2),
        Configuration(8, 16, 32, 32, stages=1),
    ),
    64: (
        Configuration(8, 16, 64, 32, stages=2),
        Configuration(8, 16, 64, 32, stages=1),
    ),
    128: (
        Configuration(8, 16, 128, 32, warps=8, stages=2),
        Configuration(8, 8, 64, 32, stages=2),
    ),
}
"""Of what writes images, by their channels, for 16 bits."""

_WEIGHTS = {
    32: (
        Configuration(4, 16, 32, 32, stages=2),
        Configuration(4, 16, 32, 32, stages=1),
    ),
    64: (
        Configuration(4, 16, 64, 64, warps=8, stages=2),
        Configuration(4, 16, 64, 32, stages=1),
    ),
}
"""Of what writes a weight, by its output channels, for 16 bits."""


def image_configurations(
    outputs: int, inputs: int, like: Tensor, gpu: Gpu | None = None
) -> list[Configuration]:
    """What to try of the kernels that write an image of `outputs` channels.

    They go through `inputs` channels, of the dtype of `like`. The first is what is
    shipped; `gpu` is by default where `like` is. Those that fit there are given.

    >>> import torch
    >>> image_configurations(24, 3, torch.zeros(1))[0].block_ci
    16
    """
    gpu = gpu_of(like.device) if gpu is None else gpu
    found = [
        replace(
            one,
            block_co=min(one.block_co, padded(outputs)),
            block_ci=min(one.block_ci * 2 // like.itemsize, padded(inputs)),
        )
        for one in _IMAGES[min(max(padded(outputs), 32), 128)]
    ]
    return [one for one in found if shared_bytes(one, like.itemsize) <= gpu.shared]


def weight_configurations(
    outputs: int, inputs: int, like: Tensor, gpu: Gpu | None = None
) -> list[Configuration]:
    """What to try of the kernel that writes a weight [outputs, inputs, k, k].

    >>> import torch
    >>> weight_configurations(256, 3, torch.zeros(1))[0].block_co
    64
    """
    gpu = gpu_of(like.device) if gpu is None else gpu
    found = [
        replace(
            one,
            block_w=one.block_w * 2 // like.itemsize,
            block_co=min(one.block_co, padded(outputs)),
            block_ci=min(one.block_ci, padded(inputs)),
        )
        for one in _WEIGHTS[min(max(padded(outputs), 32), 64)]
    ]
    return [one for one in found if _shared(one, like.itemsize) <= gpu.shared]


def _shared(one: Configuration, itemsize: int) -> int:
    """Of the part and of the gradient as three taps see it, and the sums."""
    pixels = one.block_h * one.block_w
    blocks = (one.block_ci + 3 * one.block_co) * pixels * itemsize
    return max(one.stages * blocks, one.block_co * one.block_ci * 4)
