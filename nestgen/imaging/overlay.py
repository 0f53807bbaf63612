"""The contours of labels, drawn on their image."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nestgen.errors import DataError

# Okabe and Ito, Color Universal Design (2008), without black: it shows on nothing dark.
COLOURS = (
    (230, 159, 0),  # orange
    (86, 180, 233),  # sky blue
    (0, 158, 115),  # bluish green
    (240, 228, 66),  # yellow
    (0, 114, 178),  # blue
    (213, 94, 0),  # vermilion
    (204, 121, 167),  # reddish purple
)
_LARGE = 512  # pixels on the shorter side, from which a line is two pixels wide


def overlay(pixels: NDArray[Any], labels: NDArray[Any]) -> NDArray[np.uint8]:
    """Draw the contour of each class on its image; returns uint8 `[H, W, 3]`.

    `pixels` `[C, H, W]` is an image as `read_pixels` gives it: shown are its first
    three channels or its first one, scaled to 8 bits between the 0.5 and 99.5
    percentiles of them all. `labels` `[H, W]` are indices; 0 is background. Of a
    volume, `[C, D, H, W]` and `[D, H, W]`, the plane with the most labels is drawn. A
    contour lies inside its object and is two pixels wide on large images; its
    colour is one of seven that the colour-blind tell apart. Raises `DataError`
    where the sizes differ.

    >>> labels = np.zeros((5, 5), int)
    >>> labels[1:4, 1:4] = 1
    >>> overlay(np.zeros((1, 5, 5)), labels)[1, :, 0]
    array([  0, 230, 230, 230,   0], dtype=uint8)
    """
    if labels.ndim not in (2, 3) or pixels.shape[1:] != labels.shape:
        raise DataError(
            f"labels of shape {labels.shape} for an image of shape {pixels.shape}"
        )
    if labels.ndim == 3:
        plane = _fullest_plane(labels)
        pixels, labels = pixels[:, plane], labels[plane]
    picture = _to_8_bits(pixels[:3] if len(pixels) >= 3 else pixels[:1])
    contour = _contour(labels, 2 if min(labels.shape) >= _LARGE else 1)
    picture[contour] = np.array(COLOURS, np.uint8)[
        (labels[contour].astype(np.int64) - 1) % len(COLOURS)
    ]
    return picture


def _fullest_plane(labels: NDArray[Any]) -> int:
    """The plane along D with the most labels; the middle one where there are none."""
    full = np.count_nonzero(labels, axis=(1, 2))
    return int(full.argmax()) if full.any() else len(full) // 2


def _to_8_bits(shown: NDArray[Any]) -> NDArray[np.uint8]:
    low, high = (float(value) for value in np.percentile(shown, (0.5, 99.5)))
    if low == high:
        low, high = float(shown.min()), float(shown.max())
    span = high - low or 1.0
    share = np.clip((shown.astype(np.float64) - low) / span, 0, 1)
    grey = np.rint(share * 255).astype(np.uint8)
    planes = np.broadcast_to(grey, (3, *grey.shape[1:]))
    return planes.transpose(1, 2, 0).copy()


def _contour(labels: NDArray[Any], width: int) -> NDArray[np.bool_]:
    """Pixels of an object at most `width` steps away from another label."""
    line = _beside(labels[1:] != labels[:-1], labels[:, 1:] != labels[:, :-1])
    for _ in range(width - 1):
        line |= _beside(line[1:] | line[:-1], line[:, 1:] | line[:, :-1])
    line &= labels != 0
    return line


def _beside(rows: NDArray[np.bool_], columns: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The pixels on both sides of what is marked between neighbours."""
    found = np.zeros((columns.shape[0], rows.shape[1]), bool)
    found[1:] |= rows
    found[:-1] |= rows
    found[:, 1:] |= columns
    found[:, :-1] |= columns
    return found
