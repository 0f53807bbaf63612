"""The words in which a choice is told."""

from __future__ import annotations

import numpy as np
import pytest

from nestgen.arch.cost import Cost
from nestgen.cli.choosing import in_words
from nestgen.training.choice import Choice, Difference
from nestgen.training.levels import Level, Report
from nestgen.training.metrics import Scores
from nestgen.training.rule import Rule

FAR = Difference(-0.05, -0.07, -0.03)
OPEN = Difference(-0.008, -0.014, -0.003)
BLANK = Difference(-0.008, -np.inf, 0.0)
NEAR = Difference(-0.002, -0.005, 0.0)
BEST = Difference(0.0, -0.001, 0.0)


def report(
    level: str, held_out: Difference | None = None, **found: Difference
) -> Report:
    """Of a network with the levels that were `found`, and L9, better than they are."""
    scores = {name: Scores(np.array([[[90, 100, 100]]])) for name in found}
    scores["L9"] = Scores(np.array([[[95, 100, 100]]]))
    levels = tuple(
        Level((int(name[1:]),), scores[name], Cost(), 0.1, 1, 1) for name in scores
    )
    best = next(name for name, one in found.items() if one is BEST)
    choice = Choice(level, best, 0.01, 0.95, 100, found)
    later = None if held_out is None else {**found, level: held_out}
    return Report(levels, (8, 8), 50, Rule(), choice, later)


def test_a_level_that_is_enough() -> None:
    told = in_words(report("L2", L1=FAR, L2=NEAR, L3=BEST)).splitlines()
    assert told == [
        "L1: IoU -0.0500 to the best on 100 images, between -0.0700 and -0.0300: "
        "inferior",
        "L2: IoU -0.0020 to the best on 100 images, between -0.0050 and +0.0000: "
        "non-inferior",
        "L9, the best of all, is beyond the limits: on 50 images IoU 0.0866 above L2",
        "choice: L2, the cheapest level that is shown to be within 0.01 of the best "
        "IoU (L3), with confidence 0.95",
        "all numbers are of the 100 images by which it was chosen; --report DIR tells "
        "those of others",
    ]


def test_too_few_images_are_told() -> None:
    told = in_words(report("L3", L1=OPEN, L2=BLANK, L3=BEST)).splitlines()
    assert told[2:4] == [
        "100 images are too few to tell whether L1 is within 0.01 of the best; "
        "about 900 might do",
        "100 images are too few to tell whether L2 is within 0.01 of the best; "
        "far more might do",
    ]
    assert told[-2] == (
        "choice: L3, the best; no cheaper level is shown to be within 0.01 of it"
    )


@pytest.mark.parametrize(
    ("found", "verdict"),
    [(NEAR, "non-inferior"), (OPEN, "inconclusive"), (FAR, "inferior")],
)
def test_other_images_have_the_last_word(found: Difference, verdict: str) -> None:
    told = in_words(report("L1", found, L1=NEAR, L2=BEST)).splitlines()[-1]
    assert told == (
        f"on 50 images by which nothing was chosen, L1: IoU {found.mean:+.4f} to the "
        f"best, between {found.low:+.4f} and {found.high:+.4f}: {verdict}"
    )


def test_the_cheapest_may_be_the_best() -> None:
    told = in_words(report("L1", L1=BEST, L2=NEAR)).splitlines()
    assert told[-2] == "choice: L1, the best, and the cheapest"
