"""The kernel of `raise2x`: one read, mostly from near memory, and one write."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from nestgen.kernels.configurations import padded
from nestgen.kernels.tiles import first_pixel, store_pixels

VALUES = 2048
"""Of a program: 16 for each of its 128 threads."""


def launch(low: Tensor, mode: str, out: Tensor) -> None:
    """Writes `out`, as `raise2x` does; both are channels_last."""
    batch, channels, height, width = out.shape
    block_c = min(padded(channels), 128)
    block_w = VALUES // block_c
    blocks = triton.cdiv(width, block_w) * triton.cdiv(channels, block_c)
    if out.numel() == 0:
        return
    with torch.cuda.device_of(low):
        raise2x_kernel[(batch * height * blocks,)](
            low,
            out,
            *low.shape[2:],
            height,
            width,
            C=channels,
            MODE=mode,
            BLOCK_W=block_w,
            BLOCK_C=block_c,
            enable_fp_fusion=True,
        )


@triton.jit(do_not_specialize=["h", "w", "height", "width"])
def raise2x_kernel(
    low, out, h, w, height, width,
    C: tl.constexpr, MODE: tl.constexpr, BLOCK_W: tl.constexpr, BLOCK_C: tl.constexpr,
):  # fmt: skip
    """A piece of one row of `out`, [height, width], from two rows of `low`, [h, w]."""
    BLOCKS: tl.constexpr = (C + BLOCK_C - 1) // BLOCK_C
    program = tl.program_id(0)
    channel = (program % BLOCKS) * BLOCK_C + tl.arange(0, BLOCK_C)
    across = tl.cdiv(width, BLOCK_W)
    column = (program // BLOCKS) % across * BLOCK_W
    row = program // BLOCKS // across
    n = row // height
    y = row % height
    x = column + tl.arange(0, BLOCK_W)
    inside = x < width
    i = y // 2
    j = x // 2
    value = _read(low, n, i, j, h, w, inside, channel, C)
    if MODE != "nearest":
        i2, of_row = _other(y, h, MODE)
        j2, of_column = _other(x, w, MODE)
        of_column = of_column[:, None]
        beside = _read(low, n, i, j2, h, w, inside, channel, C)
        value += of_column * (beside - value)
        under = _read(low, n, i2, j, h, w, inside, channel, C)
        beside = _read(low, n, i2, j2, h, w, inside, channel, C)
        under += of_column * (beside - under)
        value += of_row * (under - value)
    first = first_pixel(n, y, 0, height, width)
    store_pixels(out, first, x, inside, value, channel, C)


@triton.jit
def _other(place, side, MODE: tl.constexpr):
    """The other pixel that is read by `place` of a doubled side, and its weight.

    The one is place // 2, the other is before it for the first of two and after it for
    the second. With aligned corners, 2i is at i - i / (2 side - 1), and the end mirrors
    the beginning.
    """
    second = place % 2
    one = place // 2
    other = tl.minimum(tl.maximum(one + 2 * second - 1, 0), side - 1)
    if MODE == "bilinear":
        weight = 0.25 + 0.0 * place  # one for each place
    else:
        from_end = tl.where(second == 1, side - 1 - one, one)
        weight = from_end.to(tl.float32) / (2 * side - 1).to(tl.float32)
    return other, weight


@triton.jit
def _read(low, n, i, j, h, w, inside, channel, C: tl.constexpr):
    """[pixels, channels] of the row i, in float32."""
    place = low + first_pixel(n, i, 0, h, w) * C + j[:, None] * C + channel[None, :]
    known = inside[:, None] & (channel < C)[None, :]
    return tl.load(place, mask=known, other=0.0).to(tl.float32)
