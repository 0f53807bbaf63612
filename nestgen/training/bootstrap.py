"""Resamples of images: how often each is drawn, as every bootstrap needs it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

IN_MEMORY = 10**6
"""Numbers drawn at once."""


def resamples(number: int, times: int, seed: int = 0) -> Iterator[NDArray[np.int64]]:
    """`number` images drawn with replacement as many times, `times` over.

    Parts, one below the other, of the counts of each image in each resample, int64
    [times, number] (Efron, 1979).

    >>> [part.shape for part in resamples(3, times=5)]
    [(5, 3)]
    >>> {int(row.sum()) for part in resamples(3, times=5) for row in part}
    {3}
    """
    generator, even = np.random.default_rng(seed), np.full(number, 1 / number)
    at_once = max(1, IN_MEMORY // number)
    for left in range(times, 0, -at_once):
        yield generator.multinomial(number, even, size=min(at_once, left))
