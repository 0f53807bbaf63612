"""Whether two ways to run a network give the same, but for rounding."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

MOST = 0.05
"""Share of the largest output beyond which nothing passes for rounding."""


def tensors_in(outputs: Any) -> list[Tensor]:
    """The tensors, or arrays, in whatever a network gives, as float32 on the CPU."""
    return [
        torch.as_tensor(leaf).detach().to("cpu", torch.float32)
        for leaf in tree_leaves(outputs)
        if hasattr(leaf, "shape")
    ]


def disagreement(found: Any, expected: Any, allowed: float) -> str | None:
    """What differs between two outputs by more than `allowed`, in words; else None.

    `allowed` is a share of the largest expected number. Where an expected number is not
    finite, nothing can be compared, and that is what is said.

    >>> one = torch.ones(1, 2)
    >>> disagreement(1.5 * one, one, allowed=0.1)
    'differs from eager by 0.5 of the largest output, 0.1 is allowed'
    """
    ours, theirs = tensors_in(found), tensors_in(expected)
    shapes = [[list(tensor.shape) for tensor in each] for each in (ours, theirs)]
    if shapes[0] != shapes[1]:
        return f"gives {shapes[0]}, eager gives {shapes[1]}"
    if not all(y.isfinite().all() for y in theirs):
        return "cannot be compared, eager gives numbers that are not finite"
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

    A layer of n weights for each output adds n products, in at least float32 (see
    `without_tf32`), whose roundings are a random walk of sqrt(n) steps (Higham, 2002,
    chapter 2.8); then it rounds the sum to its dtype. The layers' shares are as
    independent of one another, and add up as the root of their squares. More than
    `MOST` is never allowed.

    >>> f"{rounding(nn.Linear(9, 2), torch.zeros(1, 9)):.1e}"
    '4.0e-07'
    """
    step, own = torch.finfo(torch.float32).eps, torch.finfo(x.dtype).eps
    fans = [p[0].numel() for p in module.parameters() if p.dim() > 1]
    shares = [own**2, *(own**2 + fan * step**2 for fan in fans)]
    return min(MOST, math.sqrt(sum(shares)))
