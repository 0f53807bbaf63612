"""What a data set says about the network that is to be trained on it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from nestgen.arch.spec import NestSpec
from nestgen.errors import CheckpointError, DataError, OutputError
from nestgen.imaging.inventory import Inventory
from nestgen.imaging.pad import padded_size
from nestgen.training.state import Folder

LARGEST_PATCH = {1: 2**14, 2: 256, 3: 64}
"""Larger images are cut into patches of these sides unless the user names others, by
the number of axes."""
BATCH_SIZE = {1: 4, 2: 4, 3: 2}
"""Patches in a step unless the user names another, by the number of axes."""


def learning_rate_of(spec: NestSpec) -> float:
    """The peak rate: 3e-3 where each convolution is normed, the paper's 3e-4 where not.

    >>> learning_rate_of(NestSpec.preset("zhou2018"))
    0.0003
    """
    return 3e-4 if spec.block.norm == "none" else 3e-3


def patch_size(inventory: Inventory, multiples: Sequence[int]) -> tuple[int, ...]:
    """The patch for training: the images' size where one fits all, else the largest.

    Of images of several sizes it has height and width alike. Bounded by
    `LARGEST_PATCH`, and a multiple on each axis of what the network takes, at least
    two of them, so that the deepest row has pixels to norm by.

    >>> patch_size(Inventory(1, 3, (((100, 90), 1),), (0, 1)), (16, 16))
    (112, 96)
    """
    sides = [
        max(axis) for axis in zip(*(size for size, _ in inventory.sizes), strict=True)
    ]
    if len(inventory.sizes) > 1:
        sides[-2:] = [max(sides[-2:])] * len(sides[-2:])
    most = LARGEST_PATCH[inventory.dims]
    return padded_size([min(side, most) for side in sides], multiples)


def check_folder(folder: Path, resume: bool, force: bool) -> None:
    """Raise `OutputError` or `CheckpointError` unless a run may begin or go on."""
    files = Folder(folder)
    if resume and not files.last.exists():
        raise CheckpointError(f"{files.last}: is not there, so nothing can go on")
    there = [file for file in (files.last, files.model, files.log) if file.exists()]
    if there and not resume and not force:
        raise OutputError(
            f"{there[0]}: exists already; --resume goes on, --force begins again"
        )


def check_dims(inventory: Inventory, dims: int) -> None:
    """Raise `DataError` where the images have more axes or fewer than the network."""
    if inventory.dims != dims:
        raise DataError(
            f"dims: {dims} is not allowed, the images have {inventory.dims} axes"
        )


def check_classes(inventory: Inventory, classes: int) -> None:
    """Raise `DataError` where the masks hold labels that the network has not."""
    largest = max(inventory.values)
    if classes > 1 and largest >= classes:
        raise DataError(
            f"classes: {classes} is not allowed, the masks hold labels up to {largest}"
        )
