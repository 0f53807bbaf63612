"""What a dataset holds, found by reading all of it once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from nestgen.errors import DataError
from nestgen.imaging.masks import MAX_CLASSES, classes_of
from nestgen.imaging.pairs import Pair, load_labels, raise_problems
from nestgen.imaging.read import image_channels, read_pixels
from nestgen.imaging.size import size_text


@dataclass(frozen=True)
class Inventory:
    """A dataset in numbers: from these a network's channels and classes follow."""

    images: int
    channels: int
    """1 if all images are grey, 3 if some are in colour, else what they all have."""
    sizes: tuple[tuple[tuple[int, ...], int], ...]
    """((H, W) or (D, H, W), number of images), the most frequent size first."""
    values: tuple[int, ...]
    """The label values of all masks, sorted."""

    @property
    def dims(self) -> int:
        """The axes of every image: 2, or 3 of volumes."""
        return len(self.sizes[0][0])

    @property
    def classes(self) -> int:
        """The output channels of a network for these labels (see `classes_of`)."""
        return classes_of(self.values)


def check_pairs(
    pairs: Sequence[Pair], progress: Callable[[Pair], object] | None = None
) -> Inventory:
    """Read every image and mask once and say what they hold.

    `progress` is called with each pair after it is read. Raises one `DataError`
    with all problems: files that cannot be read, masks of another size than their
    image, labels that are no classes, masks that are all empty, channels that do
    not go together, images among volumes.
    """
    if not pairs:
        raise DataError("no images to check")
    findings = _Findings()
    for pair in pairs:
        findings.read(pair)
        if progress is not None:
            progress(pair)
    return findings.inventory(len(pairs))


@dataclass
class _Findings:
    problems: list[str] = field(default_factory=list)
    channels: set[int] = field(default_factory=set)
    sizes: Counter[tuple[int, ...]] = field(default_factory=Counter)
    values: set[int] = field(default_factory=set)

    def read(self, pair: Pair) -> None:
        size = labels = None
        try:
            size = read_pixels(pair.image).shape[1:]
            self.channels.add(image_channels(pair.image))
            self.sizes[size] += 1
        except DataError as error:
            self.problems.append(str(error))
        try:
            labels = load_labels(pair)
            self._add_labels(pair, [int(value) for value in np.unique(labels)])
        except DataError as error:
            self.problems.append(str(error))
        if size is not None and labels is not None and size != labels.shape:
            self.problems.append(
                f"{pair.image}: {size_text(size)}, "
                f"but its mask is {size_text(labels.shape)}"
            )

    def _add_labels(self, pair: Pair, values: list[int]) -> None:
        if len(values) > MAX_CLASSES:
            raise DataError(
                f"{pair.masks[0]}: has {len(values)} label values; "
                f"at most {MAX_CLASSES} are classes"
            )
        self.values.update(values)

    def inventory(self, images: int) -> Inventory:
        if len(self.channels) > 1 and self.channels != {1, 3}:
            counts = ", ".join(map(str, sorted(self.channels)))
            self.problems.append(f"images of {counts} channels in one dataset")
        if len({len(size) for size in self.sizes}) > 1:
            self.problems.append("images and volumes in one dataset")
        if self.values == {0}:
            self.problems.append("all masks are empty: no pixel is labelled")
        try:
            classes_of(self.values)
        except DataError as error:
            self.problems.append(str(error))
        raise_problems(self.problems)
        sizes = tuple(self.sizes.most_common())
        return Inventory(images, max(self.channels), sizes, tuple(sorted(self.values)))
