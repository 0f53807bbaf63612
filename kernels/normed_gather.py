"""A normed convolution forward: each part is normed and resampled as it is read.

A program computes a tile of pixels by a block of output channels, as that of `gather`
does, and leaves the sum of its pixels by channels and the sum of the squares of their
differences from their mean. These are merged in one order whatever the machine does
first (Chan, Golub and LeVeque, 1979, Updating Formulae and a Pairwise Algorithm for
Computing Sample Variances), so the statistics are the same each time, bit for bit, and
no large mean cancels a small variance.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import torch
import triton
import triton.language as tl
from torch import Tensor

from nestgen.kernels.configurations import Configuration
from nestgen.kernels.launch import Launch
from nestgen.kernels.normed_tiles import (
    count_tiles,
    load_vectors,
    norm_vectors,
    read_part,
    rest,
)
from nestgen.kernels.packing import pack_weight
from nestgen.kernels.part import Part, common_size
from nestgen.kernels.tiles import (
    biased,
    dot,
    dot_precision,
    first_pixel,
    store_pixels,
    tile_corner,
)


def launch(
    parts: Sequence[Part],
    weight: Tensor,
    bias: Tensor | None,
    y: Tensor,
    sums: Tensor | None,
    configuration: Configuration,
) -> Launch:
    """The launch that writes `y` [N, Co, H, W] and what `new_sums` gives.

    Parts are read as `RESAMPLED` says; all images are channels_last.
    """
    one, (height, width) = configuration, common_size(parts)
    groups = [
        (reading, tuple(part.source for part in alike))
        for reading, alike in groupby(parts, _reading)
    ]
    arguments = {
        "images": tuple(images for _, images in groups),
        "vectors": norm_vectors(parts),
        "weight": pack_weight(weight),
        "bias": None if bias is None else bias.contiguous(),
        "y": y,
        "sums": sums,
        "height": height,
        "width": width,
        "WIDTHS": tuple(reading[0] for reading, _ in groups),
        "SLOPES": tuple(reading[1] for reading, _ in groups),
        "RESAMPLINGS": tuple(reading[2] for reading, _ in groups),
        "RESTS": tuple(reading[3] for reading, _ in groups),
        "COLUMNS": weight.shape[1],
        "CO": weight.shape[0],
        "SIDE": weight.shape[2],
        "BLOCK_H": one.block_h,
        "BLOCK_W": one.block_w,
        "BLOCK_CO": one.block_co,
        "BLOCK_CI": one.block_ci,
        "CACHE": one.cache,
        "PRECISION": dot_precision(weight),
    }
    tiles = count_tiles(len(y), (height, width), one)
    programs = tiles * triton.cdiv(weight.shape[0], one.block_co)
    return Launch(normed_gather_kernel, programs, arguments, one)


def _reading(part: Part) -> tuple[int, float, str, int]:
    return part.source.shape[1], part.slope, part.resampling, rest(part)


def new_sums(y: Tensor, configuration: Configuration) -> Tensor:
    """[tiles, 2, Co], to be written: of each tile's pixels."""
    batch, channels, *size = y.shape
    tiles = count_tiles(batch, (size[0], size[1]), configuration)
    return y.new_empty(tiles, 2, channels, dtype=torch.float32)


def merge_sums(
    sums: Tensor, shape: Sequence[int], configuration: Configuration
) -> tuple[Tensor, Tensor]:
    """The mean and the biased variance [Co] of an image of `shape` [N, Co, H, W].

    The sum of all squares is that within the tiles, and that of their means, each as
    often as it has pixels.
    """
    batch, _, height, width = shape
    rows = _filled(height, configuration.block_h, sums)
    columns = _filled(width, configuration.block_w, sums)
    pixels = (rows[:, None] * columns).flatten().repeat(batch)[:, None]
    total, within = sums.double().unbind(1)
    numbers = batch * height * width
    mean = total.sum(0) / numbers
    between = pixels * (total / pixels - mean).square()
    var = (within + between).sum(0) / numbers
    return mean.float(), var.float()


def _filled(side: int, block: int, like: Tensor) -> Tensor:
    """Of each block along a side, how much there is."""
    starts = torch.arange(0, side, block, device=like.device, dtype=torch.float64)
    return (side - starts).clamp(max=block)


