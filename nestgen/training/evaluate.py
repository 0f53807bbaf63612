"""The quality of every level of a network on whole images."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from nestgen.arch.graph import NestGraph
from nestgen.arch.spec import NestSpec
from nestgen.codegen.load import spec_of
from nestgen.imaging.pad import crop
from nestgen.imaging.pairs import Pair
from nestgen.surgery.modes import eval_mode
from nestgen.training.data import Whole, whole_images
from nestgen.training.metrics import Scores, count_pixels
from nestgen.training.outputs import to_labels
from nestgen.training.window import network_of, through_windows, window_of

Counts = dict[str, NDArray[np.int64]]
"""By level, the pixel counts [K, 3] of one image."""


def evaluate(
    model: nn.Module,
    pairs: Sequence[Pair],
    *,
    window: tuple[int, ...] | None = None,
    pixels: int = 0,
    progress: Callable[[int], object] = lambda images: None,
) -> dict[str, Scores]:
    """Scores by level, from one pass of the whole network over each image.

    nestgen built `model`; its modules are left in the modes they were in. Images that
    are larger than the window (see `window_of`) are gone over by windows, each of them
    once for all levels. Images of one size go through the network together up to so
    many `pixels`. `progress` is called with the number of images of each batch.
    """
    counts = count_images(model, pairs, range(len(pairs)), window, pixels, progress)
    return {
        name: Scores(np.stack([row[name] for _, row in counts]))
        for name in counts[0][1]
    }


def count_images(
    model: nn.Module,
    pairs: Sequence[Pair],
    indices: Sequence[int],
    window: tuple[int, ...] | None = None,
    pixels: int = 0,
    progress: Callable[[int], object] = lambda images: None,
) -> list[tuple[int, Counts]]:
    """For each of the images at `indices`, its index and its pixel counts."""
    rows: list[tuple[int, Counts]] = []
    spec, device = spec_of(model), next(model.parameters()).device
    seen = window_of(NestGraph(spec), window)
    network = network_of(model, spec.heads)
    with eval_mode(model), torch.inference_mode():
        for batch in whole_images(pairs, indices, spec, seen, pixels):
            outputs = through_windows(network, batch.images, seen, device)
            found = {name: to_labels(y).cpu().numpy() for name, y in outputs.items()}
            rows += zip(batch.indices, _counts(found, batch, spec), strict=True)
            progress(len(batch.indices))
    return rows


def _counts(
    found: dict[str, NDArray[Any]], batch: Whole, spec: NestSpec
) -> Iterator[Counts]:
    """The counts of each image of a batch, what was padded cropped."""
    for place, true in enumerate(batch.labels):
        yield {
            name: count_pixels(labels[place][crop(true.shape)], true, spec.classes)
            for name, labels in found.items()
        }
