"""The levels as a picture: what quality costs."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nestgen.errors import OutputError
from nestgen.files import write_whole
from nestgen.imaging.size import size_text
from nestgen.training.levels import Level, Report

KEPT, OTHER, INK = "#0072B2", "#8A8A8A", "#222222"
SUFFIXES = (".png", ".svg", ".pdf")


def plot_levels(report: Report, path: str | os.PathLike[str]) -> None:
    """Draw IoU against time and against parameters, the chosen level in colour.

    `path` ends in .png, .svg or .pdf. Points are the mean IoU over images; bars are
    the 95 % interval of the difference to the best level, put at the level's mean: a
    bar that reaches the dashed line is a level that may well be as good.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure
    from matplotlib.ticker import NullFormatter

    check_suffix(path)
    with mpl.rc_context({"font.size": 10, "svg.hashsalt": "nestgen"}):
        figure = Figure(figsize=(9, 3.8), layout="constrained")
        left, right = figure.subplots(1, 2, sharey=True)
        batch = report.levels[0].batch_size
        timed = "image" if report.levels[0].windows == 1 else "window"
        _panel(left, report, [1000 * level.seconds / batch for level in report.levels])
        left.set_xlabel(f"milliseconds per {timed} of {size_text(report.size)}")
        left.set_ylabel(f"IoU, mean over {report.images} images")
        left.margins(x=0.12)
        left.set_xlim(left=0)
        _panel(right, report, [level.cost.parameters for level in report.levels])
        right.set_xlabel("parameters")
        right.set_xscale("log")
        right.margins(x=0.12)
        right.xaxis.set_minor_formatter(NullFormatter())
        figure.suptitle(_headline(report), fontsize=11, color=INK)
        meaning = "bars: 95 % interval of the difference to the best level"
        figure.supxlabel(meaning, fontsize=8, color=OTHER)
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


def _headline(report: Report) -> str:
    kept, best = (
        next(item for item in report.levels if item.level == level)
        for level in (report.choice.level, report.choice.best)
    )
    if kept.level == best.level:
        return (
            f"L{best.level} is the best level, and no smaller one is within tolerance"
        )
    return (
        f"L{kept.level} is enough: within {report.choice.tolerance:g} of "
        f"L{best.level}'s IoU, {best.cost.parameters / kept.cost.parameters:.1f} times "
        f"smaller, {best.seconds / kept.seconds:.1f} times faster"
    )


def _panel(axes: Any, report: Report, xs: Sequence[float]) -> None:
    choice = report.choice
    best = max(level.scores.mean_iou for level in report.levels)
    axes.axhline(best, color=OTHER, linewidth=0.8, linestyle=(0, (4, 4)), zorder=0)
    axes.plot(xs, [level.scores.mean_iou for level in report.levels], color="#CCCCCC")
    for x, level in zip(xs, report.levels, strict=True):
        colour = KEPT if level.level == choice.level else OTHER
        _point(axes, x, level, best, report, colour)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(colors=INK)
    axes.grid(axis="y", color="#EEEEEE", zorder=-1)
    axes.margins(y=0.15)


def _point(
    axes: Any, x: float, level: Level, best: float, report: Report, colour: str
) -> None:
    iou = level.scores.mean_iou
    difference = report.choice.differences[level.level]
    reach = [[iou - best - difference.low], [difference.high - (iou - best)]]
    bars = [[max(0.0, side) for side in end] for end in reach]
    axes.errorbar(x, iou, yerr=bars, fmt="o", color=colour, markersize=8, capsize=3)
    axes.annotate(
        f"L{level.level}",
        (x, iou),
        textcoords="offset points",
        xytext=(9, -13),
        color=colour,
        weight="bold" if level.level == report.choice.level else "normal",
    )
