"""How sure a level is of an image: numbers from its logits and the level's before."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nestgen.training.outputs import probabilities, to_labels

Floats = NDArray[np.float64]


def features(
    logits: Tensor, before: Tensor | None, names: Sequence[str] | None = None
) -> Floats:
    """FEATURES of each image, or those of `names`, [N, F], from logits [N, C, *size].

    `before` are the logits of the level before; the first level has none, and agrees
    with 0.

    >>> sure, unsure = torch.full((1, 1, 2, 2), 9.0), torch.zeros(1, 1, 2, 2)
    >>> features(torch.cat([sure, unsure]), None).round(2).tolist()
    [[0.0, 1.0, 1.0, 0.0], [1.0, 0.0, 0.0, 0.0]]
    """
    chosen = FEATURES if names is None else names
    return np.stack([_RULES[name](logits, before) for name in chosen], axis=1)


def _entropy(logits: Tensor, before: Tensor | None) -> Floats:
    """The mean entropy of an image's pixels, as a share of the most there can be."""
    p = probabilities(logits)
    if p.shape[1] == 1:
        p = torch.cat([p, 1 - p], dim=1)
    per_pixel = torch.special.entr(p).sum(1) / math.log(p.shape[1])
    return _numbers(per_pixel.flatten(1).mean(1))


def _expected_dice(logits: Tensor, before: Tensor | None) -> Floats:
    """The Dice of a mask and the probabilities that it was made of."""
    p = probabilities(logits)
    foreground = p if p.shape[1] == 1 else p[:, 1:]
    return _dice(foreground.flatten(2), _masks(logits))


def _foreground(logits: Tensor, before: Tensor | None) -> Floats:
    """The share of an image's pixels that are no background."""
    return _numbers((to_labels(logits) > 0).flatten(1).float().mean(1))


def _agreement(logits: Tensor, before: Tensor | None) -> Floats:
    """The Dice of the masks of two levels."""
    none = np.zeros(len(logits))
    return none if before is None else _dice(_masks(logits), _masks(before))


def _masks(logits: Tensor) -> Tensor:
    """Float [N, K, pixels] of 0 and 1, one for each foreground class."""
    labels, classes = to_labels(logits).flatten(1), max(2, logits.shape[1])
    return torch.stack([labels == k for k in range(1, classes)], dim=1).float()


def _dice(one: Tensor, two: Tensor) -> Floats:
    """Dice of soft masks [N, K, pixels], the mean over the K that are there at all."""
    both, sizes = (one * two).sum(2), one.sum(2) + two.sum(2)
    there = sizes >= 1
    total = torch.where(there, 2 * both / sizes.clamp(min=1), 0).sum(1)
    mean = total / there.sum(1).clamp(min=1)
    return _numbers(torch.where(there.any(1), mean, 1))


def _numbers(values: Tensor) -> Floats:
    return values.double().cpu().numpy()


_RULES: dict[str, Callable[[Tensor, Tensor | None], Floats]] = {
    "entropy": _entropy,
    "expected_dice": _expected_dice,
    "foreground": _foreground,
    "agreement": _agreement,
}
FEATURES = tuple(_RULES)
"""What a level's logits are summed up in, in this order."""
