"""Networks that grow image by image: until a rule is sure, or time is up."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from itertools import pairwise
from statistics import median
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from nestgen.codegen.load import spec_of
from nestgen.errors import CheckpointError, SettingsError
from nestgen.imaging.pad import crop
from nestgen.inference.signals import FEATURES, Floats, features
from nestgen.training.timing import WARM_UP, wait

Signal = Literal["agreement", "entropy", "gain"]
READS: dict[Signal, tuple[str, ...]] = {
    "agreement": ("agreement",),
    "entropy": ("entropy",),
    "gain": FEATURES,
}
"""What each signal is made of: the Dice of the masks of a level and of the one before;
the mean entropy; the Dice that a level is predicted to have beyond the last level."""

Enough = Callable[[int, Tensor, Tensor | None], NDArray[np.bool_]]
"""Whether a level is enough for an image, bool [N]: of the level, its logits and those
of the level before, [N, C, *size]."""


@dataclass(frozen=True)
class Calibration:
    """When an image has had enough levels, and what is promised of it.

    An image stops at the first level whose signal is not below `threshold`.

    Attributes:
        signal: what it goes by.
        weights: by level, how its features make the signal: a constant, then one for
            each; a level without weights is never enough.
        threshold: None where nothing is certified: every image then goes to the end.
        loss: the IoU that an image loses at most against the last level, on average.
        confidence: that this is so, over the images that it was calibrated on.
        images: how many of these certified it.
    """

    signal: Signal
    weights: Mapping[str, tuple[float, ...]]
    threshold: float | None
    loss: float
    confidence: float
    images: int

    def to_plain(self) -> dict[str, Any]:
        """As JSON types."""
        weights = {level: list(numbers) for level, numbers in self.weights.items()}
        return {**asdict(self), "weights": weights}

    def enough(
        self, level: int, logits: Tensor, before: Tensor | None
    ) -> NDArray[np.bool_]:
        """Whether an image stops at this level, [N]."""
        if self.threshold is None or f"L{level}" not in self.weights:
            return np.zeros(len(logits), bool)
        read = features(logits, before, READS[self.signal])
        return self.sure(f"L{level}", read) >= self.threshold

    def sure(self, level: str, read: Floats) -> Floats:
        """The signal of each image, [N], from the features that it reads, [N, F]."""
        constant, *slopes = self.weights[level]
        signal: Floats = constant + read @ np.array(slopes)
        return signal


def calibration_of(model: nn.Module) -> Calibration:
    """The calibration that came with `model` from its checkpoint.

    Raises `SettingsError` where there is none, `CheckpointError` where it is none for
    this network: a checkpoint can hold anything.
    """
    plain = getattr(model, "calibration", None)
    if plain is None:
        raise SettingsError(
            "the network has no calibration, nestgen calibrate makes one"
        )
    levels = [f"L{level}" for level in spec_of(model).heads[:-1]]
    names = [field.name for field in fields(Calibration)]
    if not isinstance(plain, dict) or set(plain) != set(names):
        raise _none_for_this(f"its fields are not {', '.join(names)}")
    signal, weights, threshold = (plain[name] for name in names[:3])
    if not isinstance(signal, str) or signal not in READS:
        raise _none_for_this(f"its signal is not one of {', '.join(READS)}")
    number = 1 + len(READS[signal])
    if not isinstance(weights, dict) or not all(
        level in levels and _are_weights(row, number) for level, row in weights.items()
    ):
        raise _none_for_this(
            f"its weights are not {number} numbers for each of {', '.join(levels)}"
        )
    if threshold is not None and not _is_finite(threshold):
        raise _none_for_this("its threshold is neither a number nor None")
    for name in ("loss", "confidence"):
        if not _is_finite(plain[name]) or not 0 < plain[name] < 1:
            raise _none_for_this(f"its {name} is no number between 0 and 1")
    images = plain["images"]
    if not isinstance(images, int) or not _is_finite(images) or images < 1:
        raise _none_for_this("its number of images is not 1 or more")
    rows = {level: tuple(map(float, row)) for level, row in weights.items()}
    return Calibration(**{**plain, "weights": rows})


def _none_for_this(reason: str) -> CheckpointError:
    return CheckpointError(f"the calibration is none for this network, {reason}")


def _is_finite(value: object) -> bool:
    """Whether it is an int or a float, no bool, that is finite as a float."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    return abs(value) <= sys.float_info.max


