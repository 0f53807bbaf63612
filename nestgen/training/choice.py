"""Which level is enough: the cheapest that is shown to be about as good as the best."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from nestgen.errors import SettingsError
from nestgen.training.bootstrap import resamples
from nestgen.training.metrics import Floats

RESAMPLES = 10_000
FAR = 100
"""How many times more images are worth naming."""

Verdict = Literal["non-inferior", "inferior", "inconclusive"]


@dataclass(frozen=True)
class Difference:
    """A level's mean score minus the best level's, whichever is best in truth.

    Attributes:
        mean: on these images.
        low: at least this, with the confidence asked for, for all levels at once.
        high: at most this, with the same confidence, for this level.
    """

    mean: float
    low: float
    high: float

    def verdict(self, margin: float) -> Verdict:
        """What is shown of the level.

        >>> Difference(-0.004, -0.007, -0.001).verdict(0.01)
        'non-inferior'
        """
        if self.low > -margin:
            return "non-inferior"
        return "inferior" if self.high < -margin else "inconclusive"

    def to_plain(self) -> dict[str, float | None]:
        """As JSON types; None where the images say nothing."""
        ends = {"mean": self.mean, "low": self.low, "high": self.high}
        return {name: x if math.isfinite(x) else None for name, x in ends.items()}


@dataclass(frozen=True)
class Choice:
    """The level to keep, the one with the best mean score, and how far each is off.

    Attributes:
        level: the cheapest that is shown to be non-inferior, or the best.
        best: on these images.
        margin: in the score.
        confidence: of the bounds of the differences.
        images: on which it was chosen.
        differences: by level, from the cheapest.
    """

    level: str
    best: str
    margin: float
    confidence: float
    images: int
    differences: dict[str, Difference]

    @property
    def undecided(self) -> list[str]:
        """The levels cheaper than the choice of which nothing is shown."""
        names = list(self.differences)
        return [
            name
            for name in names[: names.index(self.level)]
            if self.differences[name].verdict(self.margin) == "inconclusive"
        ]

    def images_needed(self, level: str) -> int | None:
        """About how many images would decide on a level, were they like these.

        Intervals shrink with the root of the number of images. None where it is more
        than 100 times as many, or cannot be told.
        """
        found = self.differences[level]
        apart = found.mean + self.margin
        side = max(found.mean - found.low, found.high - found.mean)
        if not side < math.sqrt(FAR) * abs(apart):
            return None
        return math.ceil(self.images * max(1.0, side / abs(apart)) ** 2)

    def to_plain(self) -> dict[str, Any]:
        """The choice as JSON types."""
        return {
            "level": self.level,
            "best": self.best,
            "margin": self.margin,
            "confidence": self.confidence,
            "images": self.images,
            "differences": {
                level: found.to_plain() | {"verdict": found.verdict(self.margin)}
                for level, found in self.differences.items()
            },
            "images_needed": {
                level: self.images_needed(level) for level in self.undecided
            },
        }


def choose_level(
    scores: Mapping[str, Floats],
    margin: float = 0.01,
    confidence: float = 0.95,
    seed: int = 0,
) -> Choice:
    """The cheapest level that is shown to lack less than `margin` to the best.

    `scores` holds by level, from the cheapest, the score [N] of each image: of the same
    images in one order, more is better. Nothing is assumed about how it moves with the
    level, so no order of tests spares the correction for their number: with probability
    `confidence`, all levels that are called non-inferior are so (see `compare`). Where
    none is that is cheaper, the one with the best mean is kept.

    Raises `SettingsError` for scores that are none.

    >>> better = np.linspace(0.7, 0.9, 20)
    >>> poor = better - np.linspace(0.05, 0.15, 20)
    >>> near = better - np.linspace(0.0, 0.002, 20)
    >>> choose_level({"L1": poor, "L2": near, "L3": better}).level
    'L2'
    """
    check_test(margin, confidence)
    differences = compare(scores, confidence, seed)
    best = max(scores, key=lambda level: differences[level].mean)
    level = next(
        level
        for level, found in differences.items()
        if level == best or found.verdict(margin) == "non-inferior"
    )
    images = len(scores[best])
    return Choice(level, best, margin, confidence, images, differences)


def check_test(margin: float, confidence: float) -> None:
    """Raise `SettingsError` for a margin or a confidence that is none.

    >>> check_test(0.01, 0.95)
    """
    if not 0 <= margin < math.inf:
        raise SettingsError(f"margin: {margin} is not allowed, 0 or more")
    if not 0.5 <= confidence < 1:
        raise SettingsError(
            f"confidence: {confidence} is not allowed, 0.5 or more and below 1"
        )


def compare(
    scores: Mapping[str, Floats], confidence: float = 0.95, seed: int = 0
) -> dict[str, Difference]:
    """How far each level is off the best, with bounds that take no level for the best.

    Images are paired. A level's difference to the best is the least of its differences
    to all levels; so is its bound the least of theirs (Edwards & Hsu, 1983), and that
    the best was picked by these images harms nothing. Each is the bound of a
    studentized bootstrap over images (Efron, 1979; Hall, 1988), which follows the
    skewness that rare failures give, and is corrected for the number of levels
    (Bonferroni: with few of them, hardly wider than a joint bootstrap, and a pair that
    hardly differs spoils no other). Failures so rare that the images show none are
    beyond any bound: with a few dozen images it errs more often than it says.

    >>> found = compare({"L1": np.array([0.7, 0.8, 0.8]), "L2": np.array([0.8] * 3)})
    >>> f"{found['L1'].mean:.3f}", found["L2"].mean
    ('-0.033', 0.0)
    """
    table = _table(scores)
    levels = table.shape[1]
    pairs = (table[:, :, None] - table[:, None, :]).reshape(len(table), -1)
    mean = pairs.mean(axis=0)
    tail = (1 - confidence) / max(1, levels - 1)
    below, above = _reach(pairs - mean, tail, seed)
    below[:: levels + 1] = above[:: levels + 1] = 0  # of each level to itself
    low, middle, high = (
        ends.reshape(levels, levels).min(axis=1)
        for ends in (mean - below, mean, mean + above)
    )
    rows = zip(scores, middle, low, high, strict=True)
    return {name: Difference(*map(float, ends)) for name, *ends in rows}


def _table(scores: Mapping[str, Floats]) -> Floats:
    """The scores [N, levels]."""
    columns = [np.asarray(column, np.float64) for column in scores.values()]
    if not columns or columns[0].ndim != 1 or not columns[0].size:
        raise SettingsError("scores: a level or more is needed, and an image or more")
    if any(column.shape != columns[0].shape for column in columns):
        raise SettingsError("scores: not of the same images for every level")
    table = np.stack(columns, axis=1)
    if not np.isfinite(table).all():
        raise SettingsError("scores: not all of them are numbers")
    return table


def _reach(centred: Floats, tail: float, seed: int) -> tuple[Floats, Floats]:
    """How far below and above its mean each column's bounds are, at one `tail`.

    `centred` is [N, columns], each of mean 0. There is no end where all images say the
    same, since they tell nothing of the spread, or where the tail is thinner than the
    resamples tell.
    """
    number, columns = centred.shape
    place = math.floor(tail * (RESAMPLES + 1)) - 1
    if number == 1 or place < 0:
        return np.full(columns, np.inf), np.full(columns, np.inf)
    ordered = np.sort(_studentized(centred, seed), axis=0)
    error = centred.std(axis=0)
    far = np.full(columns, np.inf)
    below, above = (
        np.multiply(end, error, out=far.copy(), where=error > 0)
        for end in (ordered[-1 - place], -ordered[place])
    )
    return below, above


def _studentized(centred: Floats, seed: int) -> Floats:
    """The means of resamples over their own standard errors, [RESAMPLES, columns].

    Infinite where a resample has no spread but another mean.
    """
    parts = []
    for counts in resamples(len(centred), RESAMPLES, seed):
        weights = counts / len(centred)
        means = weights @ centred
        spread = np.sqrt(np.maximum(weights @ centred**2 - means**2, 0))
        ratio = np.where(means == 0, 0.0, np.copysign(np.inf, means))
        parts.append(np.divide(means, spread, out=ratio, where=spread > 0))
    return np.concatenate(parts)
