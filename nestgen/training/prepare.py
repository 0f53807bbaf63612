"""What a data set says about the network that is to be trained on it."""

from __future__ import annotations

from pathlib import Path

from nestgen.arch.spec import NestSpec
from nestgen.errors import CheckpointError, DataError, OutputError, SettingsError
from nestgen.imaging.inventory import Inventory
from nestgen.imaging.pad import padded_size
from nestgen.training.state import Folder

LARGEST_PATCH = 256
"""Larger images are cut into patches of this side unless the user names another."""


def learning_rate_of(spec: NestSpec) -> float:
    """The peak rate: 3e-3 where each convolution is normed, the paper's 3e-4 where not.

    >>> learning_rate_of(NestSpec.preset("zhou2018"))
    0.0003
    """
    return 3e-4 if spec.block.norm == "none" else 3e-3


def patch_size(inventory: Inventory, depth: int) -> tuple[int, int]:
    """The patch for training: the images' size where one fits all, or a square.

    A multiple of 2^depth, at least two of them, so that the deepest row has pixels
    to norm by.

    >>> patch_size(Inventory(1, 3, (((100, 90), 1),), (0, 1)), depth=4)
    (112, 96)
    """
    height, width = inventory.sizes[0][0]
    if len(inventory.sizes) > 1:
        height = width = max(max(size) for size, _ in inventory.sizes)
    size = min(height, LARGEST_PATCH), min(width, LARGEST_PATCH)
    return padded_size(size, (2**depth,) * 2)


def check_patch(patch: tuple[int, int], depth: int) -> None:
    """Raise `SettingsError` unless a network of `depth` takes patches of this size.

    >>> check_patch((96, 96), 4)
    """
    if patch != padded_size(patch, (2**depth,) * 2):
        raise SettingsError(
            f"patch: {patch[0]}x{patch[1]} is not allowed, multiples of {2**depth} "
            f"from {2 ** (depth + 1)} on"
        )


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


def check_classes(inventory: Inventory, classes: int) -> None:
    """Raise `DataError` where the masks hold labels that the network has not."""
    largest = max(inventory.values)
    if classes > 1 and largest >= classes:
        raise DataError(
            f"classes: {classes} is not allowed, the masks hold labels up to {largest}"
        )
