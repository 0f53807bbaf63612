"""Resamples of images: how many, how often each, and how they are drawn in parts."""

from __future__ import annotations

import numpy as np
import pytest

import nestgen.training.bootstrap as bootstrap
from nestgen.training.bootstrap import resamples


@pytest.mark.parametrize(("number", "times"), [(1, 4), (5, 1), (7, 300), (300, 7)])
def test_parts_make_no_difference(
    number: int, times: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    (whole,) = resamples(number, times, seed=3)
    assert whole.shape == (times, number)
    assert (whole.sum(1) == number).all()
    for most in (1, number, 2 * number + 1):
        monkeypatch.setattr(bootstrap, "IN_MEMORY", most)
        parts = list(resamples(number, times, seed=3))
        assert all(part.size <= max(most, number) for part in parts)
        assert np.array_equal(np.concatenate(parts), whole)


def test_each_image_is_drawn_as_often_as_any_other() -> None:
    number, times = 20, 5000
    (counts,) = resamples(number, times)
    # each is binomial, of variance 1 - 1/N; five standard errors
    within = 5 * np.sqrt((1 - 1 / number) / times)
    assert np.abs(counts.mean(0) - 1).max() < within
    assert not np.array_equal(counts, next(resamples(number, times, seed=1)))
