"""Masks: label indices in files, and the classes that they mean."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nestgen.errors import DataError, OutputError
from nestgen.imaging.picture import open_picture
from nestgen.imaging.png import write_png
from nestgen.imaging.volume import write_volume

MAX_CLASSES = 64


def read_mask(path: str | os.PathLike[str]) -> NDArray[Any]:
    """Read the label indices of a mask as they are stored.

    Returns `[H, W]`, or `[D, H, W]` of a volume, uint8 where the file has 8 bits or
    fewer and int64 else: the values of a grey file, the indices of a palette, 0 and 1
    of a file of one bit.
    Raises `DataError` for a file that cannot be read, for colours that are not
    grey, for fractions and for negative labels.
    """
    with open_picture(path) as picture:
        planes = picture.indices()
        colours = planes[:-1] if picture.has_alpha else planes
        if (colours != colours[0]).any():
            raise DataError("a colour mask; give label indices, one grey value a class")
        return _labels(colours[0])


def write_mask(
    path: str | os.PathLike[str],
    labels: NDArray[Any],
    classes: int | None = None,
    like: str | os.PathLike[str] | None = None,
) -> None:
    """Write labels as a grey image or a volume, whole or not at all.

    `[H, W]` is written as .png, `[D, H, W]` as a file that `write_volume` writes, a
    NIfTI file in the space of the image `like`. A binary mask (`classes` 1, or unknown
    and no label above 1) is written as 0 and 255, else the label indices themselves,
    in 16 bits where a label is above 255. Raises `DataError` for labels that are no
    indices below 65536, `OutputError` for a file of another name, and for one that
    cannot be written.

    >>> import tempfile
    >>> path = tempfile.mkdtemp() + "/mask.png"
    >>> write_mask(path, np.array([[0, 1, 2]]))
    >>> read_mask(path)
    array([[0, 1, 2]], dtype=uint8)
    """
    if labels.ndim not in (2, 3) or not labels.size:
        raise DataError(
            f"labels of shape {labels.shape}; a mask is [H, W] or [D, H, W]"
        )
    if labels.ndim == 2 and Path(path).suffix.lower() != ".png":
        raise OutputError(f"{os.fspath(path)}: a mask is written as a .png file")
    grey = _grey(labels, classes)
    if labels.ndim == 2:
        write_png(path, grey)
    else:
        write_volume(path, grey, like)


def _grey(labels: NDArray[Any], classes: int | None) -> NDArray[Any]:
    indices = _labels(labels)
    largest = int(indices.max())
    if largest > 65535:
        raise DataError(f"label {largest}: a mask holds 0 to 65535")
    if classes == 1 or (classes is None and largest <= 1):
        indices = np.where(indices != 0, 255, 0)
    return indices.astype(np.uint8 if indices.max() <= 255 else np.uint16)


def classes_of(values: Iterable[int]) -> int:
    """The number of output channels that label values ask for.

    One nonzero value at most is a binary mask: 1. Else the values are label
    indices 0..K-1: K, the largest plus one. Raises `DataError` above 64.

    >>> classes_of({0, 255}), classes_of({0, 1, 2})
    (1, 3)
    """
    labels = sorted(set(values))
    if len([label for label in labels if label]) <= 1:
        return 1
    if labels[-1] >= MAX_CLASSES:
        shown = ", ".join(map(str, labels[:6])) + (", ..." if len(labels) > 6 else "")
        raise DataError(
            f"label values {shown} up to {labels[-1]}: masks hold 0 and one other "
            f"value (binary), or label indices 0 to {MAX_CLASSES - 1}"
        )
    return labels[-1] + 1


def labels_for(labels: NDArray[Any], classes: int) -> NDArray[np.uint8]:
    """Labels of any shape as a network of `classes` output channels is trained on them.

    Binary (1): whatever is not zero is 1. Else the labels themselves; a label that
    is not below `classes` is a `DataError`.

    >>> labels_for(np.array([[0, 255]]), 1)
    array([[0, 1]], dtype=uint8)
    """
    if classes == 1:
        return np.where(labels != 0, np.uint8(1), np.uint8(0))
    largest = int(labels.max(initial=0))
    if largest >= classes:
        raise DataError(f"label {largest}: the network has classes 0 to {classes - 1}")
    return labels.astype(np.uint8)


def _labels(values: NDArray[Any]) -> NDArray[Any]:
    if values.dtype.kind not in "bui":
        raise DataError(f"labels of type {values.dtype}; labels are whole numbers")
    if values.min() < 0:
        raise DataError(f"label {values.min()}; labels are 0 or more")
    return values.astype(np.uint8 if values.dtype.itemsize == 1 else np.int64)
