"""Numbers as people read and write them."""

from __future__ import annotations

import re

PREFIXES = ["", "k", "M", "G", "T", "P"]
_AMOUNT = re.compile(r"(\d+(?:\.\d+)?) ?([kKMGTP]?)B?")


def scaled(number: float, unit: str = "") -> str:
    """A number with three digits and a decimal prefix.

    >>> scaled(36_166_800, "B"), scaled(4_184_506_368)
    ('36.2 MB', '4.18 G')
    """
    step = 0
    while abs(number) >= 999.5 and step < len(PREFIXES) - 1:
        number, step = number / 1000, step + 1
    digits = f"{number:.3g}" if step else f"{number:g}"
    return f"{digits} {PREFIXES[step]}{unit}".rstrip()


def unscaled(text: str) -> float:
    """The number that a text with a decimal prefix means; `ValueError` for others.

    >>> unscaled("36.2 MB"), unscaled("500k"), unscaled("128705")
    (36200000.0, 500000.0, 128705.0)
    """
    match = _AMOUNT.fullmatch(text)
    if match is None:
        raise ValueError(text)
    return float(match[1]) * 1000.0 ** PREFIXES.index(match[2].replace("K", "k"))
