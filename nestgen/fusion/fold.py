"""norm(conv(x; W, b)) = conv(x; W s, (b - mean) s + beta), s = gamma / deviation."""

from __future__ import annotations

import torch
from torch import Tensor

from nestgen.fusion.operations import Convolution, Norm
from nestgen.fusion.work import Work, convolution_module


def fold(work: Work) -> None:
    """Batch norms that read a convolution become part of its weights.

    Not where the norm takes the batch's statistics, nor where the convolution is read
    elsewhere too, nor where what is folded is not finite in the dtype. The weights are
    computed in float64 and rounded once.
    """
    for node, norm in work.operations():
        if not isinstance(norm, Norm):
            continue
        convolution = work.read(norm.x)
        if not isinstance(convolution, Convolution):
            continue
        row = work.rows[norm.x]
        if norm.training:
            row.leave("its batch norm is in training mode")
        elif len(norm.x.users) > 1:
            row.leave("its output before the batch norm is read elsewhere too")
        else:
            weight, bias = folded(convolution, norm)
            if not (weight.isfinite().all() and bias.isfinite().all()):
                kind = str(weight.dtype).removeprefix("torch.")
                row.leave(f"its folded weight overflows {kind}")
                continue
            module = convolution_module(convolution, weight, bias)
            # where the convolution was, since what it reads may be written over later
            new = work.put(module, row.name, (convolution.x,), at=norm.x)
            row.done.append("norm folded")
            work.rows[new] = row
            work.replace(node, new)


def folded(convolution: Convolution, norm: Norm) -> tuple[Tensor, Tensor]:
    """The weight and the bias of both in one."""
    scale = torch.rsqrt(norm.var.double() + norm.eps)
    if norm.weight is not None:
        scale = scale * norm.weight.double()
    bias = -norm.mean.double()
    if convolution.bias is not None:
        bias = bias + convolution.bias.double()
    bias = bias * scale
    if norm.bias is not None:
        bias = bias + norm.bias.double()
    weight = convolution.weight
    if convolution.transposed:  # [C, Co / groups, ...]
        groups, ones = convolution.groups, (1,) * (weight.ndim - 2)
        by_group = weight.double().view(groups, -1, *weight.shape[1:])
        scaled = (by_group * scale.view(groups, 1, -1, *ones)).flatten(0, 1)
    else:
        scaled = weight.double() * scale.view(-1, *(1,) * (weight.ndim - 1))
    return scaled.to(weight.dtype), bias.to(weight.dtype)
