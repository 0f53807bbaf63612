"""The kernel by rows: a program makes several rows of a piece of their columns.

A row of pixels that is loaded serves the rows of results above, on and below it: four
rows take 6 rows of pixels by 3 columns of taps, 4.5 loads per pixel, not 9.
"""

from __future__ import annotations

from collections.abc import Mapping

import triton
import triton.language as tl
from torch import Tensor

from nestgen.kernels.blocks import channel_block, count_blocks, replaced
from nestgen.kernels.call import Call, Output
from nestgen.kernels.configurations import Configuration
from nestgen.kernels.launch import Launch, call_arguments, require_even, why_no_head
from nestgen.kernels.tiles import (
    activated,
    biased,
    dot,
    dot_precision,
    first_pixel,
    larger,
    store_logits,
    store_pixels,
    tile_corner,
)


def why_not(call: Call) -> str | None:
    """Why the kernel cannot run `call`, or None where it can."""
    if call.up == "phases":
        return "up='phases', only 'none' and 'nearest'"
    return why_no_head(call)


def launch(
    call: Call, outputs: Mapping[Output, Tensor], configuration: Configuration
) -> Launch:
    """The launch that writes the `outputs` of a call."""
    require_even(configuration)
    height, width = call.size
    arguments = call_arguments(call, outputs, configuration) | {
        "height": height,
        "width": width,
        **count_blocks(call, configuration.block_ci),
        "ROWS": configuration.block_h,
        "BLOCK_W": configuration.block_w,
        "PRECISION": dot_precision(call.weight),
    }
    tiles = (
        call.images[0].shape[0]
        * triton.cdiv(height, configuration.block_h)
        * triton.cdiv(width, configuration.block_w)
    )
    programs = tiles * triton.cdiv(call.weight.shape[0], configuration.block_co)
    return Launch(rows_kernel, programs, arguments, configuration)


