"""The quality of every level of a network on whole images."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import nn

from nestgen.arch.spec import NestSpec
from nestgen.imaging.pairs import Pair
from nestgen.training.data import whole_images
from nestgen.training.metrics import Scores, count_pixels
from nestgen.training.outputs import by_level, to_labels


def evaluate(
    model: nn.Module,
    spec: NestSpec,
    pairs: Sequence[Pair],
    *,
    device: torch.device | str = "cpu",
    batch_size: int = 1,
    progress: Callable[[int], object] = lambda images: None,
) -> dict[str, Scores]:
    """Scores by level, from one forward pass of the whole network over each image.

    `model` takes what `spec` says; it is put into eval mode and back. `progress` is
    called with the number of images of each batch.
    """
    counts = count_images(
        model, spec, pairs, range(len(pairs)), device, batch_size, progress
    )
    return {
        name: Scores(np.stack([row[name] for _, row in counts]))
        for name in counts[0][1]
    }


def count_images(
    model: nn.Module,
    spec: NestSpec,
    pairs: Sequence[Pair],
    indices: Sequence[int],
    device: torch.device | str = "cpu",
    batch_size: int = 1,
    progress: Callable[[int], object] = lambda images: None,
) -> list[tuple[int, dict[str, np.ndarray]]]:
    """For each image its index and, by level, its pixel counts [K, 3]."""
    rows: list[tuple[int, dict[str, np.ndarray]]] = []
    training = model.training
    model.eval()
    multiple = 2**spec.depth
    with torch.inference_mode():
        for batch in whole_images(
            pairs, indices, spec.in_channels, spec.classes, multiple, batch_size
        ):
            outputs = by_level(model(batch.images.to(device)), spec.heads)
            found = {name: to_labels(y).cpu().numpy() for name, y in outputs.items()}
            for place, (index, labels) in enumerate(
                zip(batch.indices, batch.labels, strict=True)
            ):
                height, width = labels.shape
                rows.append(
                    (
                        index,
                        {
                            name: count_pixels(
                                y[place, :height, :width], labels, spec.classes
                            )
                            for name, y in found.items()
                        },
                    )
                )
            progress(len(batch.indices))
    model.train(training)
    return rows
