"""How the hot path is put to the kernels: one call, whose weights are made before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, cast

import torch
from torch import Tensor

from nestgen.kernels.call import Call, Up
from nestgen.kernels.layout import channels_last
from nestgen.kernels.phases import border_bias, nearest_phases, transpose_phases
from nestgen.kernels.raise2x import Mode, raise2x
from nestgen.kernels.upcat_conv_reference import up2x

Form = Literal["raised", "nearest", "phases"]
FORMS: dict[str, tuple[Form, ...]] = {
    "transpose": ("phases", "raised"),
    "nearest": ("phases", "nearest", "raised"),
    "bilinear": ("raised",),
    "bilinear-aligned": ("raised",),
}
"""The forms that each way up can take: the up-sampled input is made and is one more
skip; or is read pixel by pixel; or is composed with the convolution."""


@dataclass(frozen=True)
class Lowered:
    """The weights of a call (see `Call`), and what becomes of the lower input."""

    form: Form
    up: Up
    weight: Tensor
    bias: Tensor | None
    low_weight: Tensor | None = None

    def call(
        self,
        low: Tensor | None,
        skips: list[Tensor],
        slope: float = 0.0,
    ) -> Call:
        """The call for these images; "raised" has its up-sampled input in `skips`."""
        return Call(skips, self.weight, self.bias, low, self.low_weight, self.up, slope)


def lower(
    form: Form,
    weight: Tensor,
    bias: Tensor | None,
    up: str,
    up_weight: Tensor | None = None,
    up_bias: Tensor | None = None,
    *,
    up_channels: int,
    up_last: bool = False,
) -> Lowered:
    """The weights of `upcat_conv` in a form that `up` can take (see `FORMS`).

    `weight` is [Co, C, 3, 3], of which `up_channels` columns are for the up-sampled
    input: the first ones, or the last with `up_last`.

    >>> weight = torch.ones(1, 3, 3, 3)
    >>> lowered = lower("phases", weight, None, "nearest", up_channels=2)
    >>> list(lowered.weight.shape), list(lowered.low_weight.shape)
    ([1, 1, 3, 3], [2, 1, 4, 4])
    """
    if form == "raised":
        return Lowered(form, "none", weight, bias)
    others = weight.shape[1] - up_channels
    of_up = weight.narrow(1, others if up_last else 0, up_channels)
    own = weight.narrow(1, 0 if up_last else up_channels, others)
    own = own.contiguous(memory_format=torch.channels_last)
    if form == "nearest":
        of_up = of_up.contiguous(memory_format=torch.channels_last)
        return Lowered(form, "nearest", own, bias, of_up)
    if up == "nearest":
        return Lowered(form, "phases", own, bias, nearest_phases(of_up))
    assert up_weight is not None
    if up_bias is not None:
        bias = border_bias(of_up, up_bias, bias)
    return Lowered(form, "phases", own, bias, transpose_phases(of_up, up_weight))


def lowered_call(
    form: Form,
    low: Tensor | None,
    skips: list[Tensor],
    weight: Tensor,
    bias: Tensor | None,
    up: str,
    up_weight: Tensor | None,
    up_bias: Tensor | None,
    up_last: bool,
    slope: float,
) -> Call:
    """`upcat_conv` as one call in `form`, for a kernel of Triton where it is "raised".

    Then the up-sampled input is made before, by a kernel too if it has no weights.
    """
    if low is None:
        return Lowered("raised", "none", weight, bias).call(None, skips, slope)
    channels = weight.shape[1] - sum(skip.shape[1] for skip in skips)
    lowered = lower(
        form,
        weight,
        bias,
        up,
        up_weight,
        up_bias,
        up_channels=channels,
        up_last=up_last,
    )
    if form == "raised":
        raised = _raised(low, up, up_weight, up_bias, skips[0] if skips else None)
        skips = [*skips, raised] if up_last else [raised, *skips]
        return lowered.call(None, skips, slope)
    return lowered.call(low, skips, slope)


def _raised(
    low: Tensor,
    up: str,
    up_weight: Tensor | None,
    up_bias: Tensor | None,
    like: Tensor | None,
) -> Tensor:
    """The up-sampled input, cropped to the size of `like`."""
    if up == "transpose":
        return channels_last(up2x(low, up, up_weight, up_bias, like))
    size = None if like is None else (like.shape[2], like.shape[3])
    return raise2x(low, cast(Mode, up), size, impl="triton")
