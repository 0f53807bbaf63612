"""By what a level is chosen: a score, a margin, and what it may cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from nestgen.arch.choices import Mode
from nestgen.errors import SettingsError
from nestgen.training.choice import check_test
from nestgen.training.evaluate import Metric
from nestgen.training.metrics import Floats, Scores

LIMITS = {
    "max_ms": "milliseconds",
    "max_params": "parameters",
    "max_bytes": "weight_bytes",
    "max_memory": "peak_bytes",
}
"""What each limit limits, by its name in `Level.to_plain`."""


@dataclass(frozen=True)
class Rule:
    """By what a level is chosen; see `choose_level` for `margin` and `confidence`.

    Attributes:
        metric: the score of an image, IoU or Dice as the mean over its foreground
            classes, or a function of one's own.
        of_class: the foreground class whose IoU or Dice it is instead.
        mode: fast chooses one of the levels, accurate one of the means of the levels
            up to each.
        max_ms: of a forward pass at the size and batch of the measurement.
        max_params: numbers that are learned.
        max_bytes: of the weights.
        max_memory: bytes of tensors alive at once in a forward pass.

    Raises `SettingsError` for what is not allowed.

    >>> Rule(metric="dice", max_params=200_000).margin
    0.01
    """

    metric: Literal["iou", "dice"] | Metric = "iou"
    of_class: int | None = None
    margin: float = 0.01
    confidence: float = 0.95
    mode: Mode = "fast"
    max_ms: float | None = None
    max_params: float | None = None
    max_bytes: float | None = None
    max_memory: float | None = None

    def __post_init__(self) -> None:
        check_test(self.margin, self.confidence)
        if self.own is not None and self.of_class is not None:
            raise SettingsError("class: says nothing with a metric of one's own")

    @property
    def own(self) -> Metric | None:
        """The metric, where it is a function."""
        return None if isinstance(self.metric, str) else self.metric

    @property
    def score_name(self) -> str:
        """What the score is called.

        >>> Rule(of_class=2).score_name
        'IoU of class 2'
        """
        if self.own is not None:
            return str(getattr(self.own, "__name__", "metric"))
        name = {"iou": "IoU", "dice": "Dice"}[str(self.metric)]
        return name if self.of_class is None else f"{name} of class {self.of_class}"

    def check_classes(self, classes: int) -> None:
        """Raise `SettingsError` for a class that a network of `classes` does not have.

        >>> Rule(of_class=2).check_classes(3)
        """
        last = max(classes - 1, 1)
        if self.of_class is not None and not 1 <= self.of_class <= last:
            allowed = f"1 to {last}" if last > 1 else "1"
            raise SettingsError(f"class: {self.of_class} is not allowed, {allowed}")

    def score(self, scores: Scores) -> Floats:
        """The score of each image, [N].

        >>> import numpy as np
        >>> Rule().score(Scores(np.array([[[1, 2, 2]]]))).round(2).tolist()
        [0.33]
        """
        if scores.own is not None:
            return scores.own
        part = scores if self.of_class is None else scores.of_class(self.of_class)
        return part.iou if self.metric == "iou" else part.dice
