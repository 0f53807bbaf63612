"""The activations of the hot path, which one number tells apart."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def activation(z: Tensor, slope: float) -> Tensor:
    """`z` where it is positive, else `slope` times `z`: 0 is ReLU, 1 is nothing.

    >>> activation(torch.tensor([-2.0, 2.0]), 0.5).tolist()
    [-1.0, 2.0]
    """
    if slope == 1:
        return z
    return F.leaky_relu(z, slope) if slope else F.relu(z)


def activation_backward(gradient: Tensor, y: Tensor, slope: float) -> Tensor:
    """The gradient by z, from that by y = activation(z); y's sign is z's."""
    if slope == 1:
        return gradient
    found: Tensor = (
        torch.ops.aten.leaky_relu_backward(gradient, y, slope, True)
        if slope
        else torch.ops.aten.threshold_backward(gradient, y, 0)
    )
    return found
