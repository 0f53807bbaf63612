"""index.html: what a demo found, on one page that needs nothing but its folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from numpy.typing import NDArray

from nestgen.codegen.environment import read_template
from nestgen.demo.run import Folder, Labels, next_commands
from nestgen.files import write_whole
from nestgen.imaging.masks import labels_for
from nestgen.imaging.overlay import COLOURS, overlay
from nestgen.imaging.pairs import Pair, load_labels
from nestgen.imaging.png import write_png
from nestgen.imaging.read import read_pixels
from nestgen.surgery.proof import Proof
from nestgen.training.levels import Report
from nestgen.training.metrics import Scores, count_pixels

FOUND, MISSED, EXTRA = (np.array(COLOURS[place], np.uint8) for place in (1, 0, 6))
"""Sky blue, orange and reddish purple, which everybody tells apart."""

TINTS = (("found", FOUND, 0.35), ("missed", MISSED, 0.8), ("too much", EXTRA, 0.8))
"""What each colour means, and how much of the image it covers."""

SHOWN = 6
"""Test images on the page."""


@dataclass(frozen=True)
class Result:
    """All that a demo found, in order of its steps.

    `tests` are the test images and `labels`, by level, what each gives them.
    """

    title: str
    report: Report
    proof: Proof
    tests: Sequence[Pair]
    labels: Mapping[int, Sequence[Labels]]

    @property
    def headline(self) -> str:
        """The result in one sentence."""
        kept, whole = self.report.chosen, self.report.levels[-1]
        iou = f"IoU {kept.scores.mean_iou:.3f}"
        if kept is whole:
            return (
                f"Nothing less than {whole.name} is enough: {iou} with all parameters"
            )
        times = self.proof.before.parameters / self.proof.after.parameters
        return f"{kept.name} is enough: {iou} at 1/{times:.0f} of the parameters"

    def test_scores(self) -> dict[int, Scores]:
        """The quality of each level on the images that nothing was chosen by."""
        truths = [_truth(pair) for pair in self.tests]
        return {
            level: Scores(
                np.stack(
                    [
                        count_pixels(one, truth, classes=1)
                        for one, truth in zip(found, truths, strict=True)
                    ]
                )
            )
            for level, found in self.labels.items()
        }


def write_page(result: Result, folder: Folder) -> None:
    """Write `index.html`, and the pictures that are on it alone into `pictures/`."""
    scores = result.test_scores()
    rows = [
        _picture_row(result, index, scores, folder.path)
        for index in range(min(SHOWN, len(result.tests)))
    ]
    (kept,) = result.report.chosen.heads
    template = page_environment().get_template("page.html.jinja")
    text = template.render(
        title=result.title,
        headline=result.headline,
        choice=result.report.choice,
        report=result.report,
        table=_table(result, scores),
        proof=result.proof,
        pictures=rows,
        meanings=[(_hex(colour), words) for words, colour, _ in TINTS],
        commands=next_commands(),
        files=_files(folder, kept),
    )
    write_whole(folder.index, text)


@cache
def page_environment() -> jinja2.Environment:
    """The environment of HTML: whatever a template prints is escaped."""
    return jinja2.Environment(
        loader=jinja2.FunctionLoader(read_template),
        undefined=jinja2.StrictUndefined,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def compare(pixels: NDArray[Any], found: Labels, truth: Labels) -> NDArray[np.uint8]:
    """An image `[C, H, W]`, tinted where two masks agree and where they do not.

    >>> one, no = np.ones((1, 1)), np.zeros((1, 1))
    >>> compare(one[None], one, no).tolist()
    [[[163, 97, 134]]]
    """
    picture = overlay(pixels, np.zeros(truth.shape, np.uint8)).astype(np.float64)
    cases = (
        (found > 0) & (truth > 0),
        (found == 0) & (truth > 0),
        (found > 0) & (truth == 0),
    )
    for (_, colour, share), where in zip(TINTS, cases, strict=True):
        picture[where] += share * (colour - picture[where])
    return np.rint(picture).astype(np.uint8)


def _table(result: Result, scores: Mapping[int, Scores]) -> list[dict[str, Any]]:
    """The rows of the table, all numbers as text."""
    return [
        {
            "name": level.name,
            "kept": level is result.report.chosen,
            "cells": [
                f"{level.scores.mean_iou:.3f}",
                f"{level.scores.mean_dice:.3f}",
                f"{scores[level.heads[0]].mean_iou:.3f}",
                f"{level.cost.parameters:,}",
                f"{level.cost.macs / 1e6:,.1f} M",
                f"{1000 * level.seconds:.1f} ms",
                f"{level.peak_bytes / 1e6:.1f} MB",
            ],
        }
        for level in result.report.levels
    ]


def _picture_row(
    result: Result, index: int, scores: Mapping[int, Scores], root: Path
) -> dict[str, Any]:
    """A test image as it is, and what each level makes of it; written, then named."""
    pair, truth = result.tests[index], _truth(result.tests[index])
    pixels = read_pixels(pair.image)
    plain = f"pictures/{pair.name}.png"
    write_png(root / plain, overlay(pixels, np.zeros_like(truth)))
    levels = []
    for level, found in result.labels.items():
        path = f"pictures/{pair.name}-L{level}.png"
        write_png(root / path, compare(pixels, found[index], truth))
        iou = f"{scores[level].iou[index]:.2f}"
        kept = (level,) == result.report.chosen.heads
        levels.append({"name": f"L{level}", "path": path, "iou": iou, "kept": kept})
    return {"name": pair.name, "path": plain, "levels": levels}


def _truth(pair: Pair) -> NDArray[np.uint8]:
    return labels_for(load_labels(pair), classes=1)


def _hex(colour: NDArray[np.uint8]) -> str:
    return f"#{colour.tobytes().hex()}"


def _files(folder: Folder, level: int) -> list[tuple[str, str]]:
    """What lies in the folder: each path relative to the page, and what it is."""
    named = {
        folder.model: "the whole network, the best of its epochs",
        folder.run / "log.jsonl": "the loss and each level's scores, epoch by epoch",
        folder.cut(level): f"the network cut at L{level}",
        folder.source(level): "its source, which needs torch alone",
        folder.masks: "the masks of the test images, contours in overlays/",
        folder.data: "the images and masks it was trained on",
        folder.plots[0]: "the plot, to be scaled",
        folder.drawings[0]: "the drawing, to be scaled",
    }
    return [
        (path.relative_to(folder.path).as_posix(), words)
        for path, words in named.items()
    ]
