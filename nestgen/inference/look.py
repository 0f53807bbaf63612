"""All that a network says of images whose masks are known, level by level."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from nestgen.arch.cost import grown_costs, level_costs
from nestgen.arch.graph import NestGraph
from nestgen.codegen.load import spec_of
from nestgen.errors import DataError
from nestgen.imaging.pad import crop
from nestgen.imaging.pairs import Pair
from nestgen.imaging.size import size_text
from nestgen.inference.signals import Floats, features
from nestgen.surgery.modes import eval_mode
from nestgen.training.data import Whole, whole_images
from nestgen.training.metrics import Scores, count_pixels
from nestgen.training.outputs import to_labels
from nestgen.training.window import window_of

AT_ONCE = 2**18
"""Pixels of the images that go through a network together."""


@dataclass(frozen=True, eq=False)
class Seen:
    """N images at L levels.

    Attributes:
        levels: their names.
        features: [N, L, F].
        iou, dice: of each image, [N, L].
        macs: computed until a level was reached, those before it with it, [N, L].
        alone: by the level's own cut, [N, L].
    """

    levels: tuple[str, ...]
    features: Floats
    iou: Floats
    dice: Floats
    macs: Floats
    alone: Floats

    def __len__(self) -> int:
        return len(self.iou)

    def part(self, indices: Sequence[int]) -> Seen:
        """Some of the images."""
        fields = (self.features, self.iou, self.dice, self.macs, self.alone)
        return Seen(self.levels, *(values[list(indices)] for values in fields))


def look(
    model: nn.Module,
    pairs: Sequence[Pair],
    window: tuple[int, ...] | None = None,
    progress: Callable[[int], object] = lambda images: None,
) -> Seen:
    """Every level of `model` on every image of `pairs`, each computed once.

    Raises `DataError` for images that are larger than the window (see `window_of`):
    they are gone over by windows, and a rule decides about whole images.
    """
    graph = NestGraph(spec_of(model))
    seen = window_of(graph, window)
    rows = []
    with eval_mode(model), torch.inference_mode():
        for batch in whole_images(pairs, range(len(pairs)), graph.spec, seen, AT_ONCE):
            size = tuple(batch.images.shape[2:])
            if any(side > most for side, most in zip(size, seen, strict=True)):
                raise DataError(
                    f"{pairs[batch.indices[0]].image}: {size_text(size)}, larger than "
                    f"the window of {size_text(seen)}, by which no level stops early"
                )
            costs = [grown_costs(graph, size), level_costs(graph, size)]
            macs = np.array([[c.macs for c in way.values()] for way in costs], float)
            rows += [(*row, *macs) for row in _look(model, batch)]
            progress(len(batch.indices))
    levels = tuple(f"L{level}" for level in graph.levels)
    return Seen(levels, *(np.stack(column) for column in zip(*rows, strict=True)))


def _look(model: nn.Module, batch: Whole) -> Iterator[tuple[Floats, ...]]:
    """Of each image of a batch its features [L, F], its IoU [L] and its Dice [L]."""
    classes = spec_of(model).classes
    x = batch.images.to(next(model.parameters()))
    logits = [y.float() for _, y in model.levels(x)]  # type: ignore[operator]
    for place, true in enumerate(batch.labels):
        own = [y[place : place + 1][crop(true.shape)] for y in logits]
        labels = [to_labels(y)[0].cpu().numpy() for y in own]
        scores = Scores(np.stack([count_pixels(m, true, classes) for m in labels]))
        told = [features(y, z) for y, z in zip(own, [None, *own], strict=False)]
        yield np.concatenate(told), scores.iou, scores.dice
