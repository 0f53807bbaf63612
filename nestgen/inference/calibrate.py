"""A rule by which a network stops growing, chosen and certified on images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from torch import nn

from nestgen.codegen.load import spec_of
from nestgen.errors import DataError, SettingsError
from nestgen.imaging.pairs import Pair
from nestgen.inference.anytime import READS, Calibration, Signal, check_growing
from nestgen.inference.bound import certified
from nestgen.inference.look import Seen, look
from nestgen.inference.signals import FEATURES, Floats

STEPS = 10
"""From the safest rule of a signal to its boldest, in equal steps of what they save."""
WEIGHED = 1000
"""Thresholds among which the steps are found."""
RIDGE = 1.0


@dataclass(frozen=True)
class Candidate:
    """The boldest rule of one signal that could be certified.

    Attributes:
        calibration: the rule, with what is promised of it.
        iou, macs: the means over the images that certified it; of the last level,
            where none is.
    """

    calibration: Calibration
    iou: float
    macs: float


def calibrate(
    model: nn.Module,
    pairs: Sequence[Pair],
    *,
    loss: float = 0.01,
    confidence: float = 0.9,
    window: tuple[int, ...] | None = None,
    progress: Callable[[int], object] = lambda images: None,
) -> Calibration:
    """The rule that stops each image as early as a promise allows.

    With `confidence`, the IoU of an image falls short of the last level's by no more
    than `loss`, on average over images like those of `pairs`, which `model` must not
    have been trained on. See `candidates`. Raises `SettingsError` for a network with
    one head, and for numbers that are not allowed, `DataError` as `look` does.
    """
    check_promise(model, loss, confidence)
    return best(
        candidates(look(model, pairs, window, progress), model, loss, confidence)
    )


def check_promise(model: nn.Module, loss: float, confidence: float) -> None:
    """Raise `SettingsError` unless there is something to choose, and a promise."""
    check_growing(model)
    for name, value in (("loss", loss), ("confidence", confidence)):
        if not 0 < value < 1:
            raise SettingsError(f"{name}: {value:g} is not allowed, between 0 and 1")


def candidates(
    seen: Seen, model: nn.Module, loss: float, confidence: float
) -> dict[Signal, Candidate]:
    """For each signal, the boldest rule of which the promise can be made.

    A third of the images says which thresholds are tried, and fits the prediction of
    what is to gain; the others certify (see `certified`), each signal with a share of
    the risk (Bonferroni): so the promise holds of whichever is chosen.
    """
    if len(seen) < 3:
        raise DataError(f"{len(seen)} images to calibrate on are too few, 3 or more")
    levels = [f"L{level}" for level in spec_of(model).heads[:-1]]
    order = np.random.default_rng(0).permutation(len(seen)).tolist()
    third = len(seen) // 3
    fitted, held = seen.part(order[:third]), seen.part(order[third:])
    weights: dict[Signal, dict[str, tuple[float, ...]]] = {
        "agreement": dict.fromkeys(levels[1:], (0.0, 1.0)),
        "entropy": dict.fromkeys(levels, (0.0, -1.0)),
        "gain": dict(zip(levels, _predictions(fitted), strict=True)),
    }
    share = 1 - (1 - confidence) / len(weights)
    return {
        signal: _boldest(
            Calibration(signal, told, None, loss, confidence, len(held)),
            *(fitted, held, share),
        )
        for signal, told in weights.items()
    }


def best(found: dict[Signal, Candidate]) -> Calibration:
    """The rule that computes least."""
    return min(found.values(), key=lambda candidate: candidate.macs).calibration


def stops(rule: Calibration, seen: Seen) -> NDArray[np.int64]:
    """The place, from 0 on, of the level at which each image stops, [N]."""
    if rule.threshold is None:
        return np.full(len(seen), seen.iou.shape[1] - 1)
    return _first(_sureness(rule, seen), rule.threshold)


def _boldest(rule: Calibration, fitted: Seen, held: Seen, share: float) -> Candidate:
    thresholds = _thresholds(_sureness(rule, fitted), fitted.macs)
    sure = _sureness(rule, held)
    places = [_first(sure, threshold) for threshold in thresholds]
    each = np.arange(len(held))
    losses = [held.iou[:, -1] - held.iou[each, place] for place in places]
    passed = certified(np.stack(losses, 1), rule.loss, share) if losses else 0
    if passed:
        rule = replace(rule, threshold=float(thresholds[passed - 1]))
    place = stops(rule, held)
    return Candidate(
        rule, float(held.iou[each, place].mean()), float(held.macs[each, place].mean())
    )


def _thresholds(sure: Floats, macs: Floats) -> list[float]:
    """From the safest to the boldest; each step saves as much as the one before."""
    known = np.unique(sure[:, :-1][np.isfinite(sure[:, :-1])])[::-1]
    if not len(known):
        return []
    tried = known[np.unique(np.linspace(0, len(known) - 1, WEIGHED).astype(int))]
    each = np.arange(len(sure))
    costs = np.array([macs[each, _first(sure, value)].mean() for value in tried])
    wanted = np.linspace(macs[:, -1].mean(), costs[-1], STEPS + 1)[1:]
    steps = {int((costs <= most * (1 + 1e-9)).argmax()) for most in wanted}
    return [float(tried[step]) for step in sorted(steps)]


def _first(sure: Floats, threshold: float) -> NDArray[np.int64]:
    """The first place that is sure enough, or the last."""
    passed = sure >= threshold
    passed[:, -1] = True
    place: NDArray[np.int64] = passed.argmax(1)
    return place


def _sureness(rule: Calibration, seen: Seen) -> Floats:
    """The signal of each image at each level, [N, L], where it never stops -inf."""
    columns = [FEATURES.index(name) for name in READS[rule.signal]]
    found = np.full(seen.iou.shape, -np.inf)
    for at, name in enumerate(seen.levels):
        if name in rule.weights:
            found[:, at] = rule.sure(name, seen.features[:, at, columns])
    return found


def _predictions(seen: Seen) -> list[tuple[float, ...]]:
    """For each level but the last, its Dice minus the last's, from the features.

    Ridge regression on features of zero mean and unit deviation, told as weights of
    the features as they are.
    """
    made = []
    for level in range(seen.dice.shape[1] - 1):
        x, more = seen.features[:, level], seen.dice[:, level] - seen.dice[:, -1]
        middle, spread = x.mean(0), x.std(0) + 1e-9
        z = (x - middle) / spread
        ridge = z.T @ z + RIDGE * np.eye(len(FEATURES))
        slopes = np.linalg.solve(ridge, z.T @ (more - more.mean())) / spread
        constant = more.mean() - middle @ slopes
        made.append((float(constant), *map(float, slopes)))
    return made
