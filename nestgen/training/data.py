"""Images and masks as batches, in an order that is counted, not remembered.

The order of an epoch follows from the seed and the epoch, the augmentation of an image
from the seed, the epoch and its place in it: a run that goes on from any step sees
what it would have seen.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from nestgen.arch.graph import NestGraph
from nestgen.arch.spec import NestSpec
from nestgen.errors import DataError
from nestgen.imaging.masks import labels_for
from nestgen.imaging.pad import pad
from nestgen.imaging.pairs import Pair, load_labels
from nestgen.imaging.read import read_image
from nestgen.imaging.size import size_text
from nestgen.training.augment import Patches
from nestgen.training.window import fitted_size

MIN_STEPS = 16
"""An epoch sees a small set of images as often as needed to make so many steps."""


@dataclass(frozen=True)
class Order:
    """Which images each step of an epoch takes, and the seed of each variation."""

    images: int
    batch_size: int
    seed: int

    @property
    def steps(self) -> int:
        """Steps in an epoch; all batches are full."""
        return max(MIN_STEPS, self.images // self.batch_size)

    def batch(self, epoch: int, step: int) -> list[tuple[int, int]]:
        """(image, seed) for each place of the batch.

        >>> order = Order(images=3, batch_size=2, seed=0)
        >>> order.batch(5, 1) == order.batch(5, 1) != order.batch(6, 1)
        True
        """
        first = step * self.batch_size
        return [
            (self._image(epoch, place), self._seed(epoch, place))
            for place in range(first, first + self.batch_size)
        ]

    def _image(self, epoch: int, place: int) -> int:
        turn, index = divmod(place, self.images)
        return int(_shuffled(self.images, (self.seed, epoch, turn))[index])

    def _seed(self, epoch: int, place: int) -> int:
        return int(np.random.default_rng((self.seed, epoch, place, 1)).integers(2**32))


@lru_cache(maxsize=2)
def _shuffled(images: int, seed: tuple[int, ...]) -> NDArray[np.int64]:
    return np.random.default_rng(seed).permutation(images)


class TrainingSet(Dataset[tuple[Tensor, Tensor]]):
    """Patches by (image, seed): float32 [C, *patch] and labels [1, *patch]."""

    def __init__(self, pairs: Sequence[Pair], spec: NestSpec, patches: Patches) -> None:
        self.pairs, self.spec, self.patches = pairs, spec, patches

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, key: tuple[int, int]) -> tuple[Tensor, Tensor]:
        index, seed = key
        image, labels = load_pair(self.pairs[index], self.spec)
        return self.patches(image, labels, seed)


def load_pair(
    pair: Pair, spec: NestSpec
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """A standardised image [C, *size] as the network takes it, and its labels [*size].

    Raises `DataError` where they differ in size.
    """
    image = read_image(pair.image, spec.in_channels, spec.dims)
    labels = load_labels(pair)
    if image.shape[1:] != labels.shape:
        raise DataError(
            f"{pair.image}: {size_text(image.shape[1:])}, but its mask is "
            f"{size_text(labels.shape)}"
        )
    return image, labels_for(labels, spec.classes)


def batches(
    dataset: TrainingSet, keys: Sequence[list[tuple[int, int]]], workers: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """The batches with these keys: [N, C, *patch] and [N, 1, *patch]."""
    generator = torch.Generator()  # the loader draws from it, and not from the run's
    loader: DataLoader[tuple[Tensor, Tensor]] = DataLoader(
        dataset, batch_sampler=keys, num_workers=workers, generator=generator
    )
    yield from loader


@dataclass(frozen=True)
class Whole:
    """Whole images of one size, padded to what a network and its window take."""

    indices: tuple[int, ...]
    images: Tensor
    labels: tuple[NDArray[np.uint8], ...]


def whole_images(
    pairs: Sequence[Pair],
    indices: Sequence[int],
    spec: NestSpec,
    window: Sequence[int],
    pixels: int = 0,
) -> Iterator[Whole]:
    """The images at `indices`, neighbours of one size together, up to `pixels`."""
    multiples = NestGraph(spec).multiples
    waiting: list[tuple[int, NDArray[np.float32], NDArray[np.uint8]]] = []
    for index in indices:
        image, labels = load_pair(pairs[index], spec)
        image = pad(image, fitted_size(labels.shape, window, multiples))
        full = (len(waiting) + 1) * image[0].size > pixels
        if waiting and (full or waiting[0][1].shape != image.shape):
            yield _whole(waiting)
            waiting = []
        waiting.append((index, image, labels))
    if waiting:
        yield _whole(waiting)


def _whole(
    items: Sequence[tuple[int, NDArray[np.float32], NDArray[np.uint8]]],
) -> Whole:
    indices, images, labels = zip(*items, strict=True)
    return Whole(indices, torch.from_numpy(np.stack(images)), labels)