@triton.jit(do_not_specialize=["height", "width", "blocks", "low_blocks"])
def rows_kernel(
    skips, weight, low, low_weight, bias, head_weight, head_bias,
    features, pooled, logits, height, width, blocks, low_blocks,
    WIDTHS: tl.constexpr, COLUMNS: tl.constexpr, LOW: tl.constexpr, CO: tl.constexpr,
    CLASSES: tl.constexpr, BORDERS: tl.constexpr, SLOPE: tl.constexpr,
    ROWS: tl.constexpr, BLOCK_W: tl.constexpr,
    BLOCK_CO: tl.constexpr, BLOCK_CI: tl.constexpr, CACHE: tl.constexpr,
    PRECISION: tl.constexpr,
):  # fmt: skip
    """See `call_arguments`; height, width and the blocks are those of the result."""
    ACROSS: tl.constexpr = (CO + BLOCK_CO - 1) // BLOCK_CO
    program = tl.program_id(0)
    channel = (program % ACROSS) * BLOCK_CO + tl.arange(0, BLOCK_CO)
    n, y0, x0 = tile_corner(program // ACROSS, height, width, ROWS, BLOCK_W)
    x = tl.arange(0, BLOCK_W)
    top = y0 + tl.zeros_like(x)
    sums = ()
    for _ in tl.static_range(ROWS):
        sums += (tl.zeros((BLOCK_W, BLOCK_CO), tl.float32),)
    first = first_pixel(n, y0, x0, height, width)
    if len(WIDTHS) > 0:  # what would never run is compiled too
        for step in range(3 * blocks):
            image, wide, c0, column = channel_block(skips, WIDTHS, step // 3, BLOCK_CI)
            sums = _add_rows(
                sums, image + first * wide, wide, c0, weight + column, step % 3,
                top, x0, x, height, width, width, channel,
                COLUMNS, CO, 0, ROWS, BLOCK_CI, CACHE, PRECISION,
            )  # fmt: skip
    if low is not None:
        h, w = (height + 1) // 2, (width + 1) // 2
        near = low + first_pixel(n, y0 // 2, x0 // 2, h, w) * LOW
        for step in range(3 * low_blocks):
            c0 = step // 3 * BLOCK_CI
            sums = _add_rows(
                sums, near, LOW, c0, low_weight + c0, step % 3,
                top, x0, x, height, width, w, channel,
                LOW, CO, 1, ROWS, BLOCK_CI, CACHE, PRECISION,
            )  # fmt: skip
    for row in tl.static_range(ROWS):
        total = biased(
            sums[row], bias, top + row, x0 + x, height, width, channel, CO, BORDERS
        )
        total = activated(total, SLOPE)
        sums = replaced(sums, row, total)
        inside = (top + row < height) & (x0 + x < width)
        pixel = row * width + x
        if features is not None:
            store_pixels(features, first, pixel, inside, total, channel, CO)
        if logits is not None:
            store_logits(
                logits, first, pixel, inside, total, head_weight, head_bias, channel,
                CO, CLASSES,
            )  # fmt: skip
    if pooled is not None:
        _store_pooled(
            pooled, n, y0 // 2, x0 // 2, height // 2, width // 2, sums, channel,
            CO, ROWS, BLOCK_W,
        )  # fmt: skip


@triton.jit
def _add_rows(
    sums, image, wide, c0, weight, tap, top, x0, x, height, width, stride, channel,
    COLUMNS: tl.constexpr, CO: tl.constexpr, UP: tl.constexpr, ROWS: tl.constexpr,
    BLOCK_CI: tl.constexpr, CACHE: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """sums plus what a block of an image's channels adds by column `tap` of the taps.

    The block begins with channel `c0` of `wide`, and with the first of `weight`. With
    UP the image is of half the resolution, and its pixels are read doubled.
    """
    c = tl.arange(0, BLOCK_CI)
    known = c0 + c < wide
    ours = weight + channel[None, :] * (9 * COLUMNS) + tap * COLUMNS + c[:, None]
    taps = ()
    for row in tl.static_range(3):
        mask = known[:, None] & (channel < CO)[None, :]
        taps += (tl.load(ours + 3 * row * COLUMNS, mask=mask, other=0.0),)
    j = x + tap - 1
    for r in tl.static_range(ROWS + 2):
        i = top + r - 1
        # of the doubled pixels, whatever of them is cropped
        inside = (i >= 0) & (i < height) & (x0 + j >= 0) & (x0 + j < width)
        pixel = ((r - 1) >> UP) * stride + (j >> UP)
        a = tl.load(
            image + (pixel * wide)[:, None] + (c0 + c)[None, :],
            mask=inside[:, None] & known[None, :],
            other=0.0,
            cache_modifier=CACHE,
        )
        for t in tl.static_range(3):
            if r >= t and r < ROWS + t:
                total = dot(a, taps[t], sums[r - t], PRECISION)
                sums = replaced(sums, r - t, total)
    return sums


@triton.jit
def _store_pooled(
    image, n, y0, x0, height, width, sums, channel,
    CO: tl.constexpr, ROWS: tl.constexpr, BLOCK_W: tl.constexpr,
):  # fmt: skip
    """Writes the maxima of 2x2 windows; an odd last row or column is in none."""
    first = first_pixel(n, y0, x0, height, width)
    x = tl.arange(0, BLOCK_W // 2)
    for y in tl.static_range(ROWS // 2):
        both = larger(sums[2 * y], sums[2 * y + 1])
        pairs = tl.reshape(both, (BLOCK_W // 2, 2, both.shape[1]))
        left, right = tl.split(tl.permute(pairs, (0, 2, 1)))
        inside = (y0 + y + tl.zeros_like(x) < height) & (x0 + x < width)
        pixel = y * width + x
        store_pixels(image, first, pixel, inside, larger(left, right), channel, CO)
