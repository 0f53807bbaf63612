"""The gradients of the hot path, source by source."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from nestgen.kernels.activation import activation_backward
from nestgen.kernels.upcat_conv_reference import up2x


def upcat_conv_backward(
    gradient: Tensor,
    y: Tensor,
    low: Tensor | None,
    skips: Sequence[Tensor],
    weight: Tensor,
    up: str,
    up_weight: Tensor | None,
    up_bias: Tensor | None,
    up_last: bool,
    slope: float,
) -> list[Tensor]:
    """The gradients by low, skips, weight, bias, up_weight, up_bias, as there are.

    `gradient` and `y` are [N, Co, H, W], the rest is as `upcat_conv_reference` has it;
    there is always one by a bias. A convolution over a concatenation is the sum of
    those over its parts, so each part has its gradient by its own columns of `weight`:
    that of the concatenation is never made, and the up-sampled input, made again, lives
    alone.
    """
    gz = activation_backward(gradient, y, slope)
    parts = list(skips)
    if low is not None:
        raised = up2x(low, up, up_weight, up_bias, skips[0] if skips else None)
        parts = [*parts, raised] if up_last else [raised, *parts]
    by_part, by_columns, at = [], [], 0
    for part in parts:
        columns = weight.narrow(1, at, part.shape[1])
        at += part.shape[1]
        of_part, of_columns = _convolution_backward(gz, part, columns)
        by_part.append(of_part)
        by_columns.append(of_columns)
    by_up: list[Tensor] = []
    if low is not None:
        by_raised = by_part.pop(-1 if up_last else 0)
        by_up = _up2x_backward(by_raised, low, up, up_weight)
    given = [x is not None for x in (up_weight, up_bias)]
    of_weights = [torch.cat(by_columns, dim=1), gz.sum((0, 2, 3))]
    return [*by_up[:1], *by_part, *of_weights, *by_up[1 : 1 + sum(given)]]


def _convolution_backward(
    gz: Tensor, part: Tensor, columns: Tensor
) -> tuple[Tensor, Tensor]:
    one = [1, 1]
    of_part, of_columns, _ = torch.ops.aten.convolution_backward(
        gz, part, columns, None, one, one, one, False, [0, 0], 1, [True, True, False]
    )
    return of_part, of_columns


def _up2x_backward(
    gradient: Tensor, low: Tensor, up: str, up_weight: Tensor | None
) -> list[Tensor]:
    """The gradients by `low`, and by the weight and the bias of a transposed one."""
    height, width = 2 * low.shape[2], 2 * low.shape[3]
    cropped = (0, width - gradient.shape[3], 0, height - gradient.shape[2])
    gradient, sizes = F.pad(gradient, cropped), ([height, width], list(low.shape))
    if up_weight is not None:
        found: tuple[Tensor, ...] = torch.ops.aten.convolution_backward(
            gradient, low, up_weight, [up_weight.shape[1]], [2, 2], [0, 0], [1, 1],
            True, [0, 0], 1, [True, True, True],
        )  # fmt: skip
        return list(found)
    if up == "nearest":
        of_low = torch.ops.aten.upsample_nearest2d_backward(gradient, *sizes, 2.0, 2.0)
    else:
        of_low = torch.ops.aten.upsample_bilinear2d_backward(
            gradient, *sizes, up == "bilinear-aligned", 2.0, 2.0
        )
    return [of_low]
