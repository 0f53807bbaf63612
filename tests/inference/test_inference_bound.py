"""What is promised of a mean holds as often as it says."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.random import Generator
from numpy.typing import NDArray

from nestgen.inference.bound import LEAST, certified, upper_bounds

Floats = NDArray[np.float64]
RUNS = 300


def losses(generator: Generator, number: int) -> Floats:
    """Of IoU, as networks have them: mostly small, skewed to what is lost."""
    small = generator.normal(0.0, 0.01, number)
    return small + (generator.random(number) < 0.15) * generator.exponential(
        0.04, number
    )


MEAN = 0.15 * 0.04

SHAPES: dict[str, tuple[Callable[[Generator, int], Floats], float]] = {
    "losses": (losses, MEAN),
    "normal": (lambda generator, n: generator.normal(0.3, 1.0, n), 0.3),
    "uniform": (lambda generator, n: generator.random(n), 0.5),
}


@pytest.mark.parametrize("confidence", [0.9, 0.95])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_the_mean_is_below_its_bound_as_often_as_promised(
    shape: tuple[Callable[[Generator, int], Floats], float], confidence: float
) -> None:
    """One draw in a column each; three deviations of a binomial more may fail."""
    draw, mean = shape
    generator = np.random.default_rng(0)
    values = np.stack([draw(generator, 80) for _ in range(RUNS)], axis=1)
    wrong = (upper_bounds(values, confidence) < mean).mean()
    risk = 1 - confidence
    assert wrong <= risk + 3 * np.sqrt(risk * (1 - risk) / RUNS)
    assert wrong > 0, "a bound that never fails promises too little"


def test_a_plain_mean_would_be_seen_to_fail() -> None:
    generator = np.random.default_rng(0)
    values = np.stack([losses(generator, 80) for _ in range(RUNS)], axis=1)
    assert (values.mean(0) < MEAN).mean() > 0.3


def test_the_sequence_promises_too_much_no_more_often_than_it_says() -> None:
    """Twelve rules that lose more and more; the promise lies between two of them."""
    generator, confidence, most = np.random.default_rng(1), 0.9, 0.0055
    scale = np.linspace(0, 1.65, 12)
    allowed = int((scale * MEAN <= most).sum())
    wrong = reached = 0
    for _ in range(RUNS):
        drawn = losses(generator, 80).reshape(-1, 1) * scale
        passed = certified(drawn, most, confidence)
        wrong += passed > allowed
        reached += passed > 1
    risk = 1 - confidence
    assert wrong / RUNS <= risk + 3 * np.sqrt(risk * (1 - risk) / RUNS)
    assert reached > RUNS / 2, "and it promises something"


def test_the_first_that_fails_ends_it() -> None:
    good, bad = np.full(LEAST, 0.001), np.full(LEAST, 0.5)
    assert certified(np.stack([good, good, bad, good], 1), 0.01, 0.9) == 2
    assert certified(np.stack([bad, good], 1), 0.01, 0.9) == 0
    assert certified(np.stack([good, good], 1), 0.01, 0.9) == 2


def test_of_few_images_nothing_is_promised() -> None:
    assert certified(np.zeros((LEAST - 1, 3)), 0.01, 0.9) == 0
    assert certified(np.zeros((LEAST, 3)), 0.01, 0.9) == 3


def test_what_hardly_any_resample_sees_has_no_bound() -> None:
    rare = np.zeros((60, 2))
    rare[0] = [0.05, -0.05]
    above, below = upper_bounds(rare, 0.9)
    assert above == np.inf
    assert below <= 0
    assert upper_bounds(np.full((60, 1), 0.25), 0.9).tolist() == [0.25]


def test_more_confidence_is_a_higher_bound() -> None:
    values = losses(np.random.default_rng(2), 200).reshape(-1, 1)
    bounds = [upper_bounds(values, c)[0] for c in (0.6, 0.9, 0.95, 0.99)]
    assert bounds == sorted(bounds)
    assert bounds[0] > values.mean()
    assert (upper_bounds(values, 0.9) == upper_bounds(values, 0.9)).all()
