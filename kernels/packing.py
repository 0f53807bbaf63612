"""Weights as the kernels read them: the input channels next to one another.

Values and shapes stay; only the order in memory changes, and what has it is returned as
it is. So weights can be packed once, before the first image.
"""

from __future__ import annotations

import torch
from torch import Tensor


def pack_weight(weight: Tensor) -> Tensor:
    """The weight [Co, C, 3, 3] of a convolution, in memory as [Co, 3, 3, C].

    >>> pack_weight(torch.zeros(2, 5, 3, 3)).stride()
    (45, 1, 15, 5)
    """
    return weight.contiguous(memory_format=torch.channels_last)


def pack_phases(weight: Tensor) -> Tensor:
    """The weight [Cl, Co, 4, 4] of a transposed one, in memory as [Co, 4, 4, Cl].

    >>> pack_phases(torch.zeros(5, 2, 4, 4)).stride()
    (1, 80, 20, 5)
    """
    return weight.permute(1, 2, 3, 0).contiguous().permute(3, 0, 1, 2)
