"""A median, and how well it is known."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Spread:
    """The median of samples and the interval that has that of all with 95 %.

    Attributes:
        median: of the samples.
        low: the lower end of the interval.
        high: its upper end.
    """

    median: float
    low: float
    high: float

    def to_plain(self) -> dict[str, float]:
        """The three numbers as JSON types."""
        return asdict(self)


def spread_of(samples: Sequence[float]) -> Spread:
    """The median of one sample or more, and its interval by order statistics.

    Whatever the distribution, as many samples fall below its median as heads in tosses
    of a coin. So the interval goes from the k-th smallest to the k-th largest sample,
    with the largest k at which both tails together have at most 5 %. Fewer than six
    samples have no such k: it is all of them then.

    >>> spread_of(range(1, 21))
    Spread(median=10.5, low=6, high=15)
    """
    ordered = sorted(samples)
    outside = _outside(len(ordered))
    middle = len(ordered) // 2
    median = (ordered[middle] + ordered[-1 - middle]) / 2
    return Spread(median, ordered[outside], ordered[-1 - outside])


def _outside(number: int) -> int:
    """How many samples lie beyond each end of the interval."""
    tail = 0.0
    for outside in range(number):
        tail += math.comb(number, outside) / 2**number
        if 2 * tail > 0.05:
            break
    return max(0, outside - 1)
