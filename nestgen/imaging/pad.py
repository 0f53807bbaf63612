"""Sizes that a network takes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def padded_size(size: tuple[int, int], multiple: int) -> tuple[int, int]:
    """The smallest height and width that are multiples and hold `size`, at least two.

    Two, since instance norm has nothing to norm by where a single pixel is left.

    >>> padded_size((33, 5), 16)
    (48, 32)
    """
    height, width = (max(2, -(-side // multiple)) * multiple for side in size)
    return height, width


def pad(image: NDArray[Any], multiple: int) -> NDArray[Any]:
    """`[C, H, W]` mirrored below and to the right up to `padded_size`.

    What it adds is cropped back by `[:, :H, :W]`.

    >>> pad(np.zeros((1, 3, 4)), 2).shape
    (1, 4, 4)
    """
    size = image.shape[1], image.shape[2]
    below, right = (
        to - side for to, side in zip(padded_size(size, multiple), size, strict=True)
    )
    return np.pad(image, ((0, 0), (0, below), (0, right)), mode="symmetric")
