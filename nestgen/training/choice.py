"""Which level is enough: the smallest whose quality is close to the best one's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nestgen.errors import SettingsError

RESAMPLES = 10_000
IN_MEMORY = 10**6
"""Numbers drawn at once."""


@dataclass(frozen=True)
class Difference:
    """A level's IoU minus the best level's, image by image: mean and 95 % interval."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Choice:
    """The level to keep, the level with the best mean IoU, and how far each is off."""

    level: int
    best: int
    tolerance: float
    differences: dict[int, Difference]

    def to_plain(self) -> dict[str, Any]:
        """The choice as JSON types."""
        return {
            "level": f"L{self.level}",
            "best": f"L{self.best}",
            "tolerance": self.tolerance,
            "difference_to_best": {
                f"L{level}": {"mean": d.mean, "low": d.low, "high": d.high}
                for level, d in self.differences.items()
            },
        }


def choose_level(
    iou: Mapping[int, NDArray[np.float64]], tolerance: float = 0.005, seed: int = 0
) -> Choice:
    """The smallest level whose mean IoU is within `tolerance` of the best level's.

    `iou` holds, by level, the IoU [N] of each image, the same images for every level.
    Nothing is assumed about how the IoU moves with the level. The interval is the 95 %
    percentile bootstrap over images (Efron, 1979) of the paired difference.

    >>> better = np.array([0.80, 0.90])
    >>> choose_level({1: better - 0.1, 2: better - 0.001, 3: better}).level
    2
    """
    check_tolerance(tolerance)
    means = {level: float(values.mean()) for level, values in iou.items()}
    best = max(sorted(means), key=lambda level: means[level])
    enough = [level for level in means if means[level] >= means[best] - tolerance]
    differences = {
        level: _bootstrap(values - iou[best], seed) for level, values in iou.items()
    }
    return Choice(min(enough), best, tolerance, differences)


def check_tolerance(tolerance: float) -> None:
    """Raise `SettingsError` unless the tolerance is 0 or more and below 1.

    >>> check_tolerance(0.005)
    """
    if not 0 <= tolerance < 1:
        raise SettingsError(
            f"tolerance: {tolerance} is not allowed, 0 or more and below 1"
        )


def _bootstrap(differences: NDArray[np.float64], seed: int) -> Difference:
    number = len(differences)
    generator = np.random.default_rng(seed)
    at_once = max(1, IN_MEMORY // number)
    means = [
        differences[generator.integers(number, size=(rows, number))].mean(axis=1)
        for rows in (min(at_once, left) for left in range(RESAMPLES, 0, -at_once))
    ]
    low, high = np.percentile(np.concatenate(means), [2.5, 97.5])
    return Difference(float(differences.mean()), float(low), float(high))
