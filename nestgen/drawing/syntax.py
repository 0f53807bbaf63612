"""DOT's syntax: statements, quoted text, positions."""

from __future__ import annotations

from nestgen.drawing.curves import Curve, Point


class Html(str):
    """Markup of Graphviz's own, for a label; it is written as it is."""

    __slots__ = ()


def statement(subject: str, **attributes: str | float) -> str:
    """A statement about a node, an edge or a default.

    >>> statement("a -> b", color="red", penwidth=1.5)
    '  a -> b [color="red", penwidth="1.5"];'
    """
    pairs = ", ".join(f"{name}={_value(value)}" for name, value in attributes.items())
    return f"  {subject} [{pairs}];"


def quoted(text: str) -> str:
    r"""`text` as a quoted string of DOT.

    >>> print(quoted('5" wide'))
    "5\" wide"
    """
    return '"' + text.replace('"', '\\"') + '"'


def literal(text: str) -> str:
    r"""`text` for a label, so that what is shown is what was given, on one line.

    Labels know entities (&lt;) and escapes (\N, the name of the node): neither is
    left. What no XML file may hold becomes a question mark.

    >>> print(literal(r"a\N & b"))
    a\\N &amp; b
    """
    shown = "".join(letter if letter.isprintable() else "?" for letter in text)
    return shown.replace("\\", "\\\\").replace("&", "&amp;")


def at(point: Point) -> str:
    """A position, in points.

    >>> at(Point(1.0, -0.001))
    '1.00,0.00'
    """
    return f"{number(point.x)},{number(point.y)}"


def spline(curve: Curve) -> str:
    """The position of an edge that ends in an arrow head."""
    *path, tip = curve
    return f"e,{at(tip)} " + " ".join(at(point) for point in path)


def number(value: float) -> str:
    """A number with two digits after the point, and zero without a sign.

    >>> number(-0.001)
    '0.00'
    """
    return f"{round(value, 2) + 0.0:.2f}"


def _value(value: str | float) -> str:
    return f"<{value}>" if isinstance(value, Html) else quoted(str(value))
