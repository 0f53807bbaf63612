"""The learning rate as a function of the step: nothing to remember, nothing to save."""

from __future__ import annotations

import math

WARM_UP = 0.05
"""The share of all steps in which the rate rises."""


def learning_rate(step: int, steps: int, peak: float) -> float:
    """A linear warm-up to `peak`, then a cosine to zero at the last of `steps`.

    >>> [round(learning_rate(step, 100, 1.0), 3) for step in (0, 4, 52, 99)]
    [0.2, 1.0, 0.492, 0.0]
    """
    warm = max(1, round(WARM_UP * steps))
    if step < warm:
        return peak * (step + 1) / warm
    return peak * (1 + math.cos(math.pi * (step + 1 - warm) / max(1, steps - warm))) / 2
