"""How the hot path is put to the kernels: one call, whose weights are made before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, cast

import torch
from torch import Tensor

from nestgen.kernels.call import Call, Up
from nestgen.kernels.layout import channels_last
from nestgen.kernels.packing import pack_phases, pack_weight
from nestgen.kernels.phases import border_bias, nearest_phases, transpose_phases
from nestgen.kernels.raise2x import Mode, raise2x
from nestgen.kernels.upcat_conv_reference import up2x

Form = Literal["raised", "nearest", "phases"]
FORMS: dict[str, tuple[Form, ...]] = {
    "transpose": ("phases", "raised"),
    "nearest": ("phases", "nearest", "raised"),
    "bilinear": ("raised",),
    "bilinear-aligned": ("raised",),
    "none": ("raised",),
}
"""The forms that each way up can take, what does least first: the up-sampled input is
composed with the convolution; or is read pixel by pixel; or is made and is one more
skip."""


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
    form: str,
    weight: Tensor,
    bias: Tensor | None,
    of_up: Tensor | None = None,
    up_weight: Tensor | None = None,
    up_bias: Tensor | None = None,
) -> Lowered:
    """The weights of `upcat_conv` in a form that its way up can take (see `FORMS`).

    `weight` is [Co, C, 3, 3], the columns for all that is read as a skip, and `of_up`
    those for the up-sampled input; it is None where that is one more skip, "raised".
    Without an `up_weight` the way up is "nearest". Weights are packed (see `packing`).

    >>> lowered = lower("phases", torch.ones(1, 1, 3, 3), None, torch.ones(1, 2, 3, 3))
    >>> list(lowered.weight.shape), list(lowered.low_weight.shape)
    ([1, 1, 3, 3], [2, 1, 4, 4])
    """
    weight = pack_weight(weight)
    if of_up is None:
        return Lowered("raised", "none", weight, bias)
    if form == "nearest":
        return Lowered("nearest", "nearest", weight, bias, pack_weight(of_up))
    if up_weight is None:
        composed = nearest_phases(of_up)
    else:
        composed = transpose_phases(of_up, up_weight)
        bias = bias if up_bias is None else border_bias(of_up, up_bias, bias)
    return Lowered("phases", "phases", weight, bias, pack_phases(composed))


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
        return lower("raised", weight, bias).call(None, skips, slope)
    if form == "raised":
        raised = _raised(low, up, up_weight, up_bias, skips[0] if skips else None)
        skips = [*skips, raised] if up_last else [raised, *skips]
        return lower(form, weight, bias).call(None, skips, slope)
    others = sum(skip.shape[1] for skip in skips)
    of_up = weight.shape[1] - others
    sizes = [others, of_up] if up_last else [of_up, others]
    first, second = torch.split(weight, sizes, dim=1)
    own, raising = (first, second) if up_last else (second, first)
    return lower(form, own, bias, raising, up_weight, up_bias).call(low, skips, slope)


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
