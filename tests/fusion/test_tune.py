"""Tuning: what is right is timed, what wins is kept, and what is kept is taken."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import nestgen
from nestgen.errors import ModuleError, SettingsError
from nestgen.fusion.choice import Choice
from nestgen.fusion.fuse import fuse
from nestgen.fusion.fused import Fused
from nestgen.fusion.hot_conv import HotConv
from nestgen.fusion.table import read_table
from nestgen.fusion.tune import Tuning, in_turn, winner
from nestgen.kernels.fused_conv import IMPLEMENTATIONS, Implementation

pytest.importorskip("triton")

X = torch.randn(1, 3, 4, 4, generator=torch.Generator().manual_seed(0))
Seconds = Callable[[Any], float]


@pytest.fixture(scope="module")
def network() -> nn.Module:
    torch.manual_seed(0)
    spec = nestgen.NestSpec(depth=1, widths=2, block={"norm": "none", "bias": True})
    return nestgen.build(spec).eval()


class Node(nn.Module):
    """One hot path, of which the input is the skip and, pooled, the lower input."""

    def __init__(self) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(3, 2, 2, stride=2)
        self.conv = nn.Conv2d(5, 4, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        raised = self.up(nn.functional.max_pool2d(x, 2))
        return torch.relu(self.conv(torch.cat([raised, x], 1)))


@pytest.fixture(scope="module")
def node() -> nn.Module:
    torch.manual_seed(0)
    return Node().eval()


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """No test sees what the machine's user has measured."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "nestgen" / "choices.json"


def kernels_win(run: Any) -> float:
    """Nothing is run; a kernel's second is shorter."""
    return 0.5 if "_by_kernel" in run.__qualname__ else 1.0


def torch_wins(run: Any) -> float:
    return 1.5 - kernels_win(run)


def tuning(clock: Seconds, **options: Any) -> Tuning:
    given: dict[str, Any] = {"rounds": 2, "configurations": 1, "kernels": ("rows",)}
    return Tuning(clock=clock, **(given | options))


def done(fused: Fused, word: str) -> list[str]:
    rows = fused.report.rows
    return [row.name for row in rows if any(word in step for step in row.done)]


def left(fused: Fused, word: str) -> list[str]:
    rows = fused.report.rows
    return [row.name for row in rows if any(word in reason for reason in row.left)]


def test_what_was_not_measured_runs_as_it_is_written(network: nn.Module) -> None:
    fused = fuse(network, X, target="kernels")
    assert len(left(fused, "not measured on this device")) == 6
    assert done(fused, "kernel") == []
    assert torch.allclose(fused(X), network(X), atol=1e-6)


def test_what_wins_is_kept_and_taken(node: nn.Module, cache: Path) -> None:
    tuned = fuse(node, X, target="kernels", tune=tuning(kernels_win))
    assert done(tuned, "kernel rows") == ["conv"]
    assert left(tuned, "not measured") == []
    (kept,) = read_table(cache).entries.values()
    assert (kept.form, kept.impl, kept.ms, kept.torch_ms) == (
        "raised",
        "rows",
        500,
        1000,
    )
    again = fuse(node, X, target="kernels")
    (module,) = (m for m in again.modules() if isinstance(m, HotConv))
    assert str(module.choice.configuration) == kept.configuration
    with torch.no_grad():
        assert torch.equal(again(X), tuned(X))
        assert torch.allclose(again(X), node(X), atol=1e-6)


def test_where_torch_wins_no_kernel_is_taken(network: nn.Module, cache: Path) -> None:
    seen: list[tuple[int, int]] = []
    one = tuning(torch_wins, progress=lambda *counts: seen.append(counts))
    fused = fuse(network, X, target="kernels", tune=one)
    assert seen == [(n, 6) for n in range(7)]
    assert done(fused, "kernel") == []
    assert len(left(fused, "nothing was measured to be faster")) == 6
    assert {entry.impl for entry in read_table(cache).entries.values()} == {"torch"}


def test_what_is_measured_is_not_measured_again(
    network: nn.Module, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options: Any = {"kernels": ()}
    fuse(network, X, target="kernels", tune=tuning(torch_wins, **options))
    before = cache.read_bytes()

    def fails(run: Any) -> float:
        raise AssertionError("measured again")

    fuse(network, X, target="kernels", tune=tuning(fails, **options))
    assert cache.read_bytes() == before
    monkeypatch.setattr(nestgen, "__version__", "newer")
    with pytest.raises(AssertionError, match="measured again"):
        fuse(network, X, target="kernels", tune=tuning(fails, **options))


def test_what_is_measured_before_an_interruption_is_kept(
    network: nn.Module, cache: Path
) -> None:
    def interrupts(run: Any) -> float:
        if cache.exists():
            raise KeyboardInterrupt
        return 1.0

    with pytest.raises(KeyboardInterrupt):
        fuse(network, X, target="kernels", tune=tuning(interrupts, kernels=()))
    (entry,) = read_table(cache).entries.values()
    # of 4 channels in full resolution to 2, where others have 3 or 2
    assert (entry.signature.skips, entry.signature.raised) == ((2,), 2)
    calm = tuning(torch_wins, kernels=(), stopped=lambda: True)
    fused = fuse(network, X, target="kernels", tune=calm)
    assert len(left(fused, "not measured on this device")) == 5


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (lambda y: y * (1 + 1e-4), "times as much as torch's"),
        (lambda y: y.index_fill(3, torch.tensor([3]), torch.nan), "errs nan"),
        (lambda y: y.new_empty(y.shape), "errs nan"),
        (lambda y: 1 / 0, "ZeroDivisionError"),
    ],
    ids=["inexact", "not a number", "not written", "raises"],
)
def test_what_is_wrong_is_left_out_however_fast(
    node: nn.Module,
    monkeypatch: pytest.MonkeyPatch,
    wrong: Callable[[Tensor], Any],
    why: str,
) -> None:
    right = IMPLEMENTATIONS["reference"]

    def run(call: Any, configuration: Any) -> list[Tensor]:
        made = right.run(call, configuration)
        given = wrong(made[0])
        return [given, *made[1:]]

    broken = Implementation(run, lambda call: None)
    monkeypatch.setitem(IMPLEMENTATIONS, "rows", broken)
    fused = fuse(node, X, target="kernels", tune=tuning(kernels_win))
    assert left(fused, why) == ["conv"]
    assert done(fused, "kernel") == []


