"""The portable kernel: each tap of each input is read where it lies, for any call.

A program computes a tile of pixels by a block of output channels. It goes through the
inputs, whose number is known when it is compiled, and for each through the taps and the
blocks of input channels in one loop, which the compiler makes a pipeline.

Where the result is a transposed convolution or is pooled, a tile is one of windows of
2x2 pixels, and each window's pixels are computed in four turns: then all pixels of a
turn have the same taps, and the maxima are those of the turns.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby

import triton
import triton.language as tl
from torch import Tensor

from nestgen.kernels.call import Call, Output
from nestgen.kernels.configurations import Configuration
from nestgen.kernels.launch import Launch, call_arguments, why_no_head
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
    return why_no_head(call)


def launch(
    call: Call, outputs: Mapping[Output, Tensor], configuration: Configuration
) -> Launch:
    """The launch that writes the `outputs` of a call."""
    one = configuration
    channels, (height, width) = call.weight.shape[0], call.size
    windows = call.up == "phases" or "pooled" in outputs
    tiles = (
        call.images[0].shape[0]
        * triton.cdiv(height, one.block_h * (1 + windows))
        * triton.cdiv(width, one.block_w * (1 + windows))
    )
    turns = 4 if windows and "pooled" not in outputs else 1
    groups = [
        (size, tuple(same))
        for size, same in groupby(call.skips, lambda skip: skip.shape[1])
    ]
    arguments = call_arguments(call, outputs, one) | {
        "skips": tuple(same for _, same in groups),
        "height": height,
        "width": width,
        "WIDTHS": tuple(size for size, _ in groups),
        "UP": call.up,
        "BLOCK_H": one.block_h,
        "BLOCK_W": one.block_w,
        "PRECISION": dot_precision(call.weight),
    }
    programs = tiles * turns * triton.cdiv(channels, one.block_co)
    return Launch(gather_kernel, programs, arguments, one)


@triton.jit(do_not_specialize=["height", "width"])
def gather_kernel(
    skips, weight, low, low_weight, bias, head_weight, head_bias,
    features, pooled, logits, height, width,
    WIDTHS: tl.constexpr, COLUMNS: tl.constexpr, LOW: tl.constexpr, CO: tl.constexpr,
    CLASSES: tl.constexpr, UP: tl.constexpr, BORDERS: tl.constexpr, SLOPE: tl.constexpr,
    BLOCK_H: tl.constexpr, BLOCK_W: tl.constexpr, BLOCK_CO: tl.constexpr,
    BLOCK_CI: tl.constexpr, CACHE: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """See `Call`; `skips` are in groups of as many channels, told by WIDTHS.

    COLUMNS are the channels of all skips, LOW those of low.

    Weights lie in memory as `packing` has them, biases and the head as in `Call`.
    """
    PIXELS: tl.constexpr = BLOCK_H * BLOCK_W
    BLOCKS: tl.constexpr = (CO + BLOCK_CO - 1) // BLOCK_CO
    SIDE: tl.constexpr = 2 if UP == "phases" or pooled is not None else 1
    TURNS: tl.constexpr = 4 if pooled is not None else 1
    program = tl.program_id(0)
    channel = (program % BLOCKS) * BLOCK_CO + tl.arange(0, BLOCK_CO)
    tile = program // BLOCKS
    part = 0
    if SIDE == 2 and TURNS == 1:
        part = tile % 4
        tile = tile // 4
    down = tl.cdiv(height, SIDE)
    across = tl.cdiv(width, SIDE)
    n, row, column = tile_corner(tile, down, across, BLOCK_H, BLOCK_W)
    place = tl.arange(0, PIXELS)
    rows = row + place // BLOCK_W
    columns = column + place % BLOCK_W
    y0 = SIDE * row
    x0 = SIDE * column
    first = first_pixel(n, y0, x0, height, width)
    most = tl.full((PIXELS, BLOCK_CO), float("-inf"), tl.float32)
    for turn in range(TURNS):
        p = (part + turn) // 2
        q = (part + turn) % 2
        y = SIDE * rows + p
        x = SIDE * columns + q
        total = tl.zeros((PIXELS, BLOCK_CO), tl.float32)
        taken = weight
        for group in tl.static_range(len(WIDTHS)):
            total = _add_taps(
                total, skips[group], taken, n, y0, x0, y, x, p, q, height, width,
                channel, WIDTHS[group], COLUMNS, CO, "none", BLOCK_CI, CACHE, PRECISION,
            )  # fmt: skip
            taken += WIDTHS[group] * len(skips[group])
        if low is not None:
            total = _add_taps(
                total, (low,), low_weight, n, y0, x0, y, x, p, q, height, width,
                channel, LOW, LOW, CO, UP, BLOCK_CI, CACHE, PRECISION,
            )  # fmt: skip
        total = biased(total, bias, y, x, height, width, channel, CO, BORDERS)
        total = activated(total, SLOPE)
        inside = (y < height) & (x < width)
        pixel = (y - y0) * width + x - x0
        if features is not None:
            store_pixels(features, first, pixel, inside, total, channel, CO)
        if logits is not None:
            store_logits(
                logits, first, pixel, inside, total, head_weight, head_bias, channel,
                CO, CLASSES,
            )  # fmt: skip
        if pooled is not None:
            most = larger(most, total)
    if pooled is not None:
        # an odd last row or column is in no window
        inside = (rows < height // 2) & (columns < width // 2)
        first = first_pixel(n, row, column, height // 2, width // 2)
        pixel = (rows - row) * (width // 2) + columns - column
        store_pixels(pooled, first, pixel, inside, most, channel, CO)


@triton.jit
def _add_taps(
    total, images, weight, n, y0, x0, y, x, p, q, height, width, channel,
    C: tl.constexpr, COLUMNS: tl.constexpr, CO: tl.constexpr, UP: tl.constexpr,
    BLOCK_CI: tl.constexpr, CACHE: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """total plus what images of C channels each add to the pixels (y, x).

    They are of half the resolution unless UP is "none"; where it is "phases", all
    pixels are (p, q) of their windows. Near them is the pixel (y0, x0), even unless
    UP is "none". A row of `weight` is of taps by COLUMNS input channels, of which they
    are the first. One loop goes through all images, so that its pipeline runs on.
    """
    TAPS: tl.constexpr = 4 if UP == "phases" else 9
    PLACES: tl.constexpr = 16 if UP == "phases" else 9
    STEPS: tl.constexpr = (C + BLOCK_CI - 1) // BLOCK_CI
    down = height
    across = width
    if UP != "none":
        down = (height + 1) // 2
        across = (width + 1) // 2
        y0 = y0 // 2
        x0 = x0 // 2
    near = first_pixel(n, y0, x0, down, across) * C
    ours = weight + channel[None, :] * (PLACES * COLUMNS)
    known = (channel < CO)[None, :]
    for step in range(len(images) * TAPS * STEPS):
        index = step // (TAPS * STEPS)
        tap = (step // STEPS) % TAPS
        c = (step % STEPS) * BLOCK_CI + tl.arange(0, BLOCK_CI)
        image = images[0]
        for later in tl.static_range(1, len(images)):
            image = tl.where(index >= later, images[later], image)
        if UP == "phases":
            # pixel 2i - 1 + k of the result is reached from i by place k
            i = y // 2 + p - 1 + tap // 2
            j = x // 2 + q - 1 + tap % 2
            inside = (i >= 0) & (i < down) & (j >= 0) & (j < across)
            at = (3 - p - 2 * (tap // 2)) * 4 + 3 - q - 2 * (tap % 2)
        else:
            i = y + tap // 3 - 1
            j = x + tap % 3 - 1
            # of the doubled pixels, whatever of them is cropped
            inside = (i >= 0) & (i < height) & (j >= 0) & (j < width)
            at = tap
            if UP == "nearest":
                i = i >> 1
                j = j >> 1
        pixel = (i - y0) * across + j - x0
        a = tl.load(
            image + near + pixel[:, None] * C + c[None, :],
            mask=inside[:, None] & (c < C)[None, :],
            other=0.0,
            cache_modifier=CACHE,
        )
        b = tl.load(
            ours + at * COLUMNS + index * C + c[:, None],
            mask=known & (c < C)[:, None],
            other=0.0,
        )
        total = dot(a, b, total, PRECISION)
    return total
