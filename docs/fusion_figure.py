"""Make the picture of what is fused anew: `python docs/fusion_figure.py`.

Its numbers are of the first convolution of X[0,1]: a bar is as high as its tensor has
bytes, where the up-sampled input has the width of row 0, as in the paper.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple
from xml.sax.saxutils import escape

from nestgen.drawing.style import EDGES, INK, NODES

FILE = Path(__file__).parent / "fusion.svg"
WIDTH, HEIGHT = 720, 616
UNIT = 28
"""The height of a bar with as many bytes as X[0,0]."""
READ, WRITE, UP = EDGES["skip"].line, NODES["head"].line, EDGES["up"].line
PALE, GREY = "#f2f2f2", "#8c8c8c"
TITLE = "A node as it is written, fused, and the slots of its row"
ALT = (
    "Three parts. As written, the first convolution of X[0,1] takes five kernels: "
    "X[1,0] is up-sampled and "
    "written, concatenated with X[0,0] and written, convolved and written, normed and "
    "written, activated and written; {before:g} times the bytes of X[0,0] are moved. "
    "Fused, one kernel reads X[1,0] and X[0,0] where they lie and writes the result "
    "once; {after:g} times the bytes are moved. Below, the slots of row 0: X[0,j] "
    "reads the slots 0 to j-1 in place, and X[1,j-1] from the row below, and writes "
    "slot j."
)
DEPTH = 4


class Bar(NamedTuple):
    """A tensor in memory: where, how large beside X[0,0], and its colour's key."""

    name: str
    x: int
    size: float
    look: str = "nested"


class Step(NamedTuple):
    """A kernel, the bars that it reads, and the one that it writes."""

    name: str
    x: int
    width: int
    reads: tuple[Bar, ...]
    writes: Bar

    @property
    def moved(self) -> float:
        """Bytes that it reads and writes, beside those of X[0,0]."""
        return sum(bar.size for bar in (*self.reads, self.writes))


def written() -> list[Step]:
    """A node's first half, a kernel for each operation."""
    low, skip = Bar("X[1,0]", 90, 0.5, "encoder"), Bar("X[0,0]", 250, 1, "encoder")
    up, cat = Bar("up-sampled", 180, 1), Bar("concatenated", 345, 2)
    sums, normed = Bar("sums", 440, 1), Bar("normed", 530, 1)
    result = Bar("conv 1 of X[0,1]", 640, 1)
    return [
        Step("up", 135, 50, (low,), up),
        Step("cat", 290, 50, (up, skip), cat),
        Step("conv", 392, 50, (cat,), sums),
        Step("norm", 485, 50, (sums,), normed),
        Step("act", 585, 50, (normed,), result),
    ]


def fused() -> list[Step]:
    """The same in one kernel."""
    low, skip = Bar("X[1,0]", 280, 0.5, "encoder"), Bar("X[0,0]", 350, 1, "encoder")
    result = Bar("conv 1 of X[0,1]", 500, 1)
    return [Step("up, cat, conv, norm, act", 390, 260, (low, skip), result)]


def total(steps: Iterable[Step]) -> float:
    """What they move, beside the bytes of X[0,0].

    >>> total(written()), total(fused())
    (12.5, 2.5)
    """
    return sum(step.moved for step in steps)


def rectangle(
    x: float, y: float, width: float, height: float, fill: str, line: str = "none"
) -> str:
    return (
        f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="3" '
        f'fill="{fill}" stroke="{line}"/>'
    )


def words(
    x: float, y: float, text: str, size: int = 11, anchor: str = "middle",
    colour: str = INK, weight: str = "normal",
) -> str:  # fmt: skip
    return (
        f'<text x="{x:g}" y="{y:g}" font-size="{size}" text-anchor="{anchor}" '
        f'fill="{colour}" font-weight="{weight}">{escape(text)}</text>'
    )


def arrow(start: tuple[float, float], end: tuple[float, float], kind: str) -> str:
    """A read or a write, of one of the markers' names."""
    colour = {"read": READ, "write": WRITE}[kind]
    return (
        f'<line x1="{start[0]:g}" y1="{start[1]:g}" x2="{end[0]:g}" y2="{end[1]:g}" '
        f'stroke="{colour}" stroke-width="1.6" marker-end="url(#{kind})"/>'
    )


def marker(name: str, colour: str) -> str:
    return (
        f'<marker id="{name}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="6" '
        f'markerHeight="6" orient="auto"><path d="M0,0L8,4L0,8z" fill="{colour}"/>'
        "</marker>"
    )


