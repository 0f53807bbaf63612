"""What the weight of a normed convolution receives from one part (wgrad).

It is a product over all pixels: of the gradient of the result, and of what the part is
read as. A program has a block of channels by channels and a row of taps; it norms each
pixel of the part once and reads the gradient as each tap sees it. Pixels are split
among programs, whose sums are kept apart and added in one order: no atomic additions.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from nestgen.kernels.blocks import replaced
from nestgen.kernels.configurations import Configuration
from nestgen.kernels.launch import Launch
from nestgen.kernels.normed_tiles import (
    count_tiles,
    load_vectors,
    norm_vectors,
    read_gradient,
    read_part,
    rest,
)
from nestgen.kernels.output_gradient import OutputGradient
from nestgen.kernels.part import Part
from nestgen.kernels.tiles import dot, dot_precision, tile_corner

PROGRAMS = 512
"""So many fill a large GPU; a number of its own would make sums of another order."""


def launch(
    part: Part,
    gradient: OutputGradient,
    sums: Tensor,
    configuration: Configuration,
) -> Launch:
    """The launch that writes `sums`, which `new_sums` gives."""
    one, channels = configuration, part.source.shape[1]
    splits, outputs, side, *_ = sums.shape
    height, width = gradient.g.shape[2:]
    tiles = count_tiles(len(gradient.g), (height, width), one)
    arguments = {
        "g": gradient.g,
        "result": gradient.y,
        "through": gradient.through,
        "image": part.source,
        "vectors": norm_vectors([part]),
        "sums": sums,
        "height": height,
        "width": width,
        "tiles": tiles,
        "each": triton.cdiv(tiles, max(splits, 1)),
        "C": channels,
        "CO": outputs,
        "SIDE": side,
        "SLOPE": part.slope,
        "RESAMPLING": part.resampling,
        "REST": rest(part),
        "BLOCK_H": one.block_h,
        "BLOCK_W": one.block_w,
        "BLOCK_CO": one.block_co,
        "BLOCK_CI": one.block_ci,
        "CACHE": one.cache,
        "PRECISION": dot_precision(part.source),
    }
    programs = splits * side * _blocks(outputs, channels, one)
    return Launch(normed_wgrad_kernel, programs, arguments, one)


def new_sums(
    part: Part, gradient: OutputGradient, side: int, configuration: Configuration
) -> Tensor:
    """[splits, Co, k, k, C], to be written: summed, the weight's gradient, packed."""
    batch, outputs, height, width = gradient.g.shape
    channels = part.source.shape[1]
    tiles = count_tiles(batch, (height, width), configuration)
    wanted = PROGRAMS // (side * _blocks(outputs, channels, configuration))
    splits = min(tiles, max(1, wanted))
    shape = splits, outputs, side, side, channels
    return gradient.g.new_empty(shape, dtype=torch.float32)


def _blocks(outputs: int, channels: int, one: Configuration) -> int:
    return -(-outputs // one.block_co) * -(-channels // one.block_ci)


@triton.jit(do_not_specialize=["height", "width", "tiles", "each"])
def normed_wgrad_kernel(
    g, result, through, image, vectors, sums, height, width, tiles, each,
    C: tl.constexpr, CO: tl.constexpr, SIDE: tl.constexpr, SLOPE: tl.constexpr,
    RESAMPLING: tl.constexpr, REST: tl.constexpr, BLOCK_H: tl.constexpr,
    BLOCK_W: tl.constexpr, BLOCK_CO: tl.constexpr, BLOCK_CI: tl.constexpr,
    CACHE: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Each split has as many of the tiles; of g see `read_gradient`."""
    ACROSS: tl.constexpr = (C + BLOCK_CI - 1) // BLOCK_CI
    DOWN: tl.constexpr = (CO + BLOCK_CO - 1) // BLOCK_CO
    program = tl.program_id(0)
    c = (program % ACROSS) * BLOCK_CI + tl.arange(0, BLOCK_CI)
    co = (program // ACROSS % DOWN) * BLOCK_CO + tl.arange(0, BLOCK_CO)
    tap = program // (ACROSS * DOWN) % SIDE
    split = program // (ACROSS * DOWN * SIDE)
    scale, shift = load_vectors(vectors, C, c, c < C)
    place = tl.arange(0, BLOCK_H * BLOCK_W)
    totals = ()
    for _ in tl.static_range(SIDE):
        totals += (tl.zeros((BLOCK_CO, BLOCK_CI), tl.float32),)
    for tile in range(split * each, tl.minimum(split * each + each, tiles)):
        n, y0, x0 = tile_corner(tile, height, width, BLOCK_H, BLOCK_W)
        y = y0 + place // BLOCK_W
        x = x0 + place % BLOCK_W
        inside = (y < height) & (x < width)
        b = read_part(
            image, n, y0, x0, y, x, inside, height, width, c, scale, shift,
            C, SLOPE, RESAMPLING, REST, CACHE,
        )  # fmt: skip
        i = y + SIDE // 2 - tap
        for t in tl.static_range(SIDE):
            j = x + SIDE // 2 - t
            inside = (i >= 0) & (i < height) & (j >= 0) & (j < width)
            a = read_gradient(
                g, result, through, n, y0, x0, i, j, inside, height, width, co, CO
            )
            totals = replaced(totals, t, dot(tl.trans(a), b, totals[t], PRECISION))
    for t in tl.static_range(SIDE):
        row = ((split.to(tl.int64) * CO + co) * SIDE + tap) * SIDE + t
        known = (co < CO)[:, None] & (c < C)[None, :]
        tl.store(sums + row[:, None] * C + c[None, :], totals[t], mask=known)
