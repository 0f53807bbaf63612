"""What the kernels of a normed convolution share: how they read parts and gradients."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import triton
import triton.language as tl
from torch import Tensor

from nestgen.kernels.configurations import Configuration
from nestgen.kernels.part import Part
from nestgen.kernels.tiles import activated, first_pixel, larger


def count_tiles(batch: int, size: tuple[int, int], one: Configuration) -> int:
    """How many tiles cover the pixels of all images."""
    height, width = size
    return batch * -(-height // one.block_h) * -(-width // one.block_w)


def rest(part: Part) -> int:
    """What a pooled part has beyond whole windows: 2 for a row, and 1 for a column.

    >>> rest(Part(torch.zeros(1, 1, 5, 4), resampling="pool"))
    2
    """
    height, width = part.source.shape[2:]
    return 2 * (height % 2) + width % 2 if part.resampling == "pool" else 0


def norm_vectors(parts: Sequence[Part]) -> Tensor:
    """[2, C] of all parts side by side: their scales and shifts, else 1 and 0.

    >>> norm_vectors([Part(torch.zeros(1, 2, 1, 1))]).tolist()
    [[1.0, 1.0], [0.0, 0.0]]
    """
    pairs = []
    for part in parts:
        one = part.source.new_ones(part.source.shape[1], dtype=torch.float32)
        scale = one if part.scale is None else part.scale
        shift = torch.zeros_like(one) if part.shift is None else part.shift
        pairs.append(torch.stack([scale, shift]))
    return torch.cat(pairs, 1)


@triton.jit
def source_size(height, width, RESAMPLING: tl.constexpr, REST: tl.constexpr):
    """Height and width of a part's source; it is read as height x width."""
    if RESAMPLING == "nearest":
        height = (height + 1) // 2
        width = (width + 1) // 2
    if RESAMPLING == "pool":
        height = 2 * height + REST // 2
        width = 2 * width + REST % 2
    return height, width


@triton.jit
def load_vectors(vectors, COLUMNS: tl.constexpr, column, known):
    """Two rows [channels] of `vectors` [2, COLUMNS], 0 where not known."""
    first = tl.load(vectors + column, mask=known, other=0.0)
    second = tl.load(vectors + COLUMNS + column, mask=known, other=0.0)
    return first, second


@triton.jit
def normed(value, scale, shift, SLOPE: tl.constexpr):
    """act(scale * value + shift) of [pixels, channels], in the dtype of `value`."""
    z = value.to(tl.float32) * scale[None, :] + shift[None, :]
    return activated(z, SLOPE).to(value.dtype)


@triton.jit
def read_part(
    image, n, y0, x0, y, x, inside, height, width, c, scale, shift,
    C: tl.constexpr, SLOPE: tl.constexpr, RESAMPLING: tl.constexpr, REST: tl.constexpr,
    CACHE: tl.constexpr,
):  # fmt: skip
    """[pixels, channels] of what a part of C channels is read as; 0 where not inside.

    The pixels (y, x) are those of the convolution, [height, width], near (y0, x0).
    """
    down, across = source_size(height, width, RESAMPLING, REST)
    if RESAMPLING == "nearest":
        y0 = y0 // 2
        x0 = x0 // 2
        y = y >> 1
        x = x >> 1
    if RESAMPLING == "pool":
        y0 = 2 * y0
        x0 = 2 * x0
        y = 2 * y
        x = 2 * x
    pixel = (y - y0) * across + x - x0
    place = image + first_pixel(n, y0, x0, down, across) * C
    place = place + pixel[:, None] * C + c[None, :]
    mask = inside[:, None] & (c < C)[None, :]
    value = tl.load(place, mask=mask, other=0.0, cache_modifier=CACHE)
    value = normed(value, scale, shift, SLOPE)
    if RESAMPLING == "pool":
        for corner in tl.static_range(1, 4):
            beside = ((corner // 2) * across + corner % 2) * C
            other = tl.load(place + beside, mask=mask, other=0.0, cache_modifier=CACHE)
            value = larger(value, normed(other, scale, shift, SLOPE))
    # the padding is 0, and act(shift) is not
    return tl.where(inside[:, None], value, 0.0).to(image.dtype.element_ty)


@triton.jit
def read_gradient(
    g, result, through, n, y0, x0, y, x, inside, height, width, co, CO: tl.constexpr
):
    """[pixels, channels] of the gradient of the result; 0 where not inside.

    It is g + offset + slope * result, where `through` [2, CO] are the latter two, or g
    where there is none.
    """
    first = first_pixel(n, y0, x0, height, width) * CO
    pixel = (y - y0) * width + x - x0
    place = first + (pixel[:, None] * CO + co[None, :])
    mask = inside[:, None] & (co < CO)[None, :]
    value = tl.load(g + place, mask=mask, other=0.0)
    if through is not None:
        offset, slope = load_vectors(through, CO, co, co < CO)
        given = tl.load(result + place, mask=mask, other=0.0).to(tl.float32)
        whole = value.to(tl.float32) + offset[None, :] + slope[None, :] * given
        value = tl.where(mask, whole, 0.0).to(value.dtype)
    return value
