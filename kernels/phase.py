"""The kernel by phases: a program makes the 2x2 phases of pixels of low resolution.

A pixel of the skips is loaded 16 times for four results, not 36 times, one of the low
input 9 times, not 16, and no up-sampled tensor is ever made. The maxima of a pooling
are those of the four phases: no thread waits for another.
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
    if call.up != "phases":
        return f"up={call.up!r}, only 'phases'"
    return why_no_head(call)


def launch(
    call: Call, outputs: Mapping[Output, Tensor], configuration: Configuration
) -> Launch:
    """The launch that writes the `outputs` of a call."""
    require_even(configuration)
    assert call.low is not None
    n, _, h, w = call.low.shape
    block_h, block_w = configuration.block_h // 2, configuration.block_w // 2
    arguments = call_arguments(call, outputs, configuration) | {
        "h": h,
        "w": w,
        **count_blocks(call, configuration.block_ci),
        "BLOCK_H": block_h,
        "BLOCK_W": block_w,
        "PRECISION": dot_precision(call.weight),
    }
    tiles = n * triton.cdiv(h, block_h) * triton.cdiv(w, block_w)
    programs = tiles * triton.cdiv(call.weight.shape[0], configuration.block_co)
    return Launch(phase_kernel, programs, arguments, configuration)


@triton.jit(do_not_specialize=["h", "w", "blocks", "low_blocks"])
def phase_kernel(
    skips, weight, low, low_weight, bias, head_weight, head_bias,
    features, pooled, logits, h, w, blocks, low_blocks,
    WIDTHS: tl.constexpr, COLUMNS: tl.constexpr, LOW: tl.constexpr, CO: tl.constexpr,
    CLASSES: tl.constexpr, BORDERS: tl.constexpr, SLOPE: tl.constexpr,
    BLOCK_H: tl.constexpr, BLOCK_W: tl.constexpr,
    BLOCK_CO: tl.constexpr, BLOCK_CI: tl.constexpr, CACHE: tl.constexpr,
    PRECISION: tl.constexpr,
):  # fmt: skip
    """See `call_arguments`; h, w and the blocks of pixels are those of `low`."""
    ACROSS: tl.constexpr = (CO + BLOCK_CO - 1) // BLOCK_CO
    program = tl.program_id(0)
    channel = (program % ACROSS) * BLOCK_CO + tl.arange(0, BLOCK_CO)
    n, y0, x0 = tile_corner(program // ACROSS, h, w, BLOCK_H, BLOCK_W)
    place = tl.arange(0, BLOCK_H * BLOCK_W)
    y, x = place // BLOCK_W, place % BLOCK_W
    zero = tl.zeros((BLOCK_H * BLOCK_W, BLOCK_CO), tl.float32)
    sums = (zero, zero, zero, zero)
    first = first_pixel(n, 2 * y0, 2 * x0, 2 * h, 2 * w)
    if len(WIDTHS) > 0:  # what would never run is compiled too
        for block in range(blocks):
            image, width, c0, column = channel_block(skips, WIDTHS, block, BLOCK_CI)
            sums = _add_skip(
                sums, image + first * width, width, c0, weight + column, 2 * y0, 2 * x0,
                2 * y, 2 * x, 2 * h, 2 * w, channel,
                COLUMNS, CO, BLOCK_CI, CACHE, PRECISION,
            )  # fmt: skip
    first_low = first_pixel(n, y0, x0, h, w)
    for block in range(low_blocks):
        c0 = block * BLOCK_CI
        sums = _add_low(
            sums, low + first_low * LOW, c0, low_weight, y0, x0, y, x, h, w, channel,
            LOW, CO, BLOCK_CI, CACHE, PRECISION,
        )  # fmt: skip
    inside = (y0 + y < h) & (x0 + x < w)
    most = zero
    for phase in tl.static_range(4):
        Y, X = 2 * y + phase // 2, 2 * x + phase % 2
        total = biased(
            sums[phase], bias, 2 * y0 + Y, 2 * x0 + X, 2 * h, 2 * w, channel,
            CO, BORDERS,
        )  # fmt: skip
        total = activated(total, SLOPE)
        most = total if phase == 0 else larger(most, total)
        pixel = Y * (2 * w) + X
        if features is not None:
            store_pixels(features, first, pixel, inside, total, channel, CO)
        if logits is not None:
            store_logits(
                logits, first, pixel, inside, total, head_weight, head_bias, channel,
                CO, CLASSES,
            )  # fmt: skip
    if pooled is not None:
        store_pixels(pooled, first_low, y * w + x, inside, most, channel, CO)


@triton.jit
def _add_skip(
    sums, image, width, c0, weight, y0, x0, y, x, height, across, channel,
    COLUMNS: tl.constexpr, CO: tl.constexpr, BLOCK_CI: tl.constexpr,
    CACHE: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """sums plus what a block of a skip's channels adds: 16 tiles, by 9 taps.

    The block begins with channel `c0` of the skip's, and with the first of `weight`.
    """
    c = tl.arange(0, BLOCK_CI)
    known = c0 + c < width
    ours = weight + channel[None, :] * (9 * COLUMNS) + c[:, None]
    taps = ()
    for tap in tl.static_range(9):
        mask = known[:, None] & (channel < CO)[None, :]
        taps += (tl.load(ours + tap * COLUMNS, mask=mask, other=0.0),)
    for r in tl.static_range(4):
        for s in tl.static_range(4):
            i, j = y + r - 1, x + s - 1
            inside = (y0 + i >= 0) & (y0 + i < height)
            inside = inside & (x0 + j >= 0) & (x0 + j < across)
            a = tl.load(
                image + ((i * across + j) * width)[:, None] + (c0 + c)[None, :],
                mask=inside[:, None] & known[None, :],
                other=0.0,
                cache_modifier=CACHE,
            )
            for p in tl.static_range(2):
                for q in tl.static_range(2):
                    if r >= p and r <= p + 2 and s >= q and s <= q + 2:
                        b = taps[3 * (r - p) + s - q]
                        total = dot(a, b, sums[2 * p + q], PRECISION)
                        sums = replaced(sums, 2 * p + q, total)
    return sums


@triton.jit
def _add_low(
    sums, image, c0, weight, y0, x0, y, x, height, across, channel,
    LOW: tl.constexpr, CO: tl.constexpr, BLOCK_CI: tl.constexpr,
    CACHE: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """sums plus what the low channels from `c0` on add: 9 tiles, by 4 places each."""
    c = c0 + tl.arange(0, BLOCK_CI)
    ours = weight + channel[None, :] * (16 * LOW) + c[:, None]
    for r in tl.static_range(3):
        for s in tl.static_range(3):
            i, j = y + r - 1, x + s - 1
            inside = (y0 + i >= 0) & (y0 + i < height)
            inside = inside & (x0 + j >= 0) & (x0 + j < across)
            a = tl.load(
                image + ((i * across + j) * LOW)[:, None] + c[None, :],
                mask=inside[:, None] & (c < LOW)[None, :],
                other=0.0,
                cache_modifier=CACHE,
            )
            for p in tl.static_range(2):
                for q in tl.static_range(2):
                    if r >= p and r <= p + 1 and s >= q and s <= q + 1:
                        # result 2y + p takes pixel y + d by place p + 1 - 2d
                        at = 4 * (p + 3 - 2 * r) + q + 3 - 2 * s
                        mask = (c < LOW)[:, None] & (channel < CO)[None, :]
                        b = tl.load(ours + at * LOW, mask=mask, other=0.0)
                        total = dot(a, b, sums[2 * p + q], PRECISION)
                        sums = replaced(sums, 2 * p + q, total)
    return sums
