"""Weights as the kernels read them: the input channels next to one another.

Values and shapes stay; only the order in memory changes, and what has it is returned as
it is. So weights can be packed once, before the first image.
"""

from __future__ import annotations

from torch import Tensor

from nestgen.kernels.layout import channels_last


def pack_weight(weight: Tensor) -> Tensor:
    """The weight [Co, C, k, k] of a convolution, in memory as [Co, k, k, C].

    >>> import torch
    >>> pack_weight(torch.zeros(2, 5, 3, 3)).stride()
    (45, 1, 15, 5)
    >>> pack_weight(torch.zeros(2, 5, 1, 1)).stride()
    (5, 1, 5, 5)
    """
    return channels_last(weight)


def pack_phases(weight: Tensor) -> Tensor:
    """The weight [Cl, Co, 4, 4] of a transposed one, in memory as [Co, 4, 4, Cl].

    >>> import torch
    >>> pack_phases(torch.zeros(5, 2, 4, 4)).stride()
    (1, 80, 20, 5)
    """
    return weight.permute(1, 2, 3, 0).contiguous().permute(3, 0, 1, 2)
