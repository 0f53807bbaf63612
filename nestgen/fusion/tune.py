"""Measure here which form and which kernel is the best for each hot path."""

from __future__ import annotations

import random
import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import nestgen
from nestgen.errors import SettingsError, in_a_line
from nestgen.fusion.choice import Choice
from nestgen.fusion.compose import torch_forms
from nestgen.fusion.match import HotPath, match
from nestgen.fusion.poisoned import Poisoned
from nestgen.fusion.signature import Key, key_of
from nestgen.fusion.stopwatch import Stopwatch, stopwatch
from nestgen.fusion.table import Entry, read_table, users_file, write_table
from nestgen.fusion.task import Compute, Task
from nestgen.fusion.work import Work
from nestgen.kernels.call import Call
from nestgen.kernels.configurations import KERNELS, Configuration
from nestgen.kernels.lowering import FORMS
from nestgen.precision import without_tf32

WARM_UP = 2

Launched = tuple[str, Call, Configuration]


@dataclass
class Tuning:
    """How to measure, and where the results go.

    Attributes:
        file: of the table; what is in it already is not measured again, unless by other
            versions of nestgen, torch or Triton. It is replaced after each hot path.
        rounds: in each of which all candidates run once.
        configurations: of a kernel, at most; all that are shipped by default.
        progress: is called with the hot paths that are done, and with all of them.
        stopped: once it says so, no other hot path is begun.
        clock: gives the seconds of a run; by default that of the device.
        kernels: that are tried.
        prepare: is called first with all launches that will be tried, by kernel, call
            and configuration: who has many processors can compile them at once.
    """

    file: Path = field(default_factory=users_file)
    rounds: int = 10
    configurations: int | None = None
    progress: Callable[[int, int], object] = lambda done, total: None
    stopped: Callable[[], object] = lambda: False
    clock: Stopwatch | None = None
    kernels: Sequence[str] = tuple(KERNELS)
    prepare: Callable[[Iterable[Launched]], object] = lambda launches: None

    def __post_init__(self) -> None:
        if self.rounds < 2:
            raise SettingsError(f"rounds: {self.rounds} is not allowed, 2 or more")
        self.table = read_table(self.file)


def tune(work: Work) -> None:
    """Every hot path that was not measured here yet is, where tuning is asked for.

    The largest go first. What a candidate gives is compared with torch before it is
    timed: one that errs more than twice as much, or raises, is left out, and the
    path's row says why. What is faster by more than both scatter wins (see `winner`).
    """
    tuning = work.tuning
    if tuning is None:
        return
    pending = {
        key: path
        for path in match(work)
        if len(work.shape(path.node)) == 4
        for key in [key_of(work, path)]
        if not _is_known(tuning.table.entries.get(key))
    }
    largest = sorted(pending, key=_size, reverse=True)
    # one after another: all images at once may be more than a GPU holds
    tuning.prepare(
        one for key in largest for one in _launches(Task.of(work, pending[key]), tuning)
    )
    for done, key in enumerate(largest):
        tuning.progress(done, len(pending))
        if tuning.stopped():
            return
        entry = entry_of(work, pending[key], key, tuning)
        if entry is None:
            continue
        tuning.table.add(entry)
        write_table(tuning.file, tuning.table)
    tuning.progress(len(pending), len(pending))


def _launches(task: Task, tuning: Tuning) -> Iterator[Launched]:
    for choice in candidates(task, tuning.kernels, tuning.configurations):
        if choice.configuration is not None:
            yield choice.impl, task.call(choice.form), choice.configuration


def _is_known(entry: Entry | None) -> bool:
    return entry is not None and entry.versions == versions()


def _size(key: Key) -> int:
    """About how long it takes, in multiply-adds."""
    _, _, one = key
    return one.pixels * one.channels * (sum(one.skips) + one.raised)


def versions() -> tuple[str, str, str]:
    """Of nestgen, torch and Triton, "" where that is not installed."""
    try:
        of_triton = version("triton")
    except PackageNotFoundError:
        of_triton = ""
    return nestgen.__version__, torch.__version__, of_triton


def entry_of(work: Work, path: HotPath, key: Key, tuning: Tuning) -> Entry | None:
    """The best of all candidates that compute a hot path right.

    None where torch itself does not, as where its weights are not finite.
    """
    with torch.inference_mode():
        task = Task.of(work, path)
        right: dict[Choice, Compute] = {}
        judge = Judge.of(task)
        for choice in candidates(task, tuning.kernels, tuning.configurations):
            fault = judge.fault(task, choice)
            if fault is None:
                right[choice] = task.by(choice)
            else:
                work.rows[path.node].leave(f"{described(choice)}: {fault}")
        if Choice() not in right:
            return None
        clock = tuning.clock or stopwatch(path.convolution.weight.device)
        seconds = in_turn(right, clock, tuning.rounds)
    best, of_torch = winner(seconds)
    median = {
        choice: 1e3 * statistics.median(taken) for choice, taken in seconds.items()
    }
    device, _, signature = key
    dtype: Any = key.dtype
    form: Any = best.form
    torch_form: Any = of_torch.form
    return Entry(
        device,
        dtype,
        signature,
        form=form,
        impl=best.impl,
        configuration="" if best.configuration is None else str(best.configuration),
        ms=median[best],
        torch_form=torch_form,
        torch_ms=median[of_torch],
        versions=versions(),
    )


