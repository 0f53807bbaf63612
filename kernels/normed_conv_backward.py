"""The gradients of a convolution that norms what it reads, one part at a time.

What a part is read as is made again from its source, and gone before the next one's:
no gradient of a concatenation is made. Sums run in a fixed order, without atomic
additions; the convolutions are torch's own, as deterministic as torch is told to be.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional as F

from nestgen.kernels.activation import activation_backward
from nestgen.kernels.normed_conv_reference import read, resample
from nestgen.kernels.output_gradient import OutputGradient
from nestgen.kernels.part import Part, common_size, wide

_aten = torch.ops.aten


def gradients(
    parts: Sequence[Part],
    weight: Tensor,
    statistics: Sequence[Tensor],
    g: Tensor,
    g_mean: Tensor,
    g_var: Tensor,
    asked: Sequence[bool],
) -> tuple[list[Part], Tensor, Tensor]:
    """The gradients of the parts' tensors, of the weight and of the bias.

    `g` [N, Co, H, W], `g_mean` and `g_var` [Co] are those of the results, `statistics`
    y and its mean, or nothing. What is not `asked` for, part by part, then of the
    weight and of the bias, is empty.
    """
    *of_parts, of_weight, of_bias = asked
    if statistics:
        y, mean = statistics
        g = OutputGradient.of(g, y, mean, g_mean, g_var).formed()
    g_bias = g.sum((0, 2, 3)) if of_bias else g.new_empty(0)
    pairs = part_gradients(parts, weight, g, of_parts, of_weight=of_weight)
    found, columns = zip(*pairs, strict=True)
    g_weight = torch.cat(columns, 1).contiguous() if of_weight else g.new_empty(0)
    return list(found), g_weight, g_bias


def part_gradients(
    parts: Sequence[Part],
    weight: Tensor,
    g: Tensor,
    asked: Sequence[bool],
    *,
    of_weight: bool,
) -> Iterator[tuple[Part, Tensor | None]]:
    """For each part one of its tensors' gradients, and that of its weight's columns.

    `g` [N, Co, H, W] is the gradient of the convolution's result. What a part is not
    `asked` for is empty; what the weight is not, None.
    """
    (height, width), begin = common_size(parts), 0
    for part, wanted in zip(parts, asked, strict=True):
        columns = weight[:, begin : begin + part.channels]
        begin += part.channels
        x = read(part)
        raised = resample(x, part)[..., :height, :width]
        g_raised, g_columns, _ = _aten.convolution_backward(
            g, raised, columns, None, [1, 1], [weight.shape[2] // 2] * 2, [1, 1],
            False, [0, 0], 1, [wanted, of_weight, False],
        )  # fmt: skip
        del raised
        if wanted:
            yield read_backward(part, x, g_raised), g_columns
        else:
            yield part.map(lambda tensor: tensor.new_empty(0)), g_columns


def read_backward(part: Part, x: Tensor, g_raised: Tensor) -> Part:
    """The gradients of a part's tensors, from that of what it is read as.

    `x` is act(scale * source + shift), of which `g_raised` is resampled and cropped.
    """
    found = _resample_backward(part, x, g_raised)
    g_x = activation_backward(found.source, x, part.slope)
    if part.scale is None:
        return replace(found, source=g_x)
    zero, one = torch.zeros_like(part.scale), torch.ones_like(part.scale)
    g_source, g_scale, g_shift = _aten.native_batch_norm_backward(
        g_x, part.source, part.scale, zero, one, None, None, False, 0.0, [True] * 3
    )
    return replace(found, source=g_source, scale=g_scale, shift=g_shift)


def _resample_backward(part: Part, x: Tensor, g: Tensor) -> Part:
    """The part with the gradients of `x` and of what the up-sampling has learned."""
    if part.resampling == "same":
        return replace(part, source=g)
    if part.resampling == "pool":
        return replace(part, source=_pool_backward(x, g))
    height, width = part.size
    missing = (0, width - g.shape[3], 0, height - g.shape[2])
    g = F.pad(g, missing) if any(missing) else g
    if part.resampling == "nearest":
        return replace(part, source=F.avg_pool2d(g, 2, divisor_override=1))
    if part.resampling == "transpose":
        g_x, g_weight, g_bias = _aten.convolution_backward(
            g, x, part.up_weight, [part.channels], [2, 2], [0, 0], [1, 1],
            True, [0, 0], 1, [True] * 3,
        )  # fmt: skip
        return replace(part, source=g_x, up_weight=g_weight, up_bias=g_bias)
    aligned = part.resampling == "bilinear-aligned"
    g = _lerp_backward(_lerp_backward(g, 2, aligned), 3, aligned)
    return replace(part, source=g)


def _pool_backward(x: Tensor, g: Tensor) -> Tensor:
    """To the first of the largest of four, as `torch.nn.MaxPool2d` does."""
    height, width = 2 * g.shape[2], 2 * g.shape[3]
    corners = [
        (slice(row, height, 2), slice(column, width, 2))
        for row in range(2)
        for column in range(2)
    ]
    largest, g_x = F.max_pool2d(x, 2), torch.zeros_like(x)
    given = torch.zeros_like(largest, dtype=torch.bool)
    for rows, columns in corners:
        taken = (x[..., rows, columns] == largest).logical_and_(~given)
        given |= taken
        g_x[..., rows, columns] = torch.where(taken, g, 0)
    return g_x


def _lerp_backward(g: Tensor, axis: int, aligned: bool) -> Tensor:
    """The transpose of linear up-sampling by 2 along `axis`.

    Pixel 2k of the result is between k - 1 and k, pixel 2k + 1 between k and k + 1, by
    1/4 where pixels have areas, by the distance where corners are aligned.
    """
    side = g.shape[axis] // 2
    shape = [side if a == axis else 1 for a in range(4)]
    place = torch.arange(side, device=g.device, dtype=wide(g.dtype))
    if aligned:
        before = (place / (2 * side - 1)).view(shape)
        after = ((side - 1 - place) / (2 * side - 1)).view(shape)
    else:
        before = after = torch.full_like(place, 0.25).view(shape)
    pairs = g.reshape(*g.shape[:axis], side, 2, *g.shape[axis + 1 :]).to(place.dtype)
    even, odd = pairs.unbind(axis + 1)
    down: Tensor = (1 - before) * even + (1 - after) * odd
    to_before, to_after = before * even, after * odd
    down.narrow(axis, 0, side - 1).add_(to_before.narrow(axis, 1, side - 1))
    down.narrow(axis, 0, 1).add_(to_before.narrow(axis, 0, 1))
    down.narrow(axis, 1, side - 1).add_(to_after.narrow(axis, 0, side - 1))
    down.narrow(axis, side - 1, 1).add_(to_after.narrow(axis, side - 1, 1))
    return down.to(g.dtype)
