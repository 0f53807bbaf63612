"""IoU and Dice, from counts of pixels: for each image, and over all pixels."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def count_pixels(
    predicted: NDArray[np.integer], true: NDArray[np.integer], classes: int
) -> NDArray[np.int64]:
    """Pixels of each foreground class: [K, 3] of intersection, predicted, true.

    `classes` 1 has the one foreground class 1; K classes have 1..K-1, 0 being the
    background.

    >>> count_pixels(np.array([[1, 0]]), np.array([[1, 1]]), classes=1).tolist()
    [[1, 1, 2]]
    """
    wanted = np.arange(1, max(classes, 2)).reshape(-1, 1)
    of_class, is_class = (
        predicted.reshape(1, -1) == wanted,
        true.reshape(1, -1) == wanted,
    )
    return np.stack(
        [(of_class & is_class).sum(1), of_class.sum(1), is_class.sum(1)], axis=1
    )


@dataclass(frozen=True)
class Scores:
    """The quality of one level on a set of images.

    `counts` is int [N, K, 3] from `count_pixels`. Each score is the mean over the
    foreground classes. A class that neither the prediction nor the truth of an image
    has is left out of that image's mean; an image with no class at all scores 1.
    `own` is float [N], by a metric of the caller's own where one was given.

    >>> scores = Scores(np.array([[[1, 1, 2]], [[0, 0, 0]]]))
    >>> scores.iou.tolist(), scores.mean_iou, scores.pixel_iou
    ([0.5, 1.0], 0.75, 0.5)
    """

    counts: NDArray[np.int64]
    own: Floats | None = None

    @cached_property
    def iou(self) -> Floats:
        """IoU (Jaccard) of each image, [N]."""
        return _mean_of_classes(_iou(self.counts))

    @cached_property
    def dice(self) -> Floats:
        """Dice (F1) of each image, [N]."""
        return _mean_of_classes(_dice(self.counts))

    def of_class(self, label: int) -> Scores:
        """The scores by one foreground class alone; an image without it scores 1."""
        return Scores(self.counts[:, label - 1 : label])

    @property
    def mean_iou(self) -> float:
        """The mean over the images of their IoU."""
        return float(self.iou.mean())

    @property
    def mean_dice(self) -> float:
        """The mean over the images of their Dice."""
        return float(self.dice.mean())

    @property
    def pixel_iou(self) -> float:
        """IoU over the pixels of all images together."""
        return float(_mean_of_classes(_iou(self.counts.sum(0, keepdims=True)))[0])

    @property
    def pixel_dice(self) -> float:
        """Dice over the pixels of all images together."""
        return float(_mean_of_classes(_dice(self.counts.sum(0, keepdims=True)))[0])

    def to_plain(self) -> dict[str, float]:
        """The four numbers, called so that they say over what they are taken."""
        return {
            "iou_per_image": self.mean_iou,
            "dice_per_image": self.mean_dice,
            "iou_all_pixels": self.pixel_iou,
            "dice_all_pixels": self.pixel_dice,
        }


def _iou(counts: NDArray[np.int64]) -> Floats:
    both, predicted, true = np.moveaxis(counts, -1, 0)
    return _ratio(both, predicted + true - both)


def _dice(counts: NDArray[np.int64]) -> Floats:
    both, predicted, true = np.moveaxis(counts, -1, 0)
    return _ratio(2 * both, predicted + true)


def _ratio(part: NDArray[np.int64], whole: NDArray[np.int64]) -> Floats:
    """`part / whole`, and NaN where there is nothing."""
    ratio: Floats = np.divide(
        part, whole, out=np.full(part.shape, np.nan), where=whole > 0
    )
    return ratio


def _mean_of_classes(ratios: Floats) -> Floats:
    there = ~np.isnan(ratios)
    total = np.where(there, ratios, 0.0).sum(-1)
    number = there.sum(-1)
    return np.where(number > 0, total / np.maximum(number, 1), 1.0)
