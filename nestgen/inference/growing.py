"""Labels of many images, by a network that grows for each as far as it is asked to."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from nestgen.arch.graph import NestGraph
from nestgen.codegen.load import spec_of
from nestgen.errors import DataError
from nestgen.imaging.pad import pad
from nestgen.imaging.read import read_image
from nestgen.imaging.size import size_text
from nestgen.inference.anytime import Enough, calibration_of, check_growing, grow
from nestgen.inference.look import AT_ONCE
from nestgen.inference.predict import Prediction, check_image, enough_memory, predict
from nestgen.surgery.modes import eval_mode
from nestgen.training.outputs import probabilities, to_labels
from nestgen.training.window import fitted_size, window_of

Start = Callable[[Tensor], Enough]
"""The rule for a batch, whose pass begins when it is asked for."""

Image = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Grown(Prediction):
    """A prediction, and the level at which the network stopped."""

    level: int


def predict_anytime(
    model: nn.Module,
    images: Sequence[Image],
    window: tuple[int, ...] | None = None,
) -> list[Grown]:
    """The labels of each of `images`, from the level at which its calibration stops.

    As `predict` otherwise, of images of one size, which go through the network
    together; what has stopped leaves the batch. Images that are larger than the
    window are gone over by windows and have the last level. Raises `SettingsError`
    for a network without a calibration (see `calibration_of`).

    >>> from nestgen.arch.spec import NestSpec
    >>> from nestgen.codegen.load import build
    >>> model = build(NestSpec(depth=2, widths=2))
    >>> model.calibration = {
    ...     **dict(signal="entropy", weights={"L1": (0, -1)}, threshold=-1.0),
    ...     **dict(loss=0.01, confidence=0.95, images=80),
    ... }
    >>> [grown.level for grown in predict_anytime(model, [np.zeros((3, 5, 7), "f")])]
    [1]
    """
    rule = calibration_of(model)
    return grow_images(model, images, lambda x: rule.enough, window)


def grow_images(
    model: nn.Module,
    images: Sequence[Image],
    start: Start,
    window: tuple[int, ...] | None = None,
) -> list[Grown]:
    """As `predict_anytime`, by any rule; the network has several heads.

    No rule is asked about images that are larger than the window, no budget either.
    """
    check_growing(model)
    graph = NestGraph(spec_of(model))
    for image in images:
        check_image(graph.spec, image)
    sizes = {image.shape[1:] for image in images}
    if len(sizes) > 1:
        raise DataError(f"images of {len(sizes)} sizes; what goes together has one")
    if not images:
        return []
    seen, size = window_of(graph, window), images[0].shape[1:]
    if any(side > most for side, most in zip(size, seen, strict=True)):
        found = [predict(model, image, window) for image in images]
        last = graph.levels[-1]
        return [Grown(each.labels, each.probabilities, last) for each in found]
    to = fitted_size(size, seen, graph.multiples)
    weight = next(model.parameters())
    with (
        enough_memory(f"{len(images)} of {size_text(size)} pixels on {weight.device}"),
        eval_mode(model),
        torch.inference_mode(),
    ):
        x = torch.from_numpy(np.stack([pad(image, to) for image in images])).to(weight)
        levels, logits = grow(model, x, start(x), size)
        labels, shares = to_labels(logits).cpu(), probabilities(logits).cpu()
    rows: Any = zip(labels.numpy(), shares.numpy(), levels.tolist(), strict=True)
    return [Grown(*row) for row in rows]


def grow_files(
    model: nn.Module,
    paths: Sequence[Path],
    start: Start,
    window: tuple[int, ...] | None = None,
    pixels: int = AT_ONCE,
) -> Iterator[tuple[Path, Grown | DataError]]:
    """Each file, and what is said of the image in it, or why nothing is.

    Neighbours of one size go through the network together, up to so many `pixels`.
    """
    spec = spec_of(model)
    waiting: list[tuple[Path, Image]] = []
    for path in paths:
        try:
            image = read_image(path, spec.in_channels, spec.dims)
        except DataError as error:
            yield path, error
            continue
        full = (len(waiting) + 1) * image[0].size > pixels
        if waiting and (full or waiting[0][1].shape != image.shape):
            yield from _together(model, waiting, start, window)
            waiting = []
        waiting.append((path, image))
    if waiting:
        yield from _together(model, waiting, start, window)


def _together(
    model: nn.Module,
    batch: Sequence[tuple[Path, Image]],
    start: Start,
    window: tuple[int, ...] | None,
) -> Iterator[tuple[Path, Grown | DataError]]:
    paths, images = zip(*batch, strict=True)
    try:
        yield from zip(paths, grow_images(model, images, start, window), strict=True)
    except DataError as error:
        for path in paths:
            yield path, DataError(f"{path}: {error}")
