"""What stands on a skip connection, where it is not plain: its inner channels."""

from __future__ import annotations

REDUCTION = 16
"""Of squeeze-and-excite (Hu et al., 2018)."""


def squeezed(channels: int) -> int:
    """The channels between squeeze and excite.

    >>> squeezed(64), squeezed(8)
    (4, 1)
    """
    return max(1, channels // REDUCTION)


def gate_channels(channels: int) -> int:
    """The channels in which an attention gate compares (Oktay et al., 2018: half).

    >>> gate_channels(64)
    32
    """
    return max(1, channels // 2)
