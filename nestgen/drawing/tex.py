"""TeX's syntax: the typed filters of the template, and text that stays text."""

from __future__ import annotations

import re
import unicodedata

from nestgen.codegen.expressions import Code
from nestgen.drawing.curves import Point
from nestgen.drawing.syntax import number
from nestgen.errors import DrawingError

_MARKS = {
    "\\": r"\textbackslash{}",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "`": r"\textasciigrave{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "''",
    "-": "-{}",
    "\N{MULTIPLICATION SIGN}": r"$\times$",
    "ᵉ": r"\textsuperscript{e}",
    "…": r"\dots{}",
    "\N{EN DASH}": "--",
    "—": "---",
    "ß": r"\ss{}",
    "æ": r"\ae{}",
    "Æ": r"\AE{}",
    "ø": r"\o{}",
    "Ø": r"\O{}",
    "œ": r"\oe{}",
    "Œ": r"\OE{}",
    "ł": r"\l{}",
    "Ł": r"\L{}",
    "µ": r"$\mu$",
    **{letter: "\\" + letter for letter in "{}$&#%_"},
}

_ACCENTS = {
    "\u0300": "`",
    "\u0301": "'",
    "\u0302": "^",
    "\u0303": "~",
    "\u0304": "=",
    "\u0306": "u",
    "\u0307": ".",
    "\u0308": '"',
    "\u030a": "r",
    "\u030b": "H",
    "\u030c": "v",
    "\u0327": "c",
}


def tex(value: object) -> Code:
    r"""One line of text, set as it is by any TeX; `DrawingError` for what none has.

    >>> print(tex(r"50 % of \a, é"))
    50 \% of \textbackslash{}a, \'{e}
    """
    return Code("".join(_set(letter) for letter in str(value)))


def colour(value: str) -> Code:
    """The name of a colour.

    >>> colour("#0072b2")
    'c0072b2'
    """
    return Code("c" + hexadecimal(value).lower())


def hexadecimal(value: str) -> Code:
    """A colour as xcolor's HTML model writes it.

    >>> hexadecimal("#0072b2")
    '0072B2'
    """
    found = re.fullmatch(r"#([0-9a-f]{6})", value)
    if found is None:
        raise DrawingError(f"{value!a} is no colour, #0072b2 is")
    return Code(found[1].upper())


def length(value: float) -> Code:
    """A length in PostScript's points.

    >>> length(1.5)
    '1.50bp'
    """
    return Code(number(value) + "bp")


def place(point: Point) -> Code:
    """A place in the picture.

    >>> place(Point(1.0, -0.001))
    '(1.00,0.00)'
    """
    return Code(f"({number(point.x)},{number(point.y)})")


def _set(letter: str) -> str:
    if letter in _MARKS:
        return _MARKS[letter]
    if letter.isascii():
        return letter if letter.isprintable() else "?"
    base, *accents = list(unicodedata.normalize("NFD", letter))
    if base.isascii() and len(accents) == 1 and accents[0] in _ACCENTS:
        return rf"\{_ACCENTS[accents[0]]}{{{base}}}"
    raise DrawingError(f"{letter!a} cannot be set in TeX, Latin letters and ASCII can")