def described(choice: Choice) -> str:
    """A choice with its configuration, in one line."""
    with_ = "" if choice.configuration is None else f" {choice.configuration}"
    return f"{choice.form} by {choice.impl}{with_}"


def candidates(
    task: Task, kernels: Sequence[str] = tuple(KERNELS), most: int | None = None
) -> Iterator[Choice]:
    """All ways to compute a task that can run: torch's first, then the kernels'."""
    for form in torch_forms(task.path.up, len(task.skips)):
        yield Choice(form)
    for form in FORMS[task.path.up]:
        for impl in kernels:
            choice = Choice(form, impl)
            if task.why_not(choice) is None:
                for one in KERNELS[impl](task.call(form))[:most]:
                    yield Choice(form, impl, one)


@dataclass(frozen=True)
class Judge:
    """What a task's outputs are, nearly exactly, and how far torch is from them."""

    exact: list[Tensor]
    allowed: list[float]

    @classmethod
    def of(cls, task: Task) -> Judge:
        """By float64; on a GPU by float32 where the task has half of that."""
        dtype = task.path.convolution.weight.dtype
        on_gpu = task.path.convolution.weight.is_cuda
        wide = torch.float32 if on_gpu and dtype.itemsize == 2 else torch.float64
        with without_tf32():
            exact = task.to(wide).by(Choice("written"))()
        own = task.by(Choice("written"))()
        allowed = [
            2 * max(_distance(y, true), float(torch.finfo(dtype).eps * true.norm() / 2))
            for y, true in zip(own, exact, strict=True)
        ]
        return cls(exact, allowed)

    def fault(self, task: Task, choice: Choice) -> str | None:
        """Why a choice is not to be taken, or None where it computes what it has to.

        Whatever it does not write is NaN.
        """
        try:
            with Poisoned():  # type: ignore[no-untyped-call]
                found = task.by(choice)()
        except Exception as error:  # of compilers, drivers and kernels
            return in_a_line(error)
        for name, y, true, allowed in zip(
            task.outputs, found, self.exact, self.allowed, strict=True
        ):
            off = _distance(y, true)
            if not off <= allowed:
                share = 2 * off / allowed if allowed else off
                return f"{name} errs {share:.3g} times as much as torch's"
        return None


def _distance(y: Tensor, true: Tensor) -> float:
    return float((y.to(true.dtype) - true).norm())


def in_turn(
    runs: Mapping[Choice, Compute], clock: Stopwatch, rounds: int
) -> dict[Choice, list[float]]:
    """The seconds of each in each round, of which the first two are not counted.

    Each round runs all of them, in an order of its own that is always the same.
    """
    seconds: dict[Choice, list[float]] = {choice: [] for choice in runs}
    for turn in range(WARM_UP + rounds):
        for choice in random.Random(turn).sample(list(runs), len(runs)):
            taken = clock(runs[choice])
            if turn >= WARM_UP:
                seconds[choice].append(taken)
    return seconds


def winner(seconds: Mapping[Choice, Sequence[float]]) -> tuple[Choice, Choice]:
    """What to take, and the best of torch's forms, which it is where nothing beats it.

    What is written stays unless another of torch's forms beats it, and the best of
    these unless a kernel does: where three of four of its times are shorter than three
    of four of the other's. Of those that do, the least median is taken.

    >>> torch_, kernel = Choice(), Choice("raised", "rows")
    >>> winner({torch_: [4, 5, 6], kernel: [2, 3, 4]})[0].impl
    'rows'
    >>> winner({torch_: [4, 5, 6], kernel: [2, 3, 9]})[0].impl
    'torch'
    """
    of_torch = {choice: t for choice, t in seconds.items() if choice.impl == "torch"}
    best_of_torch = _best(of_torch, Choice())
    kernels = {c: taken for c, taken in seconds.items() if c not in of_torch}
    best = _best({**kernels, best_of_torch: seconds[best_of_torch]}, best_of_torch)
    return best, best_of_torch


def _best(seconds: Mapping[Choice, Sequence[float]], than: Choice) -> Choice:
    """The least median of those that are faster than `than` by more than the noise."""
    limit = _lower(seconds[than])
    sure = [choice for choice, taken in seconds.items() if _upper(taken) < limit]
    return min(sure, key=lambda one: statistics.median(seconds[one]), default=than)


def _lower(taken: Sequence[float]) -> float:
    return statistics.quantiles(taken, n=4, method="inclusive")[0]


def _upper(taken: Sequence[float]) -> float:
    return statistics.quantiles(taken, n=4, method="inclusive")[2]
