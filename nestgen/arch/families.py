"""The families: from which columns of its row a node takes its skips.

A family is one rule. To add one, add a row to `FAMILIES`, its name to
`FamilyName`, and a golden file.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

FamilyName = Literal["unet", "unet-e", "unet+", "unet++"]


@dataclass(frozen=True)
class Family:
    """One family of nested U-Nets.

    Attributes:
        title: the name as the papers write it.
        class_name: the name of the generated class.
        stem: how its files are called.
        skips: the columns, oldest first, whose X[i,k] feed X[i,j] (j >= 1).
        single: one network rather than a nest: the last head and what it needs.
    """

    title: str
    class_name: str
    stem: str
    skips: Callable[[int], tuple[int, ...]]
    single: bool = False


def long(j: int) -> tuple[int, ...]:
    """The encoder alone, as in a U-Net.

    >>> long(3)
    (0,)
    """
    return (0,)


def short(j: int) -> tuple[int, ...]:
    """The neighbour to the left alone, as in deep layer aggregation.

    >>> short(3)
    (2,)
    """
    return (j - 1,)


def dense(j: int) -> tuple[int, ...]:
    """Everything to the left (UNet++, eq. 1).

    >>> dense(3)
    (0, 1, 2)
    """
    return tuple(range(j))


FAMILIES: dict[FamilyName, Family] = {
    "unet": Family("U-Net", "UNet", "unet", long, single=True),
    "unet-e": Family("U-Net^e", "UNetE", "unete", long),
    "unet+": Family("UNet+", "UNetPlus", "unetp", short),
    "unet++": Family("UNet++", "UNetPlusPlus", "unetpp", dense),
}