def lanes(top: float, title: str, steps: Sequence[Step]) -> list[str]:
    """Bars in memory, kernels below them, and what each reads and writes."""
    floor, kernels = top + 104, top + 138
    bars = {bar for step in steps for bar in (*step.reads, step.writes)}
    parts = [
        words(20, top, title, 14, "start", weight="bold"),
        words(700, top, f"{total(steps):g} times X[0,0] is moved", 12, "end"),
        rectangle(20, top + 14, 680, 92, PALE),
        words(28, top + 30, "memory", 11, "start", GREY),
        words(28, kernels + 16, "kernels", 11, "start", GREY),
    ]
    for bar in sorted(bars, key=lambda bar: bar.x):
        height = UNIT * bar.size
        fill = NODES[bar.look].fill
        parts.append(rectangle(bar.x - 20, floor - height, 40, height, fill, INK))
        parts.append(words(bar.x, floor - height - 5, bar.name))
    for step in steps:
        left = step.x - step.width / 2
        parts.append(rectangle(left, kernels, step.width, 26, "#ffffff", INK))
        parts.append(words(step.x, kernels + 17, step.name, 12))
        for index, bar in enumerate(step.reads):
            at = min(max(bar.x, left + 8 + 12 * index), step.x)
            parts.append(arrow((bar.x, floor + 4), (at, kernels - 2), "read"))
        at = max(min(step.writes.x, left + step.width - 8), step.x)
        parts.append(arrow((at, kernels - 2), (step.writes.x, floor + 4), "write"))
    return parts


def slots(top: float) -> list[str]:
    """Who reads and who writes which slot of row 0."""
    first, pitch = 300, 84
    parts = [
        words(20, top, "The slots of row 0, and who reads them", 14, "start",
              weight="bold"),
        rectangle(first - 44, top + 14, pitch * (DEPTH + 1) + 4, 46, PALE),
        words(700, top, "[slot, N, H, W, C]", 12, "end"),
        words(20, top + 41, "memory", 11, "start", GREY),
        words(200, top + 41, "row 1"),
    ]  # fmt: skip
    for j in range(DEPTH + 1):
        fill = NODES["encoder" if j == 0 else "nested"].fill
        x = first + pitch * j
        parts.append(rectangle(x - 38, top + 20, 76, 34, fill, INK))
        parts.append(words(x, top + 41, f"X[0,{j}]"))
    for j in range(1, DEPTH + 1):
        y = top + 58 + 26 * j
        parts.append(words(20, y + 4, f"the kernels of X[0,{j}]", 11, "start"))
        parts.append(words(200, y + 4, f"X[1,{j - 1}]", colour=UP))
        parts.append(dot(232, y, UP))
        parts += [dot(first + pitch * k, y, READ) for k in range(j)]
        parts.append(rectangle(first + pitch * j - 7, y - 7, 14, 14, WRITE))
    return parts


def dot(x: float, y: float, colour: str) -> str:
    return f'<circle cx="{x:g}" cy="{y:g}" r="6" fill="{colour}"/>'


def legend(y: float) -> list[str]:
    """What the marks mean."""
    return [
        dot(210, y, UP),
        words(222, y + 4, "up-sampled as it is read", 11, "start"),
        dot(390, y, READ),
        words(402, y + 4, "read in place", 11, "start"),
        rectangle(503, y - 7, 14, 14, WRITE),
        words(523, y + 4, "written, once", 11, "start"),
    ]


def figure() -> str:
    """The picture as SVG."""
    alt = ALT.format(before=total(written()), after=total(fused()))
    parts = [
        f"<title>{escape(TITLE)}</title>",
        f"<desc>{escape(alt)}</desc>",
        f"<defs>{marker('read', READ)}{marker('write', WRITE)}</defs>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        *lanes(28, "As it is written: a kernel for each operation", written()),
        *lanes(218, "Fused: one kernel, the norm folded into its weights", fused()),
        *slots(410),
        *legend(HEIGHT - 14),
    ]
    root = (
        f'<svg role="img" xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" '
        f'height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'font-family="Helvetica, Arial, sans-serif">'
    )
    return "\n".join([root, *parts, "</svg>"]) + "\n"


def main(file: Path = FILE) -> None:
    """Write the picture."""
    file.write_text(figure(), encoding="utf-8")


if __name__ == "__main__":
    main()
