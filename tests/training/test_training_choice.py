"""The choice: what it claims, how often it errs, and what changes nothing."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nestgen.errors import SettingsError
from nestgen.training.choice import Choice, Difference, choose_level, compare

NAMES = ("L1", "L2", "L3", "L4")
Scores = dict[str, np.ndarray]


def some(
    seed: int, images: int = 30, gaps: tuple[float, ...] = (0.05, 0.004, 0, 0)
) -> Scores:
    """Scores of levels that lack `gaps`, on images of different difficulty."""
    chance = np.random.default_rng(seed)
    hard = chance.normal(0.8, 0.1, (images, 1))
    table = hard - gaps + chance.normal(0, 0.01, (images, len(gaps)))
    return dict(zip(NAMES, table.T, strict=False))


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1), st.integers(2, 40), st.floats(0, 0.1))
def test_the_choice_is_the_first_that_is_shown(
    seed: int, images: int, margin: float
) -> None:
    scores = some(seed, images)
    choice = choose_level(scores, margin)
    means = {name: values.mean() for name, values in scores.items()}
    assert means[choice.best] == max(means.values())
    shown = [
        name
        for name, found in choice.differences.items()
        if found.low > -margin or name == choice.best
    ]
    assert choice.level == shown[0]
    assert list(choice.differences) == list(scores)
    for name, found in choice.differences.items():
        assert found.low <= found.mean <= found.high <= 0
        assert found.mean == pytest.approx(means[name] - means[choice.best], abs=1e-12)


def test_the_curve_need_not_rise() -> None:
    choice = choose_level(some(0, 100, (0.2, 0, 0.1, 0.002)))
    assert (choice.level, choice.best) == ("L2", "L2")
    assert choice.differences["L3"].verdict(0.01) == "inferior"


@pytest.mark.parametrize("images", [2, 20])
def test_images_that_all_say_the_same_show_nothing(images: int) -> None:
    """No spread is no certainty: the next image may be another."""
    whole = np.ones(images)
    found = compare({"L1": whole - 0.001, "L2": whole})
    assert found["L1"].verdict(0.01) == "inconclusive"
    assert found["L2"].mean == 0


def test_the_cheapest_of_equals_is_the_best() -> None:
    one = some(0)["L1"]
    choice = choose_level({"L1": one, "L2": one.copy()}, margin=0)
    assert (choice.level, choice.best) == ("L1", "L1")


def test_what_changes_nothing() -> None:
    scores = some(1)
    plain = choose_level(scores)
    order = np.random.default_rng(0).permutation(30)
    for other in (
        choose_level({name: values + 0.125 for name, values in scores.items()}),
        choose_level({name: 8 * values for name, values in scores.items()}, 0.08),
        choose_level({name: values[order] for name, values in scores.items()}),
    ):
        assert (other.level, other.best) == (plain.level, plain.best)
        scale = other.margin / plain.margin
        for name, found in plain.differences.items():
            again = other.differences[name]
            assert again.mean == pytest.approx(scale * found.mean, abs=1e-9)
            # another order of the images has other resamples
            assert again.low == pytest.approx(scale * found.low, rel=0.05, abs=1e-9)


def test_the_same_images_give_the_same_choice() -> None:
    assert choose_level(some(2)) == choose_level(some(2))
    one, other = (compare(some(2), seed=seed)["L1"] for seed in (0, 1))
    assert one.mean == other.mean
    assert one.low != other.low


def claims(gaps: tuple[float, ...], images: int, trials: int, margin: float) -> float:
    """How often a level that truly lacks `margin` or more is called non-inferior."""
    wrong = 0
    for trial in range(trials):
        found = compare(some(trial, images, gaps))
        wrong += any(
            found[name].verdict(margin) == "non-inferior"
            for name, gap in zip(NAMES, gaps, strict=False)
            if gap >= margin
        )
    return wrong / trials


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Resamples enough for a tail of 5 % among three levels."""
    monkeypatch.setattr("nestgen.training.choice.RESAMPLES", 999)


@pytest.mark.usefixtures("quick")
def test_an_inferior_level_passes_no_oftener_than_it_says() -> None:
    # at the margin itself, the worst case: one level, and three that may all pass
    trials = 400
    most = 0.05 + 3 * (0.05 * 0.95 / trials) ** 0.5
    assert claims((0.01, 0), 40, trials, 0.01) <= most
    assert claims((0.01, 0.01, 0.01, 0), 40, trials, 0.01) <= most
    # were the best taken for what these images show, two good ones would make it worse
    assert claims((0.01, 0, 0, 0), 40, trials, 0.01) <= most


