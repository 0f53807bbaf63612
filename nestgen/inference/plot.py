"""What quality costs as a picture: the fixed levels, the rule and the oracle."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from typing import Any

from nestgen.files import write_whole
from nestgen.inference.tradeoff import Kind, Way
from nestgen.training.plot import INK, KEPT, OTHER, check_suffix

LOOKS: dict[Kind, dict[str, Any]] = {
    "rule": {"color": KEPT, "marker": "D", "weight": "bold", "place": (8, -14)},
    "oracle": {"color": INK, "marker": "*", "weight": "normal", "place": (-12, 10)},
    "fixed": {"color": OTHER, "marker": "o", "weight": "normal", "place": (-7, 9)},
}


def plot_ways(
    ways: Sequence[Way], path: str | os.PathLike[str], title: str, loss: float
) -> None:
    """Draw IoU against MACs and against time; below the dashed line, more is lost than
    `loss` against the last level.

    `path` ends in .png, .svg or .pdf.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    suffix = check_suffix(path)
    with mpl.rc_context({"font.size": 10, "svg.hashsalt": "nestgen"}):
        figure = Figure(figsize=(9, 3.8), layout="constrained")
        left, right = figure.subplots(1, 2, sharey=True)
        allowed = max(way.iou + way.loss for way in ways) - loss
        for axes, xs, label in (
            (
                left,
                [way.macs / 1e6 for way in ways],
                "million MACs per image, on average",
            ),
            (right, [way.milliseconds for way in ways], "milliseconds per image"),
        ):
            _panel(axes, ways, xs, allowed)
            axes.set_xlabel(label)
        left.set_ylabel("IoU, mean over images")
        figure.suptitle(title, fontsize=11, color=INK)
        meaning = f"dashed: {loss:g} of IoU below the last level, what may be lost"
        figure.supxlabel(meaning, fontsize=8, color=OTHER)
        buffer = io.BytesIO()
        undated = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}, ".png": None}
        figure.savefig(buffer, format=suffix[1:], dpi=160, metadata=undated[suffix])
    write_whole(path, buffer.getvalue())


def _panel(axes: Any, ways: Sequence[Way], xs: Sequence[float], allowed: float) -> None:
    axes.axhline(allowed, color=OTHER, linewidth=0.8, linestyle=(0, (4, 4)), zorder=0)
    for kind, colour in (("fixed", "#CCCCCC"), ("rule", "#A9CFE5")):
        line = [(x, w.iou) for x, w in zip(xs, ways, strict=True) if w.kind == kind]
        axes.plot(*zip(*line, strict=True), color=colour, zorder=1)
    for x, way in zip(xs, ways, strict=True):
        look = LOOKS[way.kind]
        axes.plot(x, way.iou, look["marker"], color=look["color"], markersize=9)
        axes.annotate(
            way.name,
            (x, way.iou),
            textcoords="offset points",
            xytext=look["place"],
            color=look["color"],
            weight=look["weight"],
        )
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(colors=INK)
    axes.grid(axis="y", color="#EEEEEE", zorder=-1)
    axes.margins(x=0.12, y=0.2)
    axes.set_xlim(left=0)
