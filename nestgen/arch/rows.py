"""What a spec says row by row: one number for all rows, or one entry for each."""

from __future__ import annotations

from typing import Any

PerRow = int | tuple[int | tuple[int, ...], ...]
"""One number, or an entry for each row: a number, or one number for each axis."""

LARGEST = 64


def normal(value: Any, rows: int) -> Any:
    """The one way to write it: entries of equal numbers as one, equal rows as one.

    A list of one entry has it for all rows.

    What is no such value is left as it is, for the check to name.

    >>> normal([[2, 2], [2, 2]], 2), normal([[1, 2, 2], [2, 2, 2]], 2)
    (2, ((1, 2, 2), 2))
    """
    if not isinstance(value, (list, tuple)):
        return value
    entries = tuple(_entry(entry) for entry in value)
    if len(entries) == 1:
        entries *= rows
    same = len(entries) == rows and len(set(map(repr, entries))) == 1
    return entries[0] if same and type(entries[0]) is int else entries


def check(value: Any) -> PerRow:
    """`value`, or a `ValueError` that says what it may be."""
    entries = value if isinstance(value, tuple) else (value,)
    numbers = [
        number
        for entry in entries
        for number in (entry if isinstance(entry, tuple) else (entry,))
    ]
    if not numbers or not all(
        type(number) is int and 1 <= number <= LARGEST for number in numbers
    ):
        raise ValueError(
            f"a number from 1 to {LARGEST}, or a list of one entry for each row, "
            "each a number or a list of one for each axis"
        )
    whole: PerRow = value
    return whole


def per_row(value: PerRow, index: int, dims: int) -> tuple[int, ...]:
    """The entry of a row, one number for each axis.

    >>> per_row(2, 0, 2), per_row(((1, 2, 2), 2), 0, 3), per_row(((1, 2, 2), 2), 1, 3)
    ((2, 2), (1, 2, 2), (2, 2, 2))
    """
    entry = value[index] if isinstance(value, tuple) else value
    return entry if isinstance(entry, tuple) else (entry,) * dims


def problem(value: PerRow, rows: int, dims: int) -> str | None:
    """What is wrong with a value that is sound by itself, for so many rows and axes.

    >>> problem((2, 2), 3, 2)
    '2 given, one for all or 3 are allowed'
    """
    if not isinstance(value, tuple):
        return None
    if len(value) != rows:
        return f"{len(value)} given, one for all or {rows} are allowed"
    odd = [entry for entry in value if isinstance(entry, tuple) and len(entry) != dims]
    if odd:
        return f"{list(odd[0])} is not allowed, a number or {dims} of them"
    return None


def _entry(entry: Any) -> Any:
    if not isinstance(entry, (list, tuple)):
        return entry
    numbers = tuple(entry)
    ints = all(type(number) is int for number in numbers)
    return numbers[0] if ints and len(set(numbers)) == 1 else numbers
