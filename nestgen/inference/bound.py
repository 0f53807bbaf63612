"""What can be promised of a mean, and how far along a sequence it can be promised."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 4000
LEAST = 30
"""Numbers of which a bootstrap is taken: of fewer, it tells nothing."""

Floats = NDArray[np.float64]


def upper_bounds(values: Floats, confidence: float, seed: int = 0) -> Floats:
    """For each column of `values` [N, M], a bound that its mean stays below, [M].

    The one-sided bootstrap-t interval (Efron & Tibshirani, 1993, ch. 12): resamples
    tell how far a mean lies from the true one in units of its own standard error.
    Its error falls as 1/N, where that of a normal interval falls as 1/sqrt(N) (Hall,
    1988), but it is no bound for every N: none that knows losses to be below 1 alone
    could promise 0.01 with a confidence of 0.9 from less than log(0.1) / log(0.99),
    229, images. A column that hardly any resample sees differ has the bound infinity.

    >>> losses = np.linspace(-0.01, 0.03, 50).reshape(-1, 1)
    >>> upper_bounds(losses, 0.9).round(4).tolist()
    [0.0122]
    """
    number = len(values)
    counts = np.random.default_rng(seed).multinomial(
        number, np.full(number, 1 / number), size=RESAMPLES
    )
    mean, error = values.mean(0), values.std(0) / np.sqrt(number)
    means = counts @ values / number
    squares = counts @ values**2 / number
    errors = np.sqrt(np.maximum(squares - means**2, 0) / number)
    distances, flat = means - mean, errors <= 1e-9 * error
    away = np.divide(distances, errors, out=np.copysign(np.inf, distances), where=~flat)
    low = np.quantile(away, 1 - confidence, axis=0, method="lower")
    # where all numbers of a column are one, so is every mean
    bounds: Floats = np.where(
        error > 0, mean - low * np.where(error > 0, error, 1), mean
    )
    return bounds


def certified(losses: Floats, most: float, confidence: float) -> int:
    """How many of the rules whose losses are the columns of [N, M], from the first on,
    can be promised to lose `most` on average.

    The rules go from the safest to the boldest, an order that does not come from these
    losses. Each is tested, and the first that fails ends it: with `confidence` none of
    the rules before it loses more (fixed-sequence testing; Angelopoulos, Bates,
    Candès, Jordan & Lei, Learn then Test, 2021).

    >>> losses = np.linspace(-0.01, 0.03, 50).reshape(-1, 1) * [0, 0.5, 1, 0.5]
    >>> certified(losses, 0.01, 0.9)
    2
    """
    if len(losses) < LEAST:
        return 0
    passed = upper_bounds(losses, confidence) <= most
    return len(passed) if passed.all() else int(passed.argmin())
