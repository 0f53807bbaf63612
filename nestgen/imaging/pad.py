"""Sizes that a network takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


def padded_size(size: Sequence[int], multiples: Sequence[int]) -> tuple[int, ...]:
    """The smallest sides that are multiples, axis by axis, and hold `size`.

    At least two multiples a side, since instance norm has nothing to norm by where a
    single pixel is left.

    >>> padded_size((33, 5), (16, 16)), padded_size((3, 33, 5), (1, 16, 16))
    ((48, 32), (3, 48, 32))
    """
    return tuple(
        max(2, -(-side // multiple)) * multiple
        for side, multiple in zip(size, multiples, strict=True)
    )


def pad(image: NDArray[Any], size: Sequence[int]) -> NDArray[Any]:
    """`[C, *sides]` mirrored at the end of each axis, up to `size` where it is less.

    What it adds is cropped back by `crop`.

    >>> pad(np.zeros((1, 3, 4)), (4, 4)).shape
    (1, 4, 4)
    """
    sides = zip(size, image.shape[1:], strict=True)
    behind = [(0, max(0, to - side)) for to, side in sides]
    return np.pad(image, [(0, 0), *behind], mode="symmetric")


def crop(size: Sequence[int]) -> tuple[Any, ...]:
    """The index that takes `size` off the beginning of the last axes.

    >>> np.zeros((2, 4, 4))[crop((3, 4))].shape
    (2, 3, 4)
    """
    return (..., *map(slice, size))