@triton.jit(do_not_specialize=["height", "width"])
def normed_gather_kernel(
    images, vectors, weight, bias, y, sums, height, width,
    WIDTHS: tl.constexpr, SLOPES: tl.constexpr, RESAMPLINGS: tl.constexpr,
    RESTS: tl.constexpr, COLUMNS: tl.constexpr, CO: tl.constexpr, SIDE: tl.constexpr,
    BLOCK_H: tl.constexpr, BLOCK_W: tl.constexpr, BLOCK_CO: tl.constexpr,
    BLOCK_CI: tl.constexpr, CACHE: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """`images` are in groups that are read alike; COLUMNS are the channels of all.

    The weight lies in memory as [CO, SIDE, SIDE, COLUMNS].
    """
    BLOCKS: tl.constexpr = (CO + BLOCK_CO - 1) // BLOCK_CO
    program = tl.program_id(0)
    channel = (program % BLOCKS) * BLOCK_CO + tl.arange(0, BLOCK_CO)
    tile = program // BLOCKS
    n, y0, x0 = tile_corner(tile, height, width, BLOCK_H, BLOCK_W)
    place = tl.arange(0, BLOCK_H * BLOCK_W)
    row = y0 + place // BLOCK_W
    column = x0 + place % BLOCK_W
    total = tl.zeros((BLOCK_H * BLOCK_W, BLOCK_CO), tl.float32)
    taken = 0
    for group in tl.static_range(len(WIDTHS)):
        total = _add_taps(
            total, images[group], vectors + taken, weight + taken,
            n, y0, x0, row, column, height, width, channel,
            WIDTHS[group], SLOPES[group],
            tl.constexpr(RESAMPLINGS[group]),  # which a text in a tuple is not in 3.6
            RESTS[group], COLUMNS, CO, SIDE, BLOCK_CI, CACHE, PRECISION,
        )  # fmt: skip
        taken += WIDTHS[group] * len(images[group])
    total = biased(total, bias, row, column, height, width, channel, CO, False)
    inside = (row < height) & (column < width)
    first = first_pixel(n, y0, x0, height, width)
    pixel = (row - y0) * width + column - x0
    store_pixels(y, first, pixel, inside, total, channel, CO)
    if sums is not None:
        # of what is stored, since that is what will be normed
        stored = total.to(y.dtype.element_ty).to(tl.float32)
        whole = tl.sum(tl.where(inside[:, None], stored, 0.0), 0)
        off = stored - (whole / tl.sum(inside.to(tl.float32), 0))[None, :]
        squares = tl.sum(tl.where(inside[:, None], off * off, 0.0), 0)
        at = sums + tile.to(tl.int64) * (2 * CO) + channel
        tl.store(at, whole, mask=channel < CO)
        tl.store(at + CO, squares, mask=channel < CO)


@triton.jit
def _add_taps(
    total, images, vectors, weight, n, y0, x0, row, column, height, width, channel,
    C: tl.constexpr, SLOPE: tl.constexpr, RESAMPLING: tl.constexpr, REST: tl.constexpr,
    COLUMNS: tl.constexpr, CO: tl.constexpr, SIDE: tl.constexpr,
    BLOCK_CI: tl.constexpr, CACHE: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """total plus what images of C channels each, read alike, add to the pixels.

    One loop goes through all of them, so that its pipeline runs on.
    """
    TAPS: tl.constexpr = SIDE * SIDE
    STEPS: tl.constexpr = (C + BLOCK_CI - 1) // BLOCK_CI
    ours = weight + channel[None, :] * (TAPS * COLUMNS)
    known = (channel < CO)[None, :]
    for step in range(len(images) * TAPS * STEPS):
        index = step // (TAPS * STEPS)
        tap = (step // STEPS) % TAPS
        c = (step % STEPS) * BLOCK_CI + tl.arange(0, BLOCK_CI)
        image = images[0]
        for later in tl.static_range(1, len(images)):
            image = tl.where(index >= later, images[later], image)
        i = row + tap // SIDE - SIDE // 2
        j = column + tap % SIDE - SIDE // 2
        inside = (i >= 0) & (i < height) & (j >= 0) & (j < width)
        scale, shift = load_vectors(vectors, COLUMNS, index * C + c, c < C)
        a = read_part(
            image, n, y0, x0, i, j, inside, height, width, c, scale, shift,
            C, SLOPE, RESAMPLING, REST, CACHE,
        )  # fmt: skip
        b = tl.load(
            ours + tap * COLUMNS + index * C + c[:, None],
            mask=known & (c < C)[:, None],
            other=0.0,
        )
        total = dot(a, b, total, PRECISION)
    return total
