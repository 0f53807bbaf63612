"""The clock, the memory, the report of the levels, and by what one is chosen."""

from __future__ import annotations

import dataclasses
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from nestgen.arch.spec import NestSpec
from nestgen.codegen.load import build
from nestgen.errors import DataError, OutputError, SettingsError, SpecError
from nestgen.imaging.pairs import find_pairs
from nestgen.surgery.cut import prune
from nestgen.training.choice import choose_level, compare
from nestgen.training.evaluate import evaluate
from nestgen.training.levels import Report, measure_levels
from nestgen.training.plot import pareto_front, plot_levels
from nestgen.training.rule import LIMITS, Rule
from nestgen.training.timing import peak_bytes


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


SIDE = 16
"""Of the images."""


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
    assert [level.heads for level in report.levels] == [(1,), (2,), (3,)]
    for level in report.levels:
        small = prune(model, level.heads)
        alone = evaluate(small, pairs)
        # the cut pads to its own multiple, which these sizes are already
        assert np.array_equal(alone[level.name].counts, level.scores.counts)
        assert level.cost.parameters == sum(p.numel() for p in small.parameters())
        assert level.cost.weight_bytes == sum(
            t.nbytes for t in small.state_dict().values()
        )
    peaks = [level.peak_bytes for level in report.levels]
    assert peaks == sorted(peaks)


def test_the_report_is_plain(report: Report) -> None:
    plain = json.loads(json.dumps(report.to_plain()))
    assert plain["choice"]["level"] in {level["level"] for level in plain["levels"]}


def test_the_choice_is_that_of_the_scores(report: Report) -> None:
    scores = {level.name: level.scores.iou for level in report.levels}
    assert report.choice == choose_level(scores)
    assert report.chosen.name == report.choice.level
    assert report.differences == report.choice.differences


@pytest.fixture(scope="module")
def accurate(model: nn.Module, data: Path) -> Report:
    rule = Rule(metric="dice", mode="accurate", margin=0.02)
    return measure_levels(model, find_pairs(data / "val"), rule=rule, rounds=1)


def test_means_of_levels_are_measured_as_if_cut(
    accurate: Report, model: nn.Module, data: Path
) -> None:
    pairs = find_pairs(data / "val")
    found = {level.name: level for level in accurate.levels}
    assert set(found) == {"L1", "L2", "L3", "L1-2", "L1-3"}
    for name, heads in {"L1-2": (1, 2), "L1-3": (1, 2, 3)}.items():
        level, small = found[name], prune(model, heads)
        alone = evaluate(small, pairs, groups=[heads])
        assert list(alone) == [name]
        assert np.array_equal(alone[name].counts, level.scores.counts)
        own = sum(p.numel() for p in small.parameters())
        assert level.cost.parameters == own
        # a head more than the highest level alone, on nodes that it has anyway
        assert level.cost.parameters > found[f"L{heads[-1]}"].cost.parameters
        assert level.peak_bytes > found[f"L{heads[-1]}"].peak_bytes
    assert list(accurate.choice.differences) == ["L1", "L1-2", "L1-3"]
    scores = {name: found[name].scores.dice for name in ("L1", "L1-2", "L1-3")}
    assert accurate.choice == choose_level(scores, 0.02)


def test_limits_leave_out_what_exceeds_them(model: nn.Module, data: Path) -> None:
    pairs = find_pairs(data / "val")
    whole = measure_levels(model, pairs, rounds=1)
    rows = [level.to_plain() for level in whole.levels]
    for limit, what in LIMITS.items():
        if limit == "max_ms":  # times differ from run to run
            continue
        rule = Rule(**{limit: rows[1][what]})
        left = measure_levels(model, pairs, rule=rule, rounds=1)
        assert list(left.choice.differences) == ["L1", "L2"]
        assert [level.name for level in left.levels] == ["L1", "L2", "L3"]
        assert [level.name for level in left.candidates] == ["L1", "L2", "L3"]
        less = Rule(**{limit: rows[0][what] - 1})
        said = rf"^{limit}: \S+ is not allowed, the least that a level has is \S+$"
        with pytest.raises(SettingsError, match=said):
            measure_levels(model, pairs, rule=less, rounds=1)
    slow = measure_levels(model, pairs, rule=Rule(max_ms=1e9), rounds=1)
    assert len(slow.choice.differences) == 3
    with pytest.raises(SettingsError, match="max_ms: 0 is not allowed"):
        measure_levels(model, pairs, rule=Rule(max_ms=0), rounds=1)


def test_the_cheapest_is_the_choice_whatever_its_number(data: Path) -> None:
    """X01 is so wide that L2, which does without it, is cheaper; all score alike."""
    wide: Any = {"family": "unet-e", "node_widths": [("x0_1", 64)], "in_channels": 1}
    model = build(NestSpec(depth=2, widths=2, **wide)).eval()
    with torch.no_grad():
        for head in ("L1", "L2"):
            model.get_parameter(f"head_{head}.bias").fill_(1e4)
    found = measure_levels(model, find_pairs(data / "val"), rounds=1)
    macs = [level.cost.macs for level in found.levels]
    assert macs == sorted(macs)
    assert [level.name for level in found.levels] == ["L2", "L1"]
    assert found.score(found.levels[0]) == found.score(found.levels[1])
    assert found.choice.level == "L2"


