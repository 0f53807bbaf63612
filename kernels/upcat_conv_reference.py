"""The hot path of a nested U-Net, written as plainly as it can be.

This is what a fused kernel has to equal: it is slow, it makes every tensor that a
kernel would not, and it runs on every device and dtype.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F


def upcat_conv_reference(
    low: Tensor,
    skips: Sequence[Tensor],
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    up: str = "transpose",
    up_weight: Tensor | None = None,
    up_bias: Tensor | None = None,
    up_last: bool = False,
) -> Tensor:
    """Up-sample, concatenate, convolve, rectify (Zhou et al., 2018, eq. 1).

    y = relu(conv3x3(cat(up2x(low), *skips)) + bias), the up-sampled input last with
    `up_last`.

    `low` is [N, Cl, h, w]; each skip [N, Ci, 2h, 2w], in the order given; `weight`
    [Co, C, 3, 3] with C the concatenation's channels; `bias` [Co]. `up` is "transpose",
    with `up_weight` [Cl, Cu, 2, 2] and `up_bias` [Cu], or "nearest", "bilinear" or
    "bilinear-aligned". The result is [N, Co, 2h, 2w], in the inputs' dtype.

    >>> low, skip = torch.ones(1, 2, 1, 1), torch.ones(1, 1, 2, 2)
    >>> upcat_conv_reference(low, [skip], torch.ones(1, 3, 3, 3), up="nearest").tolist()
    [[[[12.0, 12.0], [12.0, 12.0]]]]
    """
    raised = _up(low, up, up_weight, up_bias)
    parts = [*skips, raised] if up_last else [raised, *skips]
    return F.relu(F.conv2d(torch.cat(parts, dim=1), weight, bias, padding=1))


def _up(low: Tensor, up: str, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    if up == "transpose":
        if weight is None:
            raise ValueError("up='transpose' takes an up_weight")
        return F.conv_transpose2d(low, weight, bias, stride=2)
    if up == "nearest":
        return F.interpolate(low, scale_factor=2, mode="nearest")
    if up in ("bilinear", "bilinear-aligned"):
        aligned = up == "bilinear-aligned"
        return F.interpolate(
            low, scale_factor=2, mode="bilinear", align_corners=aligned
        )
    known = "transpose, nearest, bilinear or bilinear-aligned"
    raise ValueError(f"up={up!r} is not allowed, {known}")
