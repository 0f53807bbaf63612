"""Numbers with three digits, for tables and legends."""

from __future__ import annotations


def scaled(number: float, unit: str = "") -> str:
    """A number with three digits and a decimal prefix.

    >>> scaled(36_166_800, "B"), scaled(4_184_506_368)
    ('36.2 MB', '4.18 G')
    """
    prefixes = ["", "k", "M", "G", "T", "P"]
    step = 0
    while abs(number) >= 999.5 and step < len(prefixes) - 1:
        number, step = number / 1000, step + 1
    digits = f"{number:.3g}" if step else f"{number:g}"
    return f"{digits} {prefixes[step]}{unit}".rstrip()
