"""What autocast makes of the inputs of an operator, as of those of torch's conv2d."""

from __future__ import annotations

from typing import overload

import torch
from torch import Tensor


def no_autocast(x: Tensor) -> torch.autocast:
    """A context without autocast on the device of `x`, which may have none."""
    device = x.device.type
    known = torch.amp.is_autocast_available(device)
    return torch.autocast(device if known else "cpu", enabled=False)


@overload
def autocast(x: Tensor) -> Tensor: ...
@overload
def autocast(x: Tensor | None) -> Tensor | None: ...
def autocast(x: Tensor | None) -> Tensor | None:
    """`x` in the dtype of autocast where that is on for its device, else as it is.

    float64, and what is not floating, stays, as in torch's own operators.

    >>> single, double = torch.zeros(1), torch.zeros(1, dtype=torch.float64)
    >>> with torch.autocast("cpu", torch.bfloat16):
    ...     autocast(single).dtype, autocast(double).dtype
    (torch.bfloat16, torch.float64)
    """
    if x is None or x.dtype == torch.float64 or not x.is_floating_point():
        return x
    device = x.device.type
    known = torch.amp.is_autocast_available(device)
    if not known or not torch.is_autocast_enabled(device):
        return x
    return x.to(torch.get_autocast_dtype(device))
