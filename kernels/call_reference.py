"""A call of the fused hot path, in torch's own operators: the oracle of the kernels."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from nestgen.kernels.activation import activation
from nestgen.kernels.call import Call, Output
from nestgen.kernels.layout import concatenated


def run_reference(call: Call) -> list[Tensor]:
    """What `call` asks for, in the order of its `outputs`.

    >>> one = torch.ones(1, 1, 2, 2)
    >>> run_reference(Call([one], torch.ones(1, 1, 3, 3)))[0].tolist()
    [[[[4.0, 4.0], [4.0, 4.0]]]]
    """
    y = activation(_before_act(call), call.slope)
    return made_of(y, call.outputs, call.head_weight, call.head_bias)


def made_of(
    y: Tensor, outputs: Sequence[Output], weight: Tensor | None, bias: Tensor | None
) -> list[Tensor]:
    """The `outputs` of features `y` [N, Co, H, W], logits by a head's weight and bias.

    >>> [pooled] = made_of(torch.zeros(1, 1, 4, 4), ["pooled"], None, None)
    >>> pooled.shape
    torch.Size([1, 1, 2, 2])
    """
    made = {"features": lambda: y, "pooled": lambda: F.max_pool2d(y, 2)}
    if weight is not None:
        made["logits"] = lambda: F.conv2d(y, weight, bias)
    return [made[name]() for name in outputs]


def _before_act(call: Call) -> Tensor:
    height, width = call.size
    sums = []
    if call.skips:
        sums.append(F.conv2d(concatenated(call.skips), call.weight, padding=1))
    if call.low is not None and call.low_weight is not None:
        if call.up == "phases":
            raised = F.conv_transpose2d(call.low, call.low_weight, stride=2, padding=1)
        else:
            doubled = F.interpolate(call.low, scale_factor=2, mode="nearest")
            cropped = doubled[..., :height, :width]
            raised = F.conv2d(cropped, call.low_weight, padding=1)
        sums.append(raised)
    if call.bias is not None:
        sums.append(spread_bias(call.bias, height, width))
    total = sums[0]
    for other in sums[1:]:
        total = total + other
    return total


def spread_bias(bias: Tensor, height: int, width: int) -> Tensor:
    """A bias [Co] as [1, Co, 1, 1], or one by borders [3, 3, Co] as [1, Co, H, W].

    >>> table = torch.arange(9.0).reshape(3, 3, 1)
    >>> spread_bias(table, 2, 4).tolist()
    [[[[0.0, 1.0, 1.0, 2.0], [6.0, 7.0, 7.0, 8.0]]]]
    """
    if bias.ndim == 1:
        return bias[None, :, None, None]
    rows, columns = (_classes(side, bias.device) for side in (height, width))
    return bias[rows][:, columns].permute(2, 0, 1)[None]


def _classes(side: int, device: torch.device) -> Tensor:
    """0 for the first pixel, 2 for the last, 1 between."""
    place = torch.arange(side, device=device)
    return 1 + (place == side - 1).long() - (place == 0).long()
