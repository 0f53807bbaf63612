"""The clock: runs take turns, the first rounds do not count, a stop ends a round."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from nestgen.training.timing import WARM_UP, time_in_turn


class Clock:
    """A clock that runs move on, by what they are told to take."""

    def __init__(self) -> None:
        self.now = 0.0
        self.calls: list[str] = []

    def __call__(self) -> float:
        return self.now

    def run(self, name: str, seconds: Callable[[int], float]) -> Callable[[], None]:
        def work() -> None:
            self.now += seconds(self.calls.count(name))
            self.calls.append(name)

        return work


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_each_round_runs_all_once_in_an_order_of_its_own(clock: Clock) -> None:
    names = "abcd"
    runs = {name: clock.run(name, lambda turn: 1) for name in names}
    time_in_turn(runs, 10, clock=clock)
    rounds = [clock.calls[at : at + 4] for at in range(0, len(clock.calls), 4)]
    assert len(rounds) == WARM_UP + 10
    assert all(sorted(turn) == list(names) for turn in rounds)
    assert len({tuple(turn) for turn in rounds}) > 5
    before = list(clock.calls)
    time_in_turn(runs, 10, clock=clock)
    assert clock.calls == before * 2


def test_the_seconds_are_those_of_each_run_without_the_warm_up(clock: Clock) -> None:
    runs = {
        "a": clock.run("a", lambda turn: 100 if turn < 2 else turn),
        "b": clock.run("b", lambda turn: 900 if turn < 2 else 8 * turn),
    }
    taken = time_in_turn(runs, 3, clock=clock)
    assert taken == {"a": [2, 3, 4], "b": [16, 24, 32]}


def test_a_stop_ends_with_the_round(clock: Clock) -> None:
    runs = {name: clock.run(name, lambda turn: 1) for name in "ab"}
    passes: list[int] = []
    taken = time_in_turn(
        runs,
        9,
        clock=clock,
        progress=passes.append,
        stopped=lambda: len(clock.calls) >= 2 * WARM_UP + 3,
    )
    assert taken == {"a": [1, 1], "b": [1, 1]}
    assert sum(passes) == 2 * (WARM_UP + 2)


def test_nothing_is_kept_for_gradients() -> None:
    seen = []
    time_in_turn({0: lambda: seen.append(torch.is_inference_mode_enabled())}, 1)
    assert all(seen)