def test_other_images_are_reported_than_those_of_the_choice(
    model: nn.Module, data: Path
) -> None:
    val, others = find_pairs(data / "val"), find_pairs(data / "train")
    plain = measure_levels(model, val, rounds=1)
    both = measure_levels(model, val, held_out=others, rounds=1)
    assert both.choice == plain.choice
    assert both.images == len(others)
    scores = evaluate(model, others)
    for level in both.levels:
        assert np.array_equal(level.scores.counts, scores[level.name].counts)
    iou = {name: found.iou for name, found in scores.items()}
    assert both.held_out == both.differences == compare(iou)
    told = both.to_plain()["held_out"]
    assert told["mean"] == pytest.approx(compare(iou)[both.choice.level].mean)
    with pytest.raises(DataError, match="among the images by which the choice"):
        measure_levels(model, val, held_out=[*others, val[2]], rounds=1)
    copy = data / "copy.png"
    copy.write_bytes(val[0].image.read_bytes())
    with pytest.raises(DataError, match=r"copy\.png: is .*, and so among"):
        measure_levels(model, val, held_out=[replace(val[0], image=copy)], rounds=1)


def test_a_class_chooses_by_itself(make_discs: Any, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = build(NestSpec(depth=2, widths=2, in_channels=1, classes=3)).eval()
    pairs = find_pairs(make_discs(tmp_path, 4, classes=3))
    rule = Rule(of_class=2)
    found = measure_levels(model, pairs, rule=rule, rounds=1)
    for level in found.levels:
        both, predicted, true = np.moveaxis(level.scores.counts[:, 1], -1, 0)
        union = predicted + true - both
        by_hand = np.where(union > 0, both / np.maximum(union, 1), 1.0)
        assert np.array_equal(rule.score(level.scores), by_hand)
        by_class = level.to_plain()["by_class"]
        assert [part["iou_per_image"] for part in by_class][1] == by_hand.mean()
    assert {found.score(level) for level in found.levels} != {
        level.scores.mean_iou for level in found.levels
    }
    for label in (0, 3):
        with pytest.raises(SettingsError, match=rf"^class: {label} is not .*, 1 to 2$"):
            measure_levels(model, pairs, rule=Rule(of_class=label), rounds=1)


def share_right(found: np.ndarray, true: np.ndarray) -> float:
    found[:], true[:] = found == true, True  # what it gets is its own
    return float(found.mean())


def test_any_function_of_the_labels_is_a_metric(model: nn.Module, data: Path) -> None:
    pairs = find_pairs(data / "val")
    rule = Rule(metric=share_right)
    found = measure_levels(model, pairs, rule=rule, rounds=1)
    assert rule.score_name == "share_right"
    plain = evaluate(model, pairs)
    for level in found.levels:
        assert np.array_equal(level.scores.counts, plain[level.name].counts)
        both, predicted, true = np.moveaxis(level.scores.counts[:, 0], -1, 0)
        right = 1 - (predicted + true - 2 * both) / SIDE**2
        np.testing.assert_allclose(rule.score(level.scores), right, rtol=1e-12)
    with pytest.raises(SettingsError, match=r"^metric: gives nan for .*00.png, not a"):
        measure_levels(model, pairs, rule=Rule(metric=lambda *_: np.nan), rounds=1)
    with pytest.raises(SettingsError, match="says nothing with a metric of one's own"):
        Rule(metric=share_right, of_class=1)


def test_the_front_is_what_nothing_beats() -> None:
    chance = np.random.default_rng(0)
    costs, scores = chance.integers(0, 6, (2, 12)).tolist()
    front = pareto_front(costs, scores)
    for place in range(12):
        beaten = [
            other
            for other in range(12)
            if costs[other] <= costs[place]
            and scores[other] >= scores[place]
            and (costs[other], scores[other]) != (costs[place], scores[place])
        ]
        alike = [
            other
            for other in front
            if (costs[other], scores[other]) == (costs[place], scores[place])
        ]
        assert bool(beaten) != (len(alike) == 1)
    assert 0 < len(front) < 12


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_the_plot_is_a_picture(report: Report, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"levels{suffix}"
    plot_levels(report, path)
    if suffix == ".png":
        extrema: Any = Image.open(path).convert("L").getextrema()
        assert extrema[0] < extrema[1]
    assert path.stat().st_size > 1000


def test_the_plot_says_what_was_shown(
    report: Report, accurate: Report, model: nn.Module, data: Path, tmp_path: Path
) -> None:
    def words(shown: Report) -> str:
        plot_levels(shown, tmp_path / "a.svg")
        text = (tmp_path / "a.svg").read_text()
        return " ".join(re.findall(r"<!-- (.*?) -->", text))

    kept = dataclasses.replace(report.choice, level="L1", best="L3")
    assert "L1 is enough: shown to be within 0.01 of the best IoU" in words(
        dataclasses.replace(report, choice=kept)
    )
    best = dataclasses.replace(report.choice, level="L3", best="L3")
    assert "L3 is kept" in words(dataclasses.replace(report, choice=best))
    assert "diamonds" not in words(report)
    text = words(accurate)
    assert "diamonds" in text
    assert "Dice, mean over 4 images" in text
    assert {"L1", "L2", "L3", "L1-2", "L1-3"} <= set(text.split())
    # one image tells no bounds
    pairs = find_pairs(data / "val")
    one = measure_levels(model, pairs[:1], held_out=pairs[1:2], rounds=1)
    assert "by 1 other images; on these it is" in words(one)


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
        alone = evaluate(prune(model, level.heads), pairs, window=(8, 12))
        assert np.array_equal(alone[level.name].counts, level.scores.counts)
        # 16 by 16 pixels, half a window between neighbours
        assert level.windows == 3 * 2
        assert level.images_per_second == pytest.approx(1 / (6 * level.seconds))
    whole = measure_levels(model, pairs, rounds=1)
    assert whole.levels[0].windows == 1
    assert whole.levels[1].peak_bytes > found.levels[1].peak_bytes
