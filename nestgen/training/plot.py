"""The levels as a picture: what quality costs."""

from __future__ import annotations

import io
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nestgen.errors import OutputError
from nestgen.files import write_whole
from nestgen.imaging.size import size_text
from nestgen.training.levels import Level, Report

KEPT, OTHER, INK = "#0072B2", "#8A8A8A", "#222222"
LOOKS: dict[bool, tuple[str, tuple[int, int], str]] = {
    False: ("o", (-7, 6), "right"),
    True: ("D", (9, -13), "left"),
}
"""Of one head and of the mean of several: the marker, and where the name stands."""
SUFFIXES = (".png", ".svg", ".pdf")


def plot_levels(report: Report, path: str | os.PathLike[str]) -> None:
    """Draw the score against time and against parameters, the chosen level in colour.

    `path` ends in .png, .svg or .pdf. Points are means over images. A level is on the
    Pareto front, its point filled and on the line, where none that costs no more is
    better. The band is the margin below the best; bars are the bounds of the
    difference to the best, put at the best: a level whose bar stays in the band is
    shown to be non-inferior.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure
    from matplotlib.ticker import NullFormatter

    check_suffix(path)
    with mpl.rc_context({"font.size": 10, "svg.hashsalt": "nestgen"}):
        figure = Figure(figsize=(9, 4), layout="constrained")
        left, right = figure.subplots(1, 2, sharey=True)
        batch = report.levels[0].batch_size
        timed = "image" if report.levels[0].windows == 1 else "window"
        _panel(left, report, [1000 * level.seconds / batch for level in report.levels])
        left.set_xlabel(f"milliseconds per {timed} of {size_text(report.size)}")
        left.set_ylabel(f"{report.rule.score_name}, mean over {report.images} images")
        left.set_xlim(left=0)
        _panel(right, report, [level.cost.parameters for level in report.levels])
        right.set_xlabel("parameters")
        right.set_xscale("log")
        right.xaxis.set_minor_formatter(NullFormatter())
        figure.suptitle(_headline(report), fontsize=11, color=INK)
        figure.supxlabel(_legend(report), fontsize=8, color=OTHER)
        write_figure(figure, path)


def write_figure(figure: Any, path: str | os.PathLike[str]) -> None:
    """Write matplotlib's figure to `path`; the same figure gives the same bytes."""
    suffix = check_suffix(path)
    buffer = io.BytesIO()
    undated = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}, ".png": None}
    figure.savefig(buffer, format=suffix[1:], dpi=160, metadata=undated[suffix])
    write_whole(path, buffer.getvalue())


def check_suffix(path: str | os.PathLike[str]) -> str:
    """The suffix of `path`; `OutputError` if a plot cannot be written there.

    >>> check_suffix("levels.svg")
    '.svg'
    """
    suffix = Path(path).suffix
    if suffix not in SUFFIXES:
        raise OutputError(f"{path}: a plot is one of {', '.join(SUFFIXES)}")
    return suffix


def pareto_front(costs: Sequence[float], scores: Sequence[float]) -> list[int]:
    """The places that no other beats in one and equals or beats in the other.

    From the cheapest.

    >>> pareto_front([1, 2, 3, 3], [0.7, 0.6, 0.8, 0.9])
    [0, 3]
    """
    front: list[int] = []
    for place in sorted(range(len(costs)), key=lambda i: (costs[i], -scores[i])):
        if not front or scores[place] > scores[front[-1]]:
            front.append(place)
    return front


def _headline(report: Report) -> str:
    choice, kept = report.choice, report.chosen
    best = report.level(choice.best)
    if report.held_out is not None:
        return (
            f"{kept.name} was chosen by {choice.images} other images; on these it is "
            f"{report.held_out[kept.name].verdict(choice.margin)}"
        )
    if kept is best:
        return f"{best.name} is kept: nothing cheaper is shown to be as good"
    smaller = best.cost.parameters / kept.cost.parameters
    return (
        f"{kept.name} is enough: shown to be within {choice.margin:g} of the best "
        f"{report.rule.score_name}, {smaller:.1f} times smaller than {best.name}, "
        f"{best.seconds / kept.seconds:.1f} times faster"
    )


def _legend(report: Report) -> str:
    words = [
        "line: Pareto front",
        f"band: {report.choice.margin:g} below the best that may be chosen",
        f"bars: {report.choice.confidence:.0%} bounds of the difference to it",
    ]
    if any(len(level.heads) > 1 for level in report.levels):
        words.append("diamonds: means of several heads")
    return " · ".join(words)


def _panel(axes: Any, report: Report, xs: Sequence[float]) -> None:
    scores = [report.score(level) for level in report.levels]
    front = pareto_front(xs, scores)
    best = max(report.score(report.level(name)) for name in report.differences)
    band = {"color": KEPT, "alpha": 0.08, "linewidth": 0, "zorder": 0}
    axes.axhspan(best - report.choice.margin, best, **band)
    ends = [[line[place] for place in front] for line in (xs, scores)]
    axes.plot(*ends, color="#BBBBBB", drawstyle="steps-post", zorder=1)
    for place, level in enumerate(report.levels):
        _bars(axes, xs[place], level, best, report)
        _point(axes, xs[place], level, report, place in front)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(colors=INK)
    axes.grid(axis="y", color="#EEEEEE", zorder=-1)
    axes.margins(x=0.14, y=0.15)


def _bars(axes: Any, x: float, level: Level, best: float, report: Report) -> None:
    """Nothing where the images tell no bounds, or the level was not compared."""
    found = report.differences.get(level.name)
    if found is None or level.name == report.choice.best:
        return
    low, high = best + found.low, best + found.high
    if math.isfinite(low) and math.isfinite(high):
        score = report.score(level)
        reach = [[max(0.0, score - low)], [max(0.0, high - score)]]
        style = {"ecolor": _colour(level, report), "capsize": 3, "zorder": 2}
        axes.errorbar(x, score, yerr=reach, fmt="none", **style)


def _point(axes: Any, x: float, level: Level, report: Report, front: bool) -> None:
    colour, kept = _colour(level, report), level is report.chosen
    marker, offset, side = LOOKS[len(level.heads) > 1]
    axes.plot(
        x,
        report.score(level),
        marker=marker,
        color=colour,
        markerfacecolor=colour if front else "white",
        markersize=8,
        zorder=3,
    )
    axes.annotate(
        level.name,
        (x, report.score(level)),
        textcoords="offset points",
        xytext=offset,
        horizontalalignment=side,
        color=colour,
        weight="bold" if kept else "normal",
    )


def _colour(level: Level, report: Report) -> str:
    return KEPT if level is report.chosen else OTHER
