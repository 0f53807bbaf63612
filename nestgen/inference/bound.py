"""What can be promised of a mean, and how far along a sequence it can be promised."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nestgen.training.bootstrap import resamples

RESAMPLES = 2000
LEAST = 30
"""Numbers of which a bootstrap is taken: of fewer, it tells nothing."""

Floats = NDArray[np.float64]


def upper_bounds(values: Floats, confidence: float, seed: int = 0) -> Floats:
    """For each column of `values` [N, M], a bound that its mean stays below, [M].

    The one-sided bootstrap-t interval (Efron & Tibshirani, 1993, ch. 12): resamples
    tell how far a mean lies from the true one in units of its own standard error. Of
    skewed losses it is still too low too often, and so, as conformal risk control does
    (Angelopoulos, Bates, Fisch, Lei & Schuster, 2024), it counts one image more, as bad
    as the worst: here the worst that was seen. It is no bound for every distribution:
    who knows of losses only that they are below 1 can promise 0.01 with a confidence of
    0.9 from log(0.1) / log(0.99), 230, images on, and not from fewer. A column that
    many resamples see as one number has the bound infinity.

    >>> losses = np.linspace(-0.01, 0.03, 50).reshape(-1, 1)
    >>> upper_bounds(losses, 0.9).round(4).tolist()
    [0.0125]
    """
    worst = values.max(0)
    values = np.concatenate([values, worst.reshape(1, -1)])
    number, alike = len(values), worst == values.min(0)
    mean, error = values.mean(0), values.std(0) / np.sqrt(number)
    both = np.concatenate([values, values**2], axis=1)
    sums = [counts @ both for counts in resamples(number, RESAMPLES, seed)]
    means, squares = np.split(np.concatenate(sums) / number, 2, axis=1)
    errors = np.sqrt(np.maximum(squares - means**2, 0) / number)
    distances, flat = means - mean, errors <= 1e-6 * error
    away = np.divide(distances, errors, out=np.copysign(np.inf, distances), where=~flat)
    low = np.quantile(away, 1 - confidence, axis=0, method="lower")
    bounds: Floats = np.where(alike, worst, mean - low * np.where(alike, 1, error))
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
