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

KERNELS = ("normed_gather", "normed_dgrad", "normed_wgrad")
"""By the names of their files: forward, to a part's source, and to the weight."""

_OF_RESULTS = {
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
"""Of the kernel that writes the result, by its channels, for 16 bits."""

_OF_SOURCES = {
    32: (
        Configuration(8, 16, 32, 32, stages=2),
        Configuration(8, 16, 32, 32, stages=1),
    ),
    64: (
        Configuration(8, 16, 64, 32, warps=8, stages=2),
        Configuration(8, 8, 64, 32, stages=2),
    ),
    128: (
        Configuration(8, 8, 128, 32, warps=8, stages=2),
        Configuration(8, 8, 64, 32, stages=2),
    ),
}
"""Of the one whose epilogue reads the source, which takes registers."""

_OF_WINDOWS = {
    32: (
        Configuration(4, 16, 32, 32, warps=8, stages=2),
        Configuration(4, 8, 32, 32, stages=2),
    ),
    64: (
        Configuration(4, 16, 64, 32, warps=8, stages=2),
        Configuration(4, 16, 32, 32, warps=8, stages=2),
    ),
}
"""The same, where the source is pooled and a pixel is a window of four."""

_OF_WEIGHTS = {
    32: (
        Configuration(4, 16, 32, 32, stages=2),
        Configuration(4, 16, 32, 32, stages=1),
    ),
    64: (
        Configuration(2, 16, 64, 64, warps=8, stages=2),
        Configuration(4, 16, 64, 32, stages=1),
    ),
}
"""Of the one that writes a weight, by its output channels, for 16 bits."""


def normed_configurations(
    kernel: str,
    outputs: int,
    inputs: int,
    like: Tensor,
    resampling: str = "same",
    gpu: Gpu | None = None,
) -> list[Configuration]:
    """What to try of a kernel, without what cannot be launched.

    It writes an image of `outputs` channels and goes through `inputs`, or it writes a
    weight [outputs, inputs, k, k]. `like` has its dtype, `resampling` is that of the
    part whose source receives something, and `gpu` by default where `like` is.

    >>> import torch
    >>> normed_configurations("normed_wgrad", 256, 3, torch.zeros(1))[0].block_co
    64
    """
    gpu = gpu_of(like.device) if gpu is None else gpu
    over_pixels = kernel == "normed_wgrad"
    shipped = _OF_WEIGHTS if over_pixels else _OF_RESULTS
    if kernel == "normed_dgrad":
        shipped = _OF_WINDOWS if resampling == "pool" else _OF_SOURCES
    found = [
        replace(
            _as_wide(one, like.itemsize, over_pixels=over_pixels),
            block_co=min(one.block_co, padded(outputs)),
        )
        for one in shipped[min(shipped, key=lambda known: abs(known - padded(outputs)))]
    ]
    found = [replace(one, block_ci=min(one.block_ci, padded(inputs))) for one in found]
    shared = _weight_bytes if over_pixels else shared_bytes
    return [one for one in found if shared(one, like.itemsize) <= gpu.shared]


def _as_wide(one: Configuration, itemsize: int, *, over_pixels: bool) -> Configuration:
    """With as many bytes in a step of the sum as numbers of 16 bits have."""
    if over_pixels:
        return replace(one, block_w=one.block_w * 2 // itemsize)
    return replace(one, block_ci=one.block_ci * 2 // itemsize)


def _weight_bytes(one: Configuration, itemsize: int) -> int:
    """Of the part, of g and y as three taps see them, and of the sums."""
    pixels = one.block_h * one.block_w
    blocks = (one.block_ci + 6 * one.block_co) * pixels * itemsize
    return max(one.stages * blocks, one.block_co * one.block_ci * 4)