def test_nothing_is_measured_where_torch_gives_what_is_not_finite(cache: Path) -> None:
    model = Node().eval()
    nn.init.constant_(model.conv.weight, float("nan"))
    fused = fuse(model, X, target="kernels", tune=tuning(kernels_win))
    assert read_table(cache).entries == {}
    assert done(fused, "kernel") == []
    assert left(fused, "written by torch: features errs nan times") == ["conv"]


def test_what_will_be_launched_is_told_before(network: nn.Module) -> None:
    seen: list[Any] = []
    options: dict[str, Any] = {"kernels": ("gather", "phase", "rows")}
    asked = tuning(
        lambda run: 1.0, **options, prepare=seen.extend, stopped=lambda: True
    )
    fuse(network, X, target="kernels", tune=asked)
    by_kernel = {(impl, call.up) for impl, call, _ in seen}
    assert by_kernel == {
        ("gather", "none"), ("rows", "none"), ("gather", "phases"), ("phase", "phases"),
    }  # fmt: skip


def test_choices_are_for_the_typical_size(network: nn.Module, cache: Path) -> None:
    typical = torch.randn(2, 3, 16, 8)
    asked = tuning(torch_wins, kernels=())
    fuse(network, X, target="kernels", typical=typical, tune=asked)
    pixels = {entry.signature.pixels for entry in read_table(cache).entries.values()}
    assert pixels == {256, 64}
    assert left(fuse(network, typical, target="kernels"), "not measured") == []
    assert len(left(fuse(network, X, target="kernels"), "not measured")) == 6


def test_a_typical_input_has_to_run_where_it_says_anything(
    network: nn.Module,
) -> None:
    other = torch.zeros(1, 5, 8, 8)
    with pytest.raises(ModuleError, match=r"does not run on an input \[1, 5, 8, 8\]"):
        fuse(network, X, target="kernels", typical=other)
    assert fuse(network, X, typical=other).report.rows


def test_all_take_turns_and_the_first_rounds_do_not_count() -> None:
    order: list[str] = []

    def runs(name: str) -> Callable[[], list[Tensor]]:
        return lambda: order.append(name) or []  # type: ignore[func-returns-value]

    def clock(run: Callable[[], object]) -> float:
        run()
        return float(len(order))

    kernel = Choice("raised", "rows")
    taken = in_turn({Choice(): runs("torch"), kernel: runs("rows")}, clock, 3)
    assert sorted(taken[Choice()] + taken[kernel]) == [5, 6, 7, 8, 9, 10]
    pairs = [set(order[n : n + 2]) for n in range(0, 10, 2)]
    assert pairs == [{"torch", "rows"}] * 5


def test_a_kernel_that_is_faster_within_the_scatter_does_not_win() -> None:
    kernel, split = Choice("raised", "rows"), Choice("split")
    torch_ = [1.0, 1.1, 1.2, 1.3]
    assert winner({Choice(): torch_, kernel: [0.8] * 4}) == (kernel, Choice())
    assert winner({Choice(): torch_, kernel: [0.8, 0.8, 1.2, 1.3]})[0] == Choice()
    assert winner({Choice(): torch_, split: [0.9] * 4, kernel: [0.9] * 4}) == (
        split,
        split,
    )


def test_what_is_surely_faster_wins_beside_what_is_not_sure() -> None:
    one, other = Choice("raised", "rows"), Choice("raised", "gather")
    taken = {Choice(): [4.0, 5.0, 6.0], one: [2.0, 2.0, 9.0], other: [3.0] * 3}
    assert winner(taken) == (other, Choice())


def test_torch_as_written_stays_within_the_noise() -> None:
    split, composed = Choice("split"), Choice("composed")
    taken = {Choice(): [4.0, 5.0, 6.0], split: [3.0, 4.0, 9.0]}
    assert winner(taken) == (Choice(), Choice())
    assert winner({**taken, composed: [4.0] * 3}) == (composed, composed)


def test_settings_that_do_not_go_together(network: nn.Module, cache: Path) -> None:
    with pytest.raises(SettingsError, match="tune: target 'eager' is not allowed"):
        fuse(network, X, tune=True)
    with pytest.raises(SettingsError, match="rounds: 1 is not allowed, 2 or more"):
        Tuning(rounds=1)
    cache.parent.mkdir(parents=True)
    cache.write_text("{")
    for asked in (False, True):
        with pytest.raises(SettingsError, match=r"choices.json: .* once it is deleted"):
            fuse(network, X, target="kernels", tune=asked)
    assert cache.read_text() == "{"
