"""An engine's SVG with what a screen reader tells, and without what nobody reads."""

from __future__ import annotations

import re
from xml.sax.saxutils import escape

from nestgen.drawing.figure import Figure

_UNREAD = re.compile(r"<!--.*?-->\n?|<!DOCTYPE.*?>\n?", re.S)
_NUMBERED = re.compile(r'(?<=<g) id="(?:graph|node|edge)\d+"')
"""Would be those of another drawing on the same page, too."""
_ROOT = re.compile(r"<svg\b[^>]*>\n?")


def told(svg: str, drawn: Figure) -> str:
    """`svg` with the figure's title and alt text as its own.

    >>> from nestgen.drawing.curves import Point
    >>> page = Point(0, 0), Point(1, 1)
    >>> print(told('<!-- x --><svg a="b"></svg>', Figure("T", "A <b>", page, (), ())))
    <svg role="img" a="b">
    <title>T</title>
    <desc>A &lt;b&gt;</desc>
    </svg>
    """
    bare = _NUMBERED.sub("", _UNREAD.sub("", svg))
    title, alt = _safe(drawn.title), _safe(drawn.alt)

    def opened(root: re.Match[str]) -> str:
        tag = root.group().rstrip().replace("<svg", '<svg role="img"', 1)
        return f"{tag}\n<title>{title}</title>\n<desc>{alt}</desc>\n"

    return _ROOT.sub(opened, bare, count=1)


def _safe(text: str) -> str:
    """`text` without what no XML file may hold."""
    return escape("".join(letter if letter.isprintable() else "?" for letter in text))
