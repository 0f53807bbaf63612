"""Images per second of each network in each backend, as a picture."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any

from nestgen.inference.bench import Comparison, Row, Setting
from nestgen.training.plot import INK, OTHER, check_suffix, write_figure

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00")
"""Of the backends, in their order (Okabe & Ito, 2008)."""
GROUP = 0.84
"""The share of a group's place that its bars fill."""


def plot_comparison(comparison: Comparison, path: str | os.PathLike[str]) -> None:
    """Draw a panel for each setting: a group of bars for each network.

    `path` ends in .png, .svg or .pdf. The whiskers are the 95 % interval of the median.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    check_suffix(path)
    settings = list(dict.fromkeys(row.setting for row in comparison.rows))
    backends = dict.fromkeys(row.backend for row in comparison.rows)
    colours = dict(zip(backends, cycle(COLOURS), strict=False))
    columns = min(len(settings), 2) or 1
    lines = math.ceil(len(settings) / columns) or 1
    with mpl.rc_context({"font.size": 10, "svg.hashsalt": "nestgen"}):
        width = 7.2 if columns == 1 else 11
        figure = Figure(figsize=(width, 0.8 + 3.1 * lines), layout="constrained")
        panels = list(figure.subplots(lines, columns, squeeze=False).flat)
        for panel, setting in zip(panels, settings, strict=False):
            rows = [row for row in comparison.rows if row.setting == setting]
            _panel(panel, setting, rows, colours)
        for panel in panels[len(settings) :]:
            panel.set_axis_off()
        handles = [
            mpl.patches.Patch(color=colour, label=name)
            for name, colour in colours.items()
        ]
        figure.legend(
            handles=handles, loc="outside upper center", ncols=6, frameon=False
        )
        rounds = comparison.rounds
        meaning = f"medians of {rounds} rounds, and their 95 % intervals"
        figure.supxlabel(meaning, fontsize=8, color=OTHER)
        write_figure(figure, path)


def _panel(
    axes: Any, setting: Setting, rows: Sequence[Row], colours: Mapping[str, str]
) -> None:
    networks = list(dict.fromkeys(row.network for row in rows))
    backends = [name for name in colours if any(row.backend == name for row in rows)]
    width = GROUP / len(backends)
    middle = (len(backends) - 1) / 2
    for row in rows:
        x = networks.index(row.network) + width * (backends.index(row.backend) - middle)
        _bar(axes, x, width, row, colours[row.backend])
    axes.set_title(setting.label, fontsize=10, color=INK, loc="left")
    axes.set_xticks(range(len(networks)), networks)
    axes.set_ylabel("images per second")
    axes.set_xlim(-0.55, len(networks) - 0.45)
    axes.margins(y=0.18)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(colors=INK)
    axes.tick_params(axis="x", length=0)
    axes.grid(axis="y", color="#EEEEEE")
    axes.set_axisbelow(True)


def _bar(axes: Any, x: float, width: float, row: Row, colour: str) -> None:
    speed, batch = row.images_per_second, row.setting.batch_size
    reach = [
        [speed - batch / row.seconds.high],
        [batch / row.seconds.low - speed],
    ]
    axes.bar(x, speed, 0.92 * width, color=colour)
    axes.errorbar(x, speed, yerr=reach, fmt="none", ecolor=INK, elinewidth=0.9)
    axes.annotate(
        f"{speed:.0f}" if speed >= 100 else f"{speed:.3g}",
        (x, batch / row.seconds.low),
        textcoords="offset points",
        xytext=(0, 3),
        ha="center",
        rotation=90,
        fontsize=7,
        color=INK,
    )