@pytest.mark.usefixtures("quick")
def test_it_errs_about_as_often_as_it_may() -> None:
    # a bound that never erred would show nothing either
    trials = 400
    assert claims((0.01, 0), 40, trials, 0.01) >= 0.05 - 3 * (0.05 / trials) ** 0.5


@pytest.mark.usefixtures("quick")
def test_more_images_show_more() -> None:
    def shown(images: int) -> int:
        gaps = (0.05, 0.004, 0, 0)
        found = [compare(some(trial, images, gaps)) for trial in range(100)]
        assert not [one for one in found if one["L1"].verdict(0.01) != "inferior"]
        return sum(one["L2"].verdict(0.01) == "non-inferior" for one in found)

    counts = [shown(images) for images in (12, 36, 108)]
    assert counts[0] < counts[1] < counts[2]
    assert counts[2] >= 95


@pytest.mark.usefixtures("quick")
def test_what_is_undecided_and_how_many_images_would_do() -> None:
    # of 20, 0.008 +- 0.0025 at a margin of 0.01
    choice = choose_level(some(3, 20, (0.008, 0)))
    assert (choice.level, choice.best) == ("L2", "L2")
    assert choice.undecided == ["L1"]
    needed = choice.images_needed("L1")
    assert needed is not None
    assert needed > 20
    likely = [
        choose_level(some(seed, 2 * needed, (0.008, 0))).undecided == []
        for seed in range(10)
    ]
    assert sum(likely) >= 6


@pytest.mark.parametrize(
    ("found", "needed"),
    [
        # a reach of 0.006 for a distance of 0.002, on either side: nine times as many
        (Difference(-0.008, -0.014, -0.002), 900),
        (Difference(-0.012, -0.018, -0.006), 900),
        (Difference(-0.0099, -0.02, 0.0), None),
        (Difference(-0.01, -0.01, -0.01), None),
        (Difference(-0.004, -np.inf, 0.0), None),
    ],
)
def test_images_needed(found: Difference, needed: int | None) -> None:
    choice = Choice("L2", "L2", 0.01, 0.95, 100, {"L1": found, "L2": found})
    assert choice.images_needed("L1") == (needed and pytest.approx(needed, abs=1))


def test_few_images_show_nothing() -> None:
    one = choose_level({name: values[:1] for name, values in some(0).items()})
    assert one.level == one.best
    assert all(found.low == -np.inf for found in one.differences.values())
    assert json.loads(json.dumps(one.to_plain()))["differences"]["L1"]["low"] is None
    # a failure that two of three resamples of three images lack
    rare = choose_level({"L1": np.array([0.5, 0.8, 0.8]), "L2": np.full(3, 0.8)})
    assert rare.undecided == ["L1"]
    assert rare.images_needed("L1") is None


def test_more_confidence_shows_less() -> None:
    lows = [
        compare(some(0), confidence)["L2"].low
        for confidence in (0.5, 0.9, 0.95, 0.99, 0.999, 0.99999)
    ]
    assert lows == sorted(lows, reverse=True)
    # thinner than 10,000 resamples tell
    assert lows[-1] == -np.inf
    assert np.isfinite(lows[-2])


def test_the_difference_to_the_best_takes_no_level_for_it() -> None:
    # L3 looks best by a hair, but L2, which varies, may be far better
    chance = np.random.default_rng(0)
    steady, wild = np.full(40, 0.8), 0.7999 + chance.normal(0, 0.1, 40)
    wild += 0.7999 - wild.mean()
    found = compare({"L1": steady - 0.001, "L2": wild, "L3": steady})
    assert found["L1"].mean == pytest.approx(-0.001)
    assert found["L1"].low < -0.02


@pytest.mark.parametrize(
    ("scores", "said"),
    [
        ({}, "a level or more"),
        ({"L1": np.zeros(0)}, "an image or more"),
        ({"L1": np.zeros((2, 2))}, "a level or more"),
        ({"L1": np.zeros(2), "L2": np.zeros(3)}, "not of the same images"),
        ({"L1": np.array([0, np.nan])}, "not all of them are numbers"),
    ],
)
def test_refuses_scores(scores: Scores, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        choose_level(scores)


@pytest.mark.parametrize("margin", [-1, np.nan, np.inf])
def test_refuses_a_margin(margin: float) -> None:
    with pytest.raises(SettingsError, match=r"^margin: \S+ is not allowed, 0 or more$"):
        choose_level(some(0), margin)


@pytest.mark.parametrize("confidence", [0, 0.4, 1, 95])
def test_refuses_a_confidence(confidence: float) -> None:
    with pytest.raises(SettingsError, match=r"^confidence: \S+ is not allowed"):
        choose_level(some(0), confidence=confidence)
