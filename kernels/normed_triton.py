"""A normed convolution by Triton's kernels, forward and backward.

Parts that are up-sampled by more than doubling pixels are made before, one tensor each
that is gone when this returns: bilinear weights are not constant with aligned corners
and clamp at the borders, and a transposed convolution mixes channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from nestgen.kernels import normed_dgrad, normed_gather, normed_wgrad
from nestgen.kernels.layout import channels_last, empty_channels_last
from nestgen.kernels.normed_configurations import (
    RESAMPLED,
    normed_configurations,
)
from nestgen.kernels.normed_conv_backward import read_backward
from nestgen.kernels.normed_conv_reference import read, resample
from nestgen.kernels.output_gradient import OutputGradient
from nestgen.kernels.packing import pack_weight
from nestgen.kernels.part import Part, common_size


def convolve(
    parts: Sequence[Part], weight: Tensor, bias: Tensor | None, statistics: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """As `normed_conv`: y, its mean and its variance, empty without `statistics`."""
    size = common_size(parts)
    parts = [_readable(part, size)[0] for part in parts]
    first = parts[0].source
    y = empty_channels_last(first, len(first), len(weight), *size)
    widest = max(part.channels for part in parts)
    one = normed_configurations("normed_gather", len(weight), widest, weight)[0]
    sums = normed_gather.new_sums(y, one) if statistics else None
    normed_gather.launch(parts, weight, bias, y, sums, one).run()
    if sums is None:
        none = y.new_empty(0, dtype=torch.float32)
        return y, none, torch.empty_like(none)
    return y, *normed_gather.merge_sums(sums, y.shape, one)


def gradients(
    parts: Sequence[Part],
    weight: Tensor,
    statistics: Sequence[Tensor],
    g: Tensor,
    g_mean: Tensor,
    g_var: Tensor,
    asked: Sequence[bool],
) -> tuple[list[Part], Tensor, Tensor]:
    """As `nestgen.kernels.normed_conv_backward.gradients`, whose arguments these are.

    The gradient of y is formed where it is read, and is stored by none.
    """
    *of_parts, of_weight, of_bias = asked
    gradient = OutputGradient(channels_last(g))
    g_bias = g.sum((0, 2, 3), dtype=torch.float32) if of_bias else g.new_empty(0)
    if statistics:
        y, mean = statistics
        gradient = OutputGradient.of(gradient.g, channels_last(y), mean, g_mean, g_var)
        # what comes by way of the variance is 0 in sum, as y - mean is
        g_bias = g_bias + g_mean if of_bias else g_bias
    packed, begin = pack_weight(weight), 0
    found, of_columns = [], []
    for part, wanted in zip(parts, of_parts, strict=True):
        columns = packed[:, begin : begin + part.channels]
        begin += part.channels
        seen, whole = _readable(part, (g.shape[2], g.shape[3]))
        if wanted:
            given = dgrad(seen, columns, gradient)
            if whole is not None:
                given = read_backward(part, whole, given.source)
            found.append(given)
        else:
            found.append(part.map(lambda x: x.new_empty(0)))
        if of_weight:
            of_columns.append(wgrad(seen, gradient, weight.shape[2]))
    g_weight = torch.cat(of_columns, 1) if of_weight else g.new_empty(0)
    return found, g_weight.contiguous(), g_bias.to(g.dtype)


def dgrad(
    part: Part, columns: Tensor, gradient: OutputGradient, out: Tensor | None = None
) -> Part:
    """A part with the gradients of its source, scale and shift.

    That of the source is added to `out` [N, C, h, w], channels_last and of any floating
    dtype, if it is given: what several convolutions give to one source is then summed
    in place. `columns` [Co, C, k, k] are the part's own, of a packed weight.
    """
    outputs, channels = columns.shape[:2]
    add = out is not None
    if out is None:
        out = empty_channels_last(part.source, *part.source.shape)
    one = normed_configurations(
        "normed_dgrad", channels, outputs, columns, part.resampling
    )[0]
    sums = None if part.scale is None else normed_dgrad.new_sums(part, one)
    normed_dgrad.launch(part, columns, gradient, out, sums, one, add=add).run()
    if sums is None:
        return replace(part, source=out)
    scale, shift = (of_tiles.sum(0) for of_tiles in sums.unbind(1))
    return replace(part, source=out, scale=scale, shift=shift)


def wgrad(part: Part, gradient: OutputGradient, side: int) -> Tensor:
    """The gradient of a part's columns [Co, C, side, side] of the weight."""
    outputs, channels = gradient.g.shape[1], part.channels
    one = normed_configurations("normed_wgrad", outputs, channels, gradient.g)[0]
    sums = normed_wgrad.new_sums(part, gradient, side, one)
    normed_wgrad.launch(part, gradient, sums, one).run()
    return sums.sum(0).to(gradient.g.dtype).permute(0, 3, 1, 2)


def _readable(part: Part, size: tuple[int, int]) -> tuple[Part, Tensor | None]:
    """A part that the kernels read as this one, channels_last.

    Where it is made of act(scale * source + shift), that is the second.
    """
    if part.resampling in RESAMPLED:
        return replace(part, source=channels_last(part.source)), None
    height, width = size
    x = read(part)
    raised = resample(x, part)[..., :height, :width]
    return Part(channels_last(raised)), x
