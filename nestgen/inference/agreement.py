"""Whether two ways to run a network give the same, but for rounding."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves


def tensors_in(outputs: Any) -> list[Tensor]:
    """The tensors, or arrays, in whatever a network gives, as float32 on the CPU."""
    return [
        torch.as_tensor(leaf).detach().to("cpu", torch.float32)
        for leaf in tree_leaves(outputs)
        if hasattr(leaf, "shape")
    ]


def disagreement(found: Any, expected: Any, allowed: float) -> str | None:
    """What differs between two outputs by more than `allowed`, in words; else None.

    `allowed` is a share of the largest expected number.

    >>> one = torch.ones(1, 2)
    >>> disagreement(1.5 * one, one, allowed=0.1)
    'differs from eager by 0.5 of the largest output, 0.1 is allowed'
    """
    ours, theirs = tensors_in(found), tensors_in(expected)
    shapes = [[list(tensor.shape) for tensor in each] for each in (ours, theirs)]
    if shapes[0] != shapes[1]:
        return f"gives {shapes[0]}, eager gives {shapes[1]}"
    largest = max((y.abs().max().item() for y in theirs), default=0.0)
    errors = [(y - e).abs().max().item() for y, e in zip(ours, theirs, strict=True)]
    error = max(errors, key=lambda e: math.inf if math.isnan(e) else e, default=0.0)
    if error <= allowed * largest:
        return None
    return (
        f"differs from eager by {error / (largest or 1):.2g} of the largest output, "
        f"{allowed:.2g} is allowed"
    )


def rounding(module: nn.Module, x: Tensor) -> float:
    """By how much rounding alone may move an output, as a share of the largest.

    A layer of n weights for each output adds n products, in at least float32 (on a GPU
    with the ten bits of TF32 where torch allows it), whose roundings are a random walk
    of sqrt(n) steps (Higham, 2002, chapter 2.8); then it rounds the sum to its dtype.
    The layers' shares add up to first order.
    """
    tf32 = x.device.type == "cuda" and torch.backends.cudnn.allow_tf32
    step = torch.finfo(torch.float16 if tf32 else torch.float32).eps
    own = torch.finfo(x.dtype).eps
    fans = [p[0].numel() for p in module.parameters() if p.dim() > 1]
    return sum((own + math.sqrt(fan) * step for fan in fans), start=own)
