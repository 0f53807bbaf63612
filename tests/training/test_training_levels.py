"""The choice, the clock, the memory, and the report of the levels."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import nn

from nestgen.arch.spec import NestSpec
from nestgen.codegen.load import build
from nestgen.errors import OutputError, SettingsError, SpecError
from nestgen.imaging.pairs import find_pairs
from nestgen.surgery.cut import prune
from nestgen.training.choice import choose_level
from nestgen.training.evaluate import evaluate
from nestgen.training.levels import Report, measure_levels
from nestgen.training.plot import plot_levels
from nestgen.training.timing import peak_bytes

IOUS = st.dictionaries(
    st.integers(1, 6),
    st.lists(st.floats(0, 1), min_size=4, max_size=4).map(np.array),
    min_size=1,
)


@settings(max_examples=30)
@given(IOUS, st.floats(0, 0.5))
def test_the_choice_is_the_smallest_within_tolerance(
    iou: dict[int, np.ndarray], tolerance: float
) -> None:
    choice = choose_level(iou, tolerance)
    means = {level: values.mean() for level, values in iou.items()}
    assert means[choice.best] == max(means.values())
    assert means[choice.level] >= means[choice.best] - tolerance
    for level in means:
        if level < choice.level:
            assert means[level] < means[choice.best] - tolerance
    for level, difference in choice.differences.items():
        assert difference.low <= difference.mean + 1e-12
        assert difference.high >= difference.mean - 1e-12
        assert difference.mean == pytest.approx(means[level] - means[choice.best])


def test_the_curve_need_not_rise() -> None:
    base = np.linspace(0.7, 0.9, 10)
    choice = choose_level({1: base - 0.2, 2: base, 3: base - 0.1, 4: base - 0.004})
    assert (choice.level, choice.best) == (2, 2)


def test_the_interval_covers_as_often_as_it_says() -> None:
    generator = np.random.default_rng(0)
    inside = 0
    for _ in range(100):
        noise = generator.normal(0.02, 0.05, size=60)
        d = choose_level({1: noise - 1, 2: np.zeros(60)}).differences[1]
        inside += d.low <= 0.02 - 1 <= d.high
    # 95 of 100 expected; below 87 has a probability of 1 in 1,000
    assert inside >= 87


def test_refuses_a_tolerance() -> None:
    with pytest.raises(SettingsError, match="tolerance: -1 is not allowed"):
        choose_level({1: np.zeros(1)}, -1)


def test_memory_is_counted_tensor_by_tensor() -> None:
    x = torch.zeros(1, 2, 8, 8)
    one = x.nbytes
    # input and output of each layer; the first output dies when the second is used
    chain = nn.Sequential(nn.ReLU(), nn.Sigmoid(), nn.Tanh())
    assert peak_bytes(chain, x) == 3 * one
    weights = nn.Conv2d(2, 2, 1)
    own = sum(t.nbytes for t in weights.state_dict().values())
    assert peak_bytes(weights, x) == 2 * one + own
    assert peak_bytes(nn.ReLU(inplace=True), x) == one


@pytest.fixture(scope="module")
def model() -> nn.Module:
    torch.manual_seed(0)
    return build(NestSpec(depth=3, widths=2, in_channels=1)).eval()


@pytest.fixture(scope="module")
def report(model: nn.Module, data: Path) -> Report:
    return measure_levels(model, find_pairs(data / "val"), rounds=1)


def test_each_level_is_measured_as_if_cut(
    report: Report, model: nn.Module, data: Path
) -> None:
    pairs = find_pairs(data / "val")
    assert [level.level for level in report.levels] == [1, 2, 3]
    for level in report.levels:
        small = prune(model, level.level)
        alone = evaluate(small, pairs)
        # the cut pads to its own multiple, which these sizes are already
        assert np.array_equal(alone[f"L{level.level}"].counts, level.scores.counts)
        assert level.cost.parameters == sum(p.numel() for p in small.parameters())
        assert level.cost.weight_bytes == sum(
            t.nbytes for t in small.state_dict().values()
        )
    peaks = [level.peak_bytes for level in report.levels]
    assert peaks == sorted(peaks)


def test_the_report_is_plain(report: Report) -> None:
    plain = json.loads(json.dumps(report.to_plain()))
    assert plain["choice"]["level"] in {level["level"] for level in plain["levels"]}


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_the_plot_is_a_picture(report: Report, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"levels{suffix}"
    plot_levels(report, path)
    if suffix == ".png":
        extrema: Any = Image.open(path).convert("L").getextrema()
        assert extrema[0] < extrema[1]
    assert path.stat().st_size > 1000


def test_the_plot_refuses_other_files(report: Report, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"one of \.png, \.svg, \.pdf"):
        plot_levels(report, tmp_path / "levels.gif")
    assert not list(tmp_path.iterdir())


def test_a_foreign_module_has_no_levels(data: Path) -> None:
    with pytest.raises(SpecError, match="Conv2d has no spec"):
        measure_levels(nn.Conv2d(1, 1, 1), find_pairs(data / "val"))


def test_by_windows_a_level_scores_as_its_cut_does(data: Path) -> None:
    torch.manual_seed(0)
    model = build(NestSpec(depth=2, widths=2, in_channels=1)).eval()
    pairs = find_pairs(data / "val")
    found = measure_levels(model, pairs, window=(8, 12), rounds=1)
    assert found.size == (8, 12)
    for level in found.levels:
        alone = evaluate(prune(model, level.level), pairs, window=(8, 12))
        assert np.array_equal(alone[f"L{level.level}"].counts, level.scores.counts)
        # 16 by 16 pixels, half a window between neighbours
        assert level.windows == 3 * 2
        assert level.images_per_second == pytest.approx(1 / (6 * level.seconds))
    whole = measure_levels(model, pairs, rounds=1)
    assert whole.levels[0].windows == 1
    assert whole.levels[1].peak_bytes > found.levels[1].peak_bytes
