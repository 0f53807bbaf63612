"""The quality of every level of a network on whole images."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from nestgen.arch.graph import NestGraph
from nestgen.arch.heads import Heads, heads_name
from nestgen.codegen.load import spec_of
from nestgen.errors import SettingsError
from nestgen.imaging.pad import crop
from nestgen.imaging.pairs import Pair
from nestgen.surgery.modes import eval_mode
from nestgen.training.data import whole_images
from nestgen.training.metrics import Scores, count_pixels
from nestgen.training.outputs import joint_labels
from nestgen.training.window import network_of, through_windows, window_of

Labels = NDArray[Any]
"""The label of each pixel, [*size] of integers."""

Counts = dict[str, NDArray[np.int64]]
"""By level, the pixel counts [K, 3] of one image."""

Metric = Callable[[Labels, Labels], float]
"""How good the first labels are where the second are true: a number, more is better."""


@dataclass(frozen=True)
class Seen:
    """One image: its index, the labels that each level finds, and the true ones."""

    index: int
    found: dict[str, Labels]
    true: Labels


def evaluate(
    model: nn.Module,
    pairs: Sequence[Pair],
    *,
    groups: Sequence[Heads] | None = None,
    metric: Metric | None = None,
    window: tuple[int, ...] | None = None,
    pixels: int = 0,
    progress: Callable[[int], object] = lambda images: None,
) -> dict[str, Scores]:
    """Scores by level, from one pass of the whole network over each image.

    nestgen built `model`; its modules are left in the modes they were in. Images that
    are larger than the window (see `window_of`) are gone over by windows, each of them
    once for all levels. Images of one size go through the network together up to so
    many `pixels`. Each of the `groups` of heads, by default each head alone, is scored
    by the mean of its probabilities, and by `metric` too, whatever that raises is
    raised. `progress` is called with the number of images done.
    """
    counts: dict[str, list[NDArray[np.int64]]] = defaultdict(list)
    own: dict[str, list[float]] = defaultdict(list)
    classes = spec_of(model).classes
    for seen in see_images(model, pairs, range(len(pairs)), groups, window, pixels):
        for name, found in seen.found.items():
            counts[name].append(count_pixels(found, seen.true, classes))
            if metric is not None:
                own[name].append(_judged(metric, found, seen.true, pairs[seen.index]))
        progress(1)
    return {
        name: Scores(np.stack(counts[name]), np.array(own[name]) if metric else None)
        for name in counts
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
    classes = spec_of(model).classes
    for seen in see_images(model, pairs, indices, None, window, pixels):
        counts = {
            name: count_pixels(found, seen.true, classes)
            for name, found in seen.found.items()
        }
        rows.append((seen.index, counts))
        progress(1)
    return rows


def see_images(
    model: nn.Module,
    pairs: Sequence[Pair],
    indices: Sequence[int],
    groups: Sequence[Heads] | None = None,
    window: tuple[int, ...] | None = None,
    pixels: int = 0,
) -> Iterator[Seen]:
    """The images at `indices` with the labels that each group of heads gives them."""
    spec, device = spec_of(model), next(model.parameters()).device
    seen = window_of(NestGraph(spec), window)
    network = network_of(model, spec.heads)
    for batch in whole_images(pairs, indices, spec, seen, pixels):
        with eval_mode(model), torch.inference_mode():
            outputs = through_windows(network, batch.images, seen, device)
            found = {
                heads_name(group): joint_labels(
                    [outputs[heads_name([head])] for head in group]
                )
                .cpu()
                .numpy()
                for group in groups or [(head,) for head in spec.heads]
            }
        for place, true in enumerate(batch.labels):
            own = {name: y[place][crop(true.shape)] for name, y in found.items()}
            yield Seen(batch.indices[place], own, true)


def _judged(metric: Metric, found: Labels, true: Labels, pair: Pair) -> float:
    """What the caller's metric says; it gets arrays of its own."""
    value = float(metric(found.copy(), true.copy()))
    if not math.isfinite(value):
        raise SettingsError(f"metric: gives {value} for {pair.image}, not a number")
    return value
