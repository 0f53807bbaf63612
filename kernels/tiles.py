"""What all kernels share: tiles of pixels, products, and what follows the sum.

Images are channels_last, so a pixel is one number, (n * H + y) * W + x, and its
channels lie next to one another. A tile's corner is kept in 64 bits and what is in it
is counted from there in 32: no batch and no height overflows, and no width as long as
the rows that a tile reads, times W, times C, are below 2^31 numbers.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor
from triton import knobs

INTERPRETED = tl.constexpr(bool(knobs.runtime.interpret))
"""Whether kernels run in Python, on a CPU: settled when triton is imported."""


def dot_precision(image: Tensor) -> str:
    """How float32 is multiplied: "tf32" where torch's own convolutions do, or "ieee".

    Other dtypes are not touched by it.
    """
    known: Any = torch.backends
    allowed = known.cudnn.conv.fp32_precision == "tf32"
    on_nvidia = image.is_cuda and torch.version.hip is None
    return "tf32" if allowed and on_nvidia else "ieee"


@triton.jit
def dot(a, b, total, PRECISION: tl.constexpr):
    """total + a @ b, in float32."""
    # the interpreter would multiply the bits of bfloat16 as if they were integers
    if INTERPRETED and a.dtype == tl.bfloat16:
        a = a.to(tl.float32)
        b = b.to(tl.float32)
    return tl.dot(a, b, total, input_precision=PRECISION)


@triton.jit
def tile_corner(tile, height, width, BLOCK_H: tl.constexpr, BLOCK_W: tl.constexpr):
    """Image, first row and first column of a tile; they are counted along the rows."""
    across = tl.cdiv(width, BLOCK_W)
    down = tl.cdiv(height, BLOCK_H)
    row = tile // across
    return row // down, (row % down) * BLOCK_H, (tile % across) * BLOCK_W


@triton.jit
def first_pixel(n, y, x, height, width):
    """The number of a pixel, in 64 bits."""
    return (n.to(tl.int64) * height + y) * width + x


@triton.jit
def border_class(place, side):
    """0 for the first pixel of a side, 2 for the last, 1 between."""
    return 1 + (place == side - 1).to(tl.int32) - (place == 0).to(tl.int32)


@triton.jit
def biased(
    total, bias, y, x, height, width, channel, CO: tl.constexpr, BORDERS: tl.constexpr
):
    """The sums [pixels, channels] plus a bias: None, [CO], or by BORDERS [3, 3, CO]."""
    if bias is not None:
        known = (channel < CO)[None, :]
        place = bias + channel[None, :]
        if BORDERS:
            kind = 3 * border_class(y, height) + border_class(x, width)
            place += kind[:, None] * CO
        total += tl.load(place, mask=known, other=0.0).to(tl.float32)
    return total


@triton.jit
def activated(total, SLOPE: tl.constexpr):
    """The sums where they are positive, SLOPE times them elsewhere; NaN stays NaN."""
    if SLOPE == 0:  # not by a product, since 0 times infinity is NaN
        total = tl.where(total < 0, 0.0, total)
    elif SLOPE != 1:
        total = tl.where(total < 0, SLOPE * total, total)
    return total


@triton.jit
def larger(a, b):
    """The larger of each two, NaN where one is: what max-pooling takes."""
    return tl.maximum(a, b, propagate_nan=tl.PropagateNan.ALL)


@triton.jit
def store_pixels(image, first, pixel, inside, total, channel, CO: tl.constexpr):
    """Writes [pixels, channels] of an image of CO channels, in the image's dtype.

    `first` is the number of a pixel in 64 bits, `pixel` is counted from there, and
    `inside` tells which pixels there are.
    """
    place = image + first * CO + pixel[:, None] * CO + channel[None, :]
    known = inside[:, None] & (channel < CO)[None, :]
    tl.store(place, total.to(image.dtype.element_ty), mask=known)


@triton.jit
def store_logits(
    image, first, pixel, inside, total, weight, bias, channel,
    CO: tl.constexpr, CLASSES: tl.constexpr,
):  # fmt: skip
    """Writes the 1x1 convolution of [pixels, CO channels] by `weight` [CLASSES, CO].

    It reads the sums before they are rounded to the image's dtype.
    """
    known = channel < CO
    place = image + first * CLASSES + pixel * CLASSES
    for kind in range(CLASSES):
        row = tl.load(weight + kind * CO + channel, mask=known, other=0.0)
        logit = tl.sum(total * row.to(tl.float32)[None, :], axis=1)
        if bias is not None:
            logit += tl.load(bias + kind).to(tl.float32)
        tl.store(place + kind, logit.to(image.dtype.element_ty), mask=inside)
