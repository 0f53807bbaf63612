"""A convolution that norms what it reads, in torch's own operators: the oracle."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from nestgen.kernels.activation import activation
from nestgen.kernels.layout import concatenated
from nestgen.kernels.part import Part, common_size, wide
from nestgen.kernels.upcat_conv_reference import up2x


def normed_conv_reference(
    parts: Sequence[Part],
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    statistics: bool = True,
) -> tuple[Tensor, Tensor, Tensor]:
    """What `normed_conv` gives, as plainly as it can be, and differentiable as it is.

    >>> part = Part(torch.full((1, 1, 2, 2), -1.0), slope=0.5)
    >>> y, mean, var = normed_conv_reference([part], torch.full((1, 1, 1, 1), 4.0))
    >>> y.tolist(), mean.item(), var.item()
    ([[[[-2.0, -2.0], [-2.0, -2.0]]]], -2.0, 0.0)
    """
    y = convolve(parts, weight, bias)
    if not statistics:
        none = y.new_empty(0, dtype=wide(y.dtype))
        return y, none, none.clone()
    var, mean = torch.var_mean(y.to(wide(y.dtype)), (0, 2, 3), correction=0)
    return y, mean, var


def convolve(parts: Sequence[Part], weight: Tensor, bias: Tensor | None) -> Tensor:
    """The convolution of the concatenation, which is gone when this returns."""
    height, width = common_size(parts)
    raised = [resample(read(part), part)[..., :height, :width] for part in parts]
    return F.conv2d(concatenated(raised), weight, bias, padding=weight.shape[2] // 2)


def read(part: Part) -> Tensor:
    """act(scale * source + shift), [N, C, h, w], in the source's dtype."""
    x = part.source
    if part.scale is not None:
        x = scaled(x, part.scale, part.shift)
    return activation(x, part.slope)


def scaled(x: Tensor, scale: Tensor, shift: Tensor | None) -> Tensor:
    """scale * x + shift by channels, rounded once: the batch norm of mean 0, var 1."""
    zero, one = torch.zeros_like(scale), torch.ones_like(scale)
    return F.batch_norm(x, zero, one, scale, shift, eps=0.0)


def resample(x: Tensor, part: Part) -> Tensor:
    """`x` at the resolution of the convolution."""
    if part.resampling == "same":
        return x
    if part.resampling == "pool":
        return F.max_pool2d(x, 2)
    return up2x(x, part.resampling, part.up_weight, part.up_bias)
