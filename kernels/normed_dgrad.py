"""What the source of one part receives from a normed convolution (dgrad).

The gradient of the convolution's result, convolved with the part's own columns of the
weight, rotated, is that of what the part is read as. The epilogue takes it through the
resampling, the activation and the scale, and adds it to what the source has received
from others, in place. A program covers a tile of cells: pixels, or windows of 2x2 where
the part is resampled, of the source where it is pooled, of the convolution where it is
doubled.
"""

from __future__ import annotations

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
    normed,
    read_gradient,
    rest,
    source_size,
)
from nestgen.kernels.output_gradient import OutputGradient
from nestgen.kernels.part import Part
from nestgen.kernels.tiles import (
    dot,
    dot_precision,
    first_pixel,
    tile_corner,
)


def launch(
    part: Part,
    columns: Tensor,
    gradient: OutputGradient,
    out: Tensor,
    sums: Tensor | None,
    configuration: Configuration,
    *,
    add: bool,
) -> Launch:
    """The launch that writes `out`, or adds to it, and what `new_sums` gives.

    `columns` [Co, C, k, k] are the part's, a narrowing of a packed weight. `out` is
    [N, C, h, w] as the part's source, channels_last too, of any floating dtype.
    """
    one, channels = configuration, part.source.shape[1]
    height, width = gradient.g.shape[2:]
    arguments = {
        "g": gradient.g,
        "result": gradient.y,
        "through": gradient.through,
        "weight": columns,
        "image": part.source,
        "vectors": None if part.scale is None else norm_vectors([part]),
        "out": out,
        "sums": sums,
        "height": height,
        "width": width,
        "C": channels,
        "COLUMNS": columns.stride(3),
        "CO": columns.shape[0],
        "SIDE": columns.shape[2],
        "SLOPE": part.slope,
        "RESAMPLING": part.resampling,
        "REST": rest(part),
        "ADD": add,
        "BLOCK_H": one.block_h,
        "BLOCK_W": one.block_w,
        "BLOCK_CO": one.block_ci,
        "BLOCK_C": one.block_co,
        "PRECISION": dot_precision(columns),
    }
    tiles = count_tiles(len(out), _cells(part), one)
    programs = tiles * triton.cdiv(channels, one.block_co)
    return Launch(normed_dgrad_kernel, programs, arguments, one)


def _cells(part: Part) -> tuple[int, int]:
    """Rows and columns of cells: windows that are not whole are some, too."""
    height, width = part.source.shape[2:]
    if part.resampling == "pool":
        return (height + 1) // 2, (width + 1) // 2
    return height, width


def new_sums(part: Part, configuration: Configuration) -> Tensor:
    """[tiles, 2, C], to be written: summed, the gradients by the scale and shift."""
    tiles = count_tiles(len(part.source), _cells(part), configuration)
    shape = tiles, 2, part.source.shape[1]
    return part.source.new_empty(shape, dtype=torch.float32)


