"""Sizes in words."""

from __future__ import annotations

from collections.abc import Sequence


def size_text(size: Sequence[int]) -> str:
    """A size as it is said everywhere here: the slowest axis first.

    >>> size_text((2, 3)), size_text((5, 2, 3))
    ('2x3', '5x2x3')
    """
    return "x".join(map(str, size))
