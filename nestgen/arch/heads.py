"""Heads in words: L2 is one of them, L1-3 are three."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from nestgen.arch.choices import Mode

Heads = tuple[int, ...]
"""The levels of heads that answer together, from the lowest."""

_RUN = re.compile(r"L?(\d{1,2})(?:-L?(\d{1,2}))?")


def heads_name(heads: Iterable[int]) -> str:
    """How the heads are called together.

    >>> heads_name([2]), heads_name([1, 2, 3]), heads_name([1, 2, 4])
    ('L2', 'L1-3', 'L1-2,4')
    """
    runs: list[list[int]] = []
    for head in sorted(heads):
        if runs and head == runs[-1][-1] + 1:
            runs[-1].append(head)
        else:
            runs.append([head])
    parts = [f"{run[0]}-{run[-1]}" if len(run) > 1 else f"{run[0]}" for run in runs]
    return f"L{','.join(parts)}"


def read_heads(text: str) -> Heads:
    """The heads that a name means, with its L or without; `ValueError` for others.

    >>> read_heads("L2"), read_heads("1-3"), read_heads("1,3")
    ((2,), (1, 2, 3), (1, 3))
    """
    found: set[int] = set()
    for part in text.split(","):
        run = _RUN.fullmatch(part)
        if run is None:
            raise ValueError(text)
        first = int(run[1])
        found |= set(range(first, int(run[2] or first) + 1))
    if not found:
        raise ValueError(text)
    return tuple(sorted(found))


def answering(heads: Sequence[int], mode: Mode) -> Heads:
    """Of a network's heads, those whose probabilities are its answer.

    >>> answering([1, 2, 3], "fast"), answering([1, 2, 3], "accurate")
    ((3,), (1, 2, 3))
    """
    return tuple(heads) if mode == "accurate" else (heads[-1],)