@triton.jit(do_not_specialize=["height", "width"])
def normed_dgrad_kernel(
    g, result, through, weight, image, vectors, out, sums, height, width,
    C: tl.constexpr, COLUMNS: tl.constexpr, CO: tl.constexpr, SIDE: tl.constexpr,
    SLOPE: tl.constexpr, RESAMPLING: tl.constexpr, REST: tl.constexpr,
    ADD: tl.constexpr, BLOCK_H: tl.constexpr, BLOCK_W: tl.constexpr,
    BLOCK_CO: tl.constexpr, BLOCK_C: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """The result is [height, width]; see `launch`, and of g `read_gradient`."""
    TAPS: tl.constexpr = SIDE * SIDE
    STEPS: tl.constexpr = (CO + BLOCK_CO - 1) // BLOCK_CO
    BLOCKS: tl.constexpr = (C + BLOCK_C - 1) // BLOCK_C
    TURNS: tl.constexpr = 4 if RESAMPLING == "nearest" else 1
    SPREAD: tl.constexpr = 2 if RESAMPLING == "nearest" else 1
    program = tl.program_id(0)
    channel = (program % BLOCKS) * BLOCK_C + tl.arange(0, BLOCK_C)
    known = channel < C
    tile = program // BLOCKS
    down, across = source_size(height, width, RESAMPLING, REST)
    WINDOW: tl.constexpr = 2 if RESAMPLING == "pool" else 1
    rows = tl.cdiv(down, WINDOW)
    n, i0, j0 = tile_corner(tile, rows, tl.cdiv(across, WINDOW), BLOCK_H, BLOCK_W)
    place = tl.arange(0, BLOCK_H * BLOCK_W)
    i = i0 + place // BLOCK_W
    j = j0 + place % BLOCK_W
    total = tl.zeros((BLOCK_H * BLOCK_W, BLOCK_C), tl.float32)
    for step in range(TURNS * TAPS * STEPS):
        turn = step // (TAPS * STEPS)
        tap = (step // STEPS) % TAPS
        co = (step % STEPS) * BLOCK_CO + tl.arange(0, BLOCK_CO)
        y = SPREAD * i + turn // 2
        x = SPREAD * j + turn % 2
        # what is cropped, or in no window, is read by none and receives 0
        read = (y < height) & (x < width)
        y += SIDE // 2 - tap // SIDE
        x += SIDE // 2 - tap % SIDE
        inside = read & (y >= 0) & (y < height) & (x >= 0) & (x < width)
        a = read_gradient(
            g, result, through, n, SPREAD * i0, SPREAD * j0, y, x, inside,
            height, width, co, CO,
        )  # fmt: skip
        b = tl.load(
            weight + co[:, None] * (TAPS * COLUMNS) + tap * COLUMNS + channel[None, :],
            mask=(co < CO)[:, None] & known[None, :],
            other=0.0,
        )
        total = dot(a, b, total, PRECISION)
    first = first_pixel(n, WINDOW * i0, WINDOW * j0, down, across) * C
    pixel = WINDOW * ((i - i0) * across + j - j0)
    at = first + (pixel[:, None] * C + channel[None, :])
    scale = tl.full((BLOCK_C,), 1.0, tl.float32)
    shift = tl.zeros((BLOCK_C,), tl.float32)
    if vectors is not None:
        scale, shift = load_vectors(vectors, C, channel, known)
    largest = 0
    if RESAMPLING == "pool":
        mask = ((i < height) & (j < width))[:, None] & known[None, :]
        largest = _first_largest(image + at, mask, across, scale, shift, C, SLOPE)
    of_scale = tl.zeros((BLOCK_C,), tl.float32)
    of_shift = tl.zeros((BLOCK_C,), tl.float32)
    for corner in tl.static_range(WINDOW * WINDOW):
        there = (WINDOW * i + corner // 2 < down) & (WINDOW * j + corner % 2 < across)
        mask = there[:, None] & known[None, :]
        beside = ((corner // 2) * across + corner % 2) * C
        d = total
        if vectors is not None or SLOPE != 1 or RESAMPLING == "pool":
            value = tl.load(image + at + beside, mask=mask, other=0.0)
            z = normed(value, scale, shift, SLOPE).to(tl.float32)
            if RESAMPLING == "pool":
                d = tl.where(largest == corner, d, 0.0)
            if SLOPE == 0:
                d = tl.where(z <= 0, 0.0, d)
            elif SLOPE != 1:
                d = tl.where(z > 0, d, SLOPE * d)
            if sums is not None:
                of_scale += tl.sum(d * value.to(tl.float32), 0)
                of_shift += tl.sum(d, 0)
            if vectors is not None:
                d *= scale[None, :]
        if ADD:
            d += tl.load(out + at + beside, mask=mask, other=0.0).to(tl.float32)
        tl.store(out + at + beside, d.to(out.dtype.element_ty), mask=mask)
    if sums is not None:
        to = sums + tile.to(tl.int64) * (2 * C) + channel
        tl.store(to, of_scale, mask=known)
        tl.store(to + C, of_shift, mask=known)


@triton.jit
def _first_largest(
    image, mask, across, scale, shift, C: tl.constexpr, SLOPE: tl.constexpr
):
    """Which of 2x2 pixels is read as the largest, the first of equals, as in torch.

    `image` is where the first of each window lies.
    """
    largest = normed(tl.load(image, mask=mask, other=0.0), scale, shift, SLOPE)
    which = tl.zeros(largest.shape, tl.int32)
    for corner in tl.static_range(1, 4):
        beside = ((corner // 2) * across + corner % 2) * C
        value = tl.load(image + beside, mask=mask, other=0.0)
        value = normed(value, scale, shift, SLOPE)
        which = tl.where(value > largest, corner, which)
        largest = tl.maximum(value, largest)
    return which