def _are_weights(row: object, number: int) -> bool:
    """Whether they are so many, and their sum finite: no feature is above 1."""
    return (
        isinstance(row, list | tuple)
        and len(row) == number
        and all(map(_is_finite, row))
        and math.isfinite(sum(abs(float(weight)) for weight in row))
    )


def check_growing(model: nn.Module) -> None:
    """Raise `SettingsError` for a network with one head, which has nowhere to stop."""
    if len(heads := spec_of(model).heads) < 2:
        raise SettingsError(
            f"the network has the level L{heads[0]} alone, and none at which to stop"
        )


def grow(
    model: nn.Module, x: Tensor, enough: Enough, size: tuple[int, ...] | None = None
) -> tuple[NDArray[np.int64], Tensor]:
    """The level [N] at which each image of a batch stops, and its logits there.

    `x` is [N, C, *size], on the model's device; logits are float32 [N, classes, *size],
    cropped to `size` where it is given. What has stopped leaves the batch, so that
    later levels are computed of the others alone.

    >>> from nestgen.arch.spec import NestSpec
    >>> from nestgen.codegen.load import build
    >>> dark = lambda level, logits, before: np.array([True, False][-len(logits) :])
    >>> with torch.inference_mode():
    ...     grow(build(NestSpec(depth=2, widths=2)), torch.zeros(2, 3, 8, 8), dark)[0]
    array([1, 2])
    """
    last, device = spec_of(model).heads[-1], x.device
    levels, stopped = np.zeros(len(x), np.int64), []
    places, rows, before = np.arange(len(x)), None, None
    growing: Any = model.levels(x.to(next(model.parameters())))  # type: ignore[operator]
    while len(places):
        name, logits = growing.send(rows)
        level, logits = int(name[1:]), logits.float()
        logits = logits if size is None else logits[crop(size)]
        done = np.ones(len(places), bool)
        if level < last:
            done = enough(level, logits, before)
        levels[places[done]] = level
        stopped.append((places[done], logits[torch.from_numpy(done).to(device)]))
        places = places[~done]
        rows = None
        before = logits
        if done.any():
            rows = torch.from_numpy(np.flatnonzero(~done)).to(device)
            before = logits[rows]
    growing.close()
    order = torch.from_numpy(np.argsort(np.concatenate([at for at, _ in stopped])))
    return levels, torch.cat([part for _, part in stopped])[order.to(device)]


class Budget:
    """As many levels as fit into so many seconds from the start of a pass.

    A level is begun where what it took when it was measured is left. The first one is
    always computed. It does not bound what goes by windows (see `grow_images`).
    """

    def __init__(self, model: nn.Module, seconds: float) -> None:
        if not seconds > 0:
            raise SettingsError(
                f"budget: {1000 * seconds:g} ms is not allowed, above 0"
            )
        self.model, self.seconds = model, seconds
        self.measured: dict[tuple[int, ...], list[float]] = {}

    def __call__(self, x: Tensor) -> Enough:
        """The rule for a pass that begins now; a new size is measured before."""
        heads, shape = spec_of(self.model).heads, tuple(x.shape)
        if shape not in self.measured:
            self.measured[shape] = step_seconds(self.model, x)
        costs = dict(zip(heads, self.measured[shape][1:], strict=False))
        began = time.perf_counter()

        def enough(
            level: int, logits: Tensor, before: Tensor | None
        ) -> NDArray[np.bool_]:
            wait(logits.device)
            left = self.seconds - (time.perf_counter() - began)
            return np.full(len(logits), costs[level] > left)

        return enough


def step_seconds(model: nn.Module, x: Tensor, rounds: int = 7) -> list[float]:
    """The median seconds that each level of `model` adds on `x`, level by level.

    Each round grows the network once through all levels.
    """
    taken: list[list[float]] = []
    for _ in range(WARM_UP + rounds):
        wait(x.device)
        marks = [time.perf_counter()]
        for _ in model.levels(x):  # type: ignore[operator]
            wait(x.device)
            marks.append(time.perf_counter())
        taken.append([b - a for a, b in pairwise(marks)])
    return [median(step) for step in zip(*taken[WARM_UP:], strict=True)]
