"""Which pixels of one row a pixel of another reads, on one axis.

A reading takes the first and the last pixel of a span and gives those of the span that
they read. All are steps that never fall, so that the ends of a span are enough.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Pixels = Any
"""Positions on one axis: an integer, or an array of them."""


@dataclass(frozen=True)
class Span:
    """From `first` to `last`, both in it, in pixels of one row.

    >>> Span(4, 6).around(1), Span(4, 6).windows(2)
    (Span(first=3, last=7), Span(first=8, last=13))
    """

    first: Pixels
    last: Pixels

    def around(self, radius: int) -> Span:
        """What a convolution reads."""
        return Span(self.first - radius, self.last + radius)

    def windows(self, scale: int) -> Span:
        """What pooling by `scale` reads of the finer row."""
        return Span(self.first * scale, self.last * scale + scale - 1)

    def cells(self, scale: int) -> Span:
        """What a transposed convolution, or the nearest pixel, reads of the coarser.

        >>> Span(4, 6).cells(3)
        Span(first=1, last=2)
        """
        return Span(self.first // scale, self.last // scale)

    def samples(self, scale: int) -> Span:
        """What a linear interpolation without `align_corners` reads of the coarser.

        A pixel lies at (p + 1/2) / scale - 1/2 between two of them, or on one.

        >>> Span(0, 0).samples(2), Span(1, 1).samples(3)
        (Span(first=-1, last=0), Span(first=0, last=0))
        """
        first, last = (2 * end + 1 - scale for end in (self.first, self.last))
        return Span(first // (2 * scale), -(-last // (2 * scale)))

    def aligned_samples(self, scale: int) -> Span:
        """What a linear interpolation with `align_corners` may read of the coarser.

        Where a pixel lies depends on the size, and drifts across the image from
        p / scale to less than one pixel before it; that whole way is in the span.

        >>> Span(1, 1).aligned_samples(2)
        Span(first=0, last=1)
        """
        return Span((self.first - scale + 1) // scale, -(-self.last // scale))
