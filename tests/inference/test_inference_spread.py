"""The median's interval, against what it is defined by."""

from __future__ import annotations

import statistics
from math import comb

from hypothesis import given
from hypothesis import strategies as st

from nestgen.inference.spread import Spread, spread_of


@given(st.lists(st.integers(-99, 99), min_size=1, max_size=40))
def test_the_median_lies_in_its_interval(samples: list[int]) -> None:
    found = spread_of(samples)
    assert found.median == statistics.median(samples)
    assert found.low <= found.median <= found.high
    assert {found.low, found.high} <= set(samples)
    assert spread_of(samples[::-1]) == found


def test_the_interval_covers_95_percent_and_no_narrower_one_does() -> None:
    for number in range(6, 60):
        found = spread_of(range(1, number + 1))
        outside = int(found.low) - 1
        assert found.high == number - outside

        def beyond(ends: int, tosses: int = number) -> float:
            return 2 * sum(comb(tosses, k) for k in range(ends + 1)) / float(2**tosses)

        assert beyond(outside) <= 0.05 < beyond(outside + 1)


def test_few_samples_are_told_whole() -> None:
    assert spread_of([3.0]) == Spread(3, 3, 3)
    assert spread_of([5, 1, 2, 9, 4]) == Spread(4, 1, 9)
    assert spread_of([1, 2, 3, 4, 5, 6]) == Spread(3.5, 1, 6)
