"""The hot path of a nested U-Net, written as plainly as it can be.

This is what a fused kernel has to equal: it is slow, it makes every tensor that a
kernel would not, and it runs on every device and dtype.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from nestgen.kernels.activation import activation

UPS = ("transpose", "nearest", "bilinear", "bilinear-aligned")


def upcat_conv_reference(
    low: Tensor | None,
    skips: Sequence[Tensor],
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    up: str = "transpose",
    up_weight: Tensor | None = None,
    up_bias: Tensor | None = None,
    up_last: bool = False,
    slope: float = 0.0,
) -> Tensor:
    """Up-sample, concatenate, convolve, rectify (Zhou et al., 2018, eq. 1).

    y = act(conv3x3(cat(up2x(low), *skips)) + bias), the up-sampled input last with
    `up_last`, left out where `low` is None.

    `low` is [N, Cl, h, w]; each skip [N, Ci, H, W], in the order given, where H is 2h
    or 2h - 1 and W 2w or 2w - 1; `weight` [Co, C, 3, 3] with C the concatenation's
    channels; `bias` [Co]. `up` is "transpose", with `up_weight` [Cl, Cu, 2, 2] and
    `up_bias` [Cu], or "nearest", "bilinear" or "bilinear-aligned". act multiplies what
    is negative by `slope`: 0 is ReLU, 1 nothing. The result is [N, Co, H, W], in the
    inputs' dtype.

    >>> low, skip = torch.ones(1, 2, 1, 1), torch.ones(1, 1, 2, 2)
    >>> upcat_conv_reference(low, [skip], torch.ones(1, 3, 3, 3), up="nearest").tolist()
    [[[[12.0, 12.0], [12.0, 12.0]]]]
    """
    parts = list(skips)
    if low is not None:
        raised = up2x(low, up, up_weight, up_bias, parts[0] if parts else None)
        parts = [*parts, raised] if up_last else [raised, *parts]
    return activation(F.conv2d(torch.cat(parts, dim=1), weight, bias, padding=1), slope)


def up2x(
    low: Tensor,
    up: str,
    up_weight: Tensor | None = None,
    up_bias: Tensor | None = None,
    like: Tensor | None = None,
) -> Tensor:
    """`low` [N, Cl, h, w] at twice the resolution, cropped to the size of `like`."""
    if up == "transpose":
        if up_weight is None:
            raise ValueError("up='transpose' takes an up_weight")
        raised = F.conv_transpose2d(low, up_weight, up_bias, stride=2)
    elif up == "nearest":
        raised = F.interpolate(low, scale_factor=2, mode="nearest")
    elif up in UPS:
        aligned = up == "bilinear-aligned"
        raised = F.interpolate(
            low, scale_factor=2, mode="bilinear", align_corners=aligned
        )
    else:
        raise ValueError(f"up={up!r} is not allowed, {', '.join(UPS)}")
    return raised if like is None else raised[..., : like.shape[2], : like.shape[3]]
