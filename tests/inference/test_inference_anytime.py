"""Networks that stop early: where, what they say there, and what is promised of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.random import Generator
from torch import Tensor, nn

import nestgen.inference.anytime as anytime
from nestgen.arch.cost import grown_costs
from nestgen.arch.graph import NestGraph
from nestgen.arch.spec import NestSpec
from nestgen.checkpoint import load, save
from nestgen.codegen.load import build
from nestgen.errors import CheckpointError, DataError, SettingsError
from nestgen.imaging.pairs import find_pairs
from nestgen.inference.anytime import Budget, Calibration, calibration_of, grow
from nestgen.inference.bound import upper_bounds
from nestgen.inference.calibrate import best, calibrate, candidates, stops
from nestgen.inference.growing import grow_images, predict_anytime
from nestgen.inference.look import Seen, look
from nestgen.inference.predict import predict
from nestgen.inference.signals import FEATURES, features
from nestgen.inference.tradeoff import compare_ways, oracle
from nestgen.surgery.cut import prune
from nestgen.training.metrics import Scores, count_pixels
from nestgen.training.outputs import to_labels

Network = Callable[..., nn.Module]
RULE = Calibration("entropy", {"L1": (0.0, -1.0)}, -0.5, 0.01, 0.9, 80)
THREE = NestSpec(depth=3, widths=2)


def told(levels: list[int]) -> anytime.Enough:
    """A rule that knows where each image of a batch stops."""
    left = np.array(levels)

    def enough(level: int, logits: Tensor, before: Tensor | None) -> Any:
        nonlocal left
        assert len(logits) == len(left)
        assert (before is None) == (level == 1)
        assert before is None or before.shape == logits.shape
        done = left <= level
        left = left[~done]
        return done

    return enough


def once(level: int, x: Tensor) -> anytime.Enough:
    """As `told`, of a batch of one."""
    return told([level])


@pytest.mark.parametrize("levels", [[3, 1, 2, 1, 3], [1] * 5, [3] * 5, [2, 2, 2, 1, 1]])
def test_each_image_has_the_logits_of_its_level(levels: list[int]) -> None:
    torch.manual_seed(0)
    model, x = build(THREE).eval().double(), torch.randn(5, 3, 16, 16).double()
    with torch.inference_mode():
        whole = model(x)
        found, logits = grow(model, x, told(levels))
    assert found.tolist() == levels
    for place, level in enumerate(levels):
        expected = whole[f"L{level}"][place].float()
        torch.testing.assert_close(logits[place], expected, rtol=0, atol=1e-6)


def test_alone_an_image_has_the_bits_of_the_whole_network() -> None:
    torch.manual_seed(0)
    model, x = build(THREE).eval(), torch.randn(1, 3, 13, 19)
    with torch.inference_mode():
        for level in THREE.heads:
            found, logits = grow(model, x, told([level]), (11, 19))
            assert found.tolist() == [level]
            assert torch.equal(logits, model(x)[f"L{level}"][..., :11, :])


def test_what_has_stopped_is_not_computed() -> None:
    model, x = build(THREE).eval(), torch.randn(4, 3, 16, 16)
    batches: dict[str, list[int]] = {}
    for name, child in model.named_children():
        child.register_forward_hook(
            lambda m, i, y, name=name: batches.setdefault(name, []).append(len(y))
        )
    with torch.inference_mode():
        grow(model, x, told([1, 3, 2, 1]))
    for k, images in ((1, 4), (2, 2), (3, 1)):
        assert batches[f"x0_{k}"] == batches[f"head_L{k}"] == [images]
        assert batches[f"x{k}_0"] == [images]
    batches.clear()
    with torch.inference_mode():
        grow(model, x, told([1] * 4))
    assert "x2_0" not in batches


@pytest.mark.parametrize("classes", [1, 4])
def test_features_are_what_they_are_called(classes: int) -> None:
    torch.manual_seed(0)
    two = torch.randn(2, 3, classes, 9, 7)
    before, logits = 2 * two[0], 2 * two[1]
    found = dict(zip(FEATURES, features(logits, before).T, strict=True))
    masks = [to_labels(y).numpy() for y in (logits, before)]
    counted = [count_pixels(a, b, classes) for a, b in zip(*masks, strict=True)]
    np.testing.assert_allclose(found["agreement"], Scores(np.stack(counted)).dice)
    np.testing.assert_allclose(
        found["foreground"], (masks[0] > 0).mean((1, 2)), rtol=1e-6
    )
    p = logits.sigmoid() if classes == 1 else logits.softmax(1)
    both = torch.cat([p, 1 - p], 1) if classes == 1 else p
    nats = -(both * both.log()).sum(1).mean((1, 2)) / np.log(max(2, classes))
    np.testing.assert_allclose(found["entropy"], nats, rtol=1e-5)
    assert ((found["expected_dice"] >= 0) & (found["expected_dice"] <= 1)).all()
    assert (features(logits, before, ["agreement"])[:, 0] == found["agreement"]).all()
    assert (features(logits, None)[:, FEATURES.index("agreement")] == 0).all()


def test_sure_logits_are_expected_to_be_right() -> None:
    logits = torch.full((1, 1, 4, 4), 30.0)
    logits[..., :2] = -30
    assert features(logits, logits).round(6).tolist() == [[0.0, 1.0, 0.5, 1.0]]
    nothing = torch.full((1, 3, 4, 4), 0.0)
    nothing[:, 0] = 50
    assert features(nothing, nothing).round(6).tolist() == [[0.0, 1.0, 0.0, 1.0]]


def test_a_rule_stops_where_its_signal_is_reached(network: Network) -> None:
    model, x = network(), torch.randn(3, 3, 8, 8)
    with torch.inference_mode():
        entropy = features(model(x)["L1"], None, ["entropy"])[:, 0]
    order = np.sort(entropy)
    for number in range(4):
        limit = -(order[number - 1] if number else order[0] - 1e-3)
        rule = replace(RULE, threshold=float(limit))
        with torch.inference_mode():
            levels, _ = grow(model, x, rule.enough)
        assert (levels == 1).sum() == number
        assert (levels == np.where(-entropy >= limit, 1, 2)).all()
    with torch.inference_mode():
        unsure = grow(model, x, replace(RULE, threshold=None).enough)[0]
        never = grow(model, x, replace(RULE, weights={}, threshold=-9.0).enough)[0]
    assert unsure.tolist() == never.tolist() == [2, 2, 2]


def test_predictions_are_those_of_the_levels(network: Network) -> None:
    model: Any = network()
    generator = np.random.default_rng(0)
    images = [generator.normal(size=(3, 9, 14)).astype(np.float32) for _ in range(6)]
    logits = [model(torch.from_numpy(image)[None])["L1"] for image in images]
    middle = np.median([features(y.detach(), None, ["entropy"]) for y in logits])
    model.calibration = replace(RULE, threshold=float(-middle)).to_plain()
    found = predict_anytime(model, images)
    assert {grown.level for grown in found} == {1, 2}
    for image, grown in zip(images, found, strict=True):
        (alone,) = grow_images(model, [image], partial(once, grown.level))
        np.testing.assert_allclose(
            grown.probabilities, alone.probabilities, rtol=0, atol=1e-5
        )
        if grown.level == 2:
            np.testing.assert_allclose(
                grown.probabilities, predict(model, image).probabilities, atol=1e-5
            )
    assert predict_anytime(model, []) == []
    with pytest.raises(DataError, match="2 sizes"):
        predict_anytime(model, [images[0], images[0][:, :8]])
    with pytest.raises(DataError, match="the network takes"):
        predict_anytime(model, [images[0][:1]])


def test_an_image_agrees_with_itself_whoever_goes_with_it(network: Network) -> None:
    """Some stop at L2, so that at L3 the others stand elsewhere in the batch."""
    model = network(depth=4, widths=[2, 2, 2, 2, 2])
    x = torch.randn(12, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        logits = [model(x)[f"L{k}"] for k in (1, 2, 3)]
        at = [features(b, a, ["agreement"]) for a, b in pairwise(logits)]
    # each stops a half of what comes to it
    weights = {
        f"L{k}": (-float(np.median(a)), 1.0) for k, a in zip((2, 3), at, strict=True)
    }
    known = np.unique(np.concatenate([a - np.median(a) for a in at]))
    stopped: set[int] = set()
    for low, high in pairwise(known):
        if high - low < 1e-3:
            continue  # a batch rounds otherwise than an image
        middle = float(low + high) / 2
        rule = replace(RULE, signal="agreement", weights=weights, threshold=middle)
        with torch.inference_mode():
            together = grow(model, x, rule.enough)[0].tolist()
            alone = [int(grow(model, one[None], rule.enough)[0][0]) for one in x]
        assert together == alone
        stopped |= set(alone)
    assert stopped == {2, 3, 4}


@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("classes", [1, 3])
def test_axes_and_classes_make_no_difference(
    dims: int, classes: int, network: Network
) -> None:
    """An image alone, stopped at the end, has the labels that `predict` gives.

    The logits have one layout here, another there: a sigmoid rounds its last bit so.
    """
    model: Any = network(dims=dims, classes=classes, in_channels=2)
    image = np.random.default_rng(0).normal(size=(2, 9, 6, 5)[: dims + 1])
    model.calibration = replace(RULE, threshold=None).to_plain()
    (found,) = predict_anytime(model, [image.astype(np.float32)])
    expected = predict(model, image.astype(np.float32))
    assert found.level == 2
    assert (found.labels == expected.labels).all()
    np.testing.assert_allclose(found.probabilities, expected.probabilities, rtol=1e-6)
    model.calibration = replace(RULE, threshold=-9.0).to_plain()
    (found,) = predict_anytime(model, [image.astype(np.float32)])
    assert (found.level, found.labels.shape) == (1, expected.labels.shape)


def test_what_is_larger_than_a_window_has_the_last_level(network: Network) -> None:
    model: Any = network()
    model.calibration = replace(RULE, threshold=-9.0).to_plain()
    image = np.random.default_rng(0).normal(size=(3, 20, 9)).astype(np.float32)
    (whole,) = predict_anytime(model, [image], (32, 32))
    (parts,) = predict_anytime(model, [image], (8, 16))
    assert (whole.level, parts.level) == (1, 2)
    expected = predict(model, image, (8, 16))
    assert (parts.probabilities == expected.probabilities).all()


@pytest.mark.parametrize(("left", "level"), [(0.5, 1), (3.5, 2), (4.5, 2), (99, 3)])
def test_a_budget_is_kept(
    left: float, level: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A level takes 1, 2 and 3 seconds here, and a clock ticks with the nodes."""
    clock = [0.0]
    model, x = build(THREE).eval(), torch.randn(1, 3, 8, 8)
    monkeypatch.setattr(anytime, "step_seconds", lambda model, x: [1.0, 2.0, 3.0])
    monkeypatch.setattr(time, "perf_counter", lambda: clock[0])
    for k in THREE.heads:
        child = model.get_submodule(f"x0_{k}")
        child.register_forward_hook(
            lambda *_, k=k: clock.__setitem__(0, clock[0] + k) or None
        )
    budget = Budget(model, left)
    for _ in range(2):
        with torch.inference_mode():
            assert grow(model, x, budget(x))[0].tolist() == [level]


def test_steps_are_timed_level_by_level(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    model = build(THREE).eval()
    monkeypatch.setattr(time, "perf_counter", lambda: clock[0])
    for k in THREE.heads:
        model.get_submodule(f"x0_{k}").register_forward_hook(
            lambda *_, k=k: clock.__setitem__(0, clock[0] + 2.0**k) or None
        )
    with torch.inference_mode():
        assert anytime.step_seconds(model, torch.zeros(1, 3, 8, 8)) == [2.0, 4.0, 8.0]


def test_a_budget_is_above_zero(network: Network) -> None:
    for seconds in (0.0, -1.0, float("nan")):
        with pytest.raises(SettingsError, match="ms is not allowed, above 0"):
            Budget(network(), seconds)


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_a_calibration_is_part_of_a_checkpoint(
    suffix: str, network: Network, tmp_path: Path
) -> None:
    file = tmp_path / f"model{suffix}"
    rule = replace(RULE, signal="gain", weights={"L1": (0.1, 1e-300, -3.0, 1 / 3, 0.0)})
    save(network(), file, extra={"calibration": rule.to_plain()})
    model = load(file)
    assert calibration_of(model) == rule
    with pytest.raises(SettingsError, match="has no calibration"):
        calibration_of(prune(model, [1, 2]))
    save(model, tmp_path / "again.pt")
    with pytest.raises(SettingsError, match="has no calibration"):
        calibration_of(load(tmp_path / "again.pt"))
    kept = {"calibration": model.calibration}
    save(model, tmp_path / "kept.pt", extra=kept)
    assert calibration_of(load(tmp_path / "kept.pt")) == rule


NAN, INF = float("nan"), float("inf")
NO_NUMBERS: list[Any] = [
    True,
    "",
    "0.5",
    "low",
    [],
    (),
    {},
    [0.5],
    NAN,
    INF,
    -INF,
    10**400,
]
NO_NUMBERS += [torch.tensor(0.5), torch.ones(2), [[1]]]
WRONG: dict[str, list[Any]] = {
    "signal": [*NO_NUMBERS, None, "mood", ["entropy"]],
    "weights": [
        *(value for value in NO_NUMBERS if value != {}),
        None,
        {1: [0.0, -1.0]},
        {"L1": [1.0]},
        {"L1": [0.0, -1.0, 1.0]},
        {"L2": [0.0, -1.0]},
        {"L1": [0.0, -1.0], "L3": [0.0, -1.0]},
        {"L1": "12"},
        {"L1": {0: 1, 1: 2}},
        {"L1": torch.ones(2)},
        {"L1": torch.ones(2, 2)},
        {"L1": [1e308, 1e308]},
        *({"L1": [0.0, number]} for number in NO_NUMBERS),
    ],
    "threshold": NO_NUMBERS,
    "loss": [*NO_NUMBERS, None, -3, 0, 1, 7.0],
    "confidence": [*NO_NUMBERS, None, -3, 0, 1, 7.0],
    "images": [*NO_NUMBERS, None, "many", 0, -1, 80.0],
}


@pytest.mark.parametrize(
    ("field", "value"),
    [(field, value) for field, values in WRONG.items() for value in values],
    ids=lambda value: f"{value!s:.20}",
)
def test_a_calibration_that_does_not_fit_is_refused(
    field: str, value: object, network: Network
) -> None:
    model: Any = network()
    model.calibration = {**RULE.to_plain(), field: value}
    reason = f"^the calibration is none for this network, its .*{field} .*$"
    with pytest.raises(CheckpointError, match=reason):
        calibration_of(model)


def test_a_calibration_has_its_fields_and_no_others(network: Network) -> None:
    model: Any = network()
    plain = RULE.to_plain()
    less = [{k: plain[k] for k in plain if k != name} for name in plain]
    for wrong in (*less, {**plain, "more": 1}, [1], "abc", 3, torch.ones(2)):
        model.calibration = wrong
        with pytest.raises(CheckpointError, match="its fields are not signal, weights"):
            calibration_of(model)
    model.calibration = plain
    assert calibration_of(model) == RULE


def drawn(generator: Generator, number: int) -> Seen:
    """Images of a world in which features say something of what is lost early."""
    hard = generator.beta(1, 4, (number, 1))
    lost = hard * np.array([0.12, 0.03, 0.0]) + generator.normal(0, 0.004, (number, 3))
    lost[:, 2] = 0
    lost[:, 0] += (generator.random(number) < 0.05 * hard[:, 0]) * 0.3
    noise = generator.normal(0, 0.05, (3, number, 3))
    told = [hard + noise[0], 1 - hard + noise[1], noise[2], 1 - hard + noise[0] / 2]
    macs = np.broadcast_to(np.array([1.0, 3.0, 6.0]), lost.shape)
    iou = 0.85 - 0.2 * hard - lost
    return Seen(
        ("L1", "L2", "L3"),
        *(np.stack(told, -1), iou, 2 * iou / (1 + iou), macs, macs),
    )


def test_no_more_is_lost_than_promised_as_often_as_promised() -> None:
    """The choice among the signals is in it; the true loss is that of 20,000 images."""
    model, runs, loss, confidence = build(THREE), 60, 0.01, 0.9
    generator = np.random.default_rng(0)
    world = drawn(generator, 20_000)
    wrong, saved = 0, []
    for _ in range(runs):
        rule = best(candidates(drawn(generator, 120), model, loss, confidence))
        place = stops(rule, world)
        each = np.arange(len(world))
        lost = (world.iou[:, -1] - world.iou[each, place]).mean()
        wrong += lost > loss
        saved.append(1 - world.macs[each, place].mean() / 6)
    risk = 1 - confidence
    assert wrong / runs <= risk + 3 * np.sqrt(risk * (1 - risk) / runs)
    assert np.mean(saved) > 0.3, "and it is worth it"


def test_the_first_part_of_the_images_alone_chooses_what_is_tried() -> None:
    """The losses of the images that certify change nothing but how far it goes."""
    model, seen = build(THREE), drawn(np.random.default_rng(1), 90)
    order = np.random.default_rng(0).permutation(90)
    held = order[30:]
    iou, dice = seen.iou.copy(), seen.dice.copy()
    iou[held, :-1] -= 0.2
    dice[held, :-1] -= 0.2
    found = candidates(seen, model, 0.02, 0.9)
    none = candidates(replace(seen, iou=iou, dice=dice), model, 0.02, 0.9)
    for signal, candidate in found.items():
        assert candidate.calibration.images == 60
        assert candidate.calibration.threshold is not None
        assert none[signal].calibration.threshold is None
        assert none[signal].calibration.weights == candidate.calibration.weights
        assert none[signal].macs == 6
    assert stops(best(none), seen).tolist() == [2] * 90


def test_each_signal_has_a_third_of_the_risk() -> None:
    """What is promised of each with 0.9, of all three at once, holds with 1 - 0.1/3."""
    model, loss, promised = build(THREE), 0.005, 0
    for run in range(8):
        seen = drawn(np.random.default_rng(run), 150)
        held = seen.part(np.random.default_rng(0).permutation(150)[50:].tolist())
        for candidate in candidates(seen, model, loss, 0.9).values():
            place = stops(candidate.calibration, held)
            lost = held.iou[:, -1] - held.iou[np.arange(100), place]
            if candidate.calibration.threshold is not None:
                assert upper_bounds(lost.reshape(-1, 1), 1 - 0.1 / 3) <= loss
                promised += 1
    assert promised > 12


def test_more_may_be_lost_means_less_is_computed() -> None:
    model, seen = build(THREE), drawn(np.random.default_rng(2), 150)
    costs = [
        [c.macs for c in candidates(seen, model, loss, 0.9).values()]
        for loss in (1e-6, 0.005, 0.01, 0.05, 0.5)
    ]
    assert (np.diff(costs, axis=0) <= 0).all()
    assert (np.array(costs[-1]) < 6).all()


def test_the_network_and_its_calibration_say_the_same(
    network: Network, pictures: Path
) -> None:
    """What was calibrated from features is what stops the images."""
    model, pairs = network(), find_pairs(pictures)
    seen = look(model, pairs)
    sure = -np.sort(seen.features[:, 0, 0])[len(pairs) // 2]
    rule = replace(RULE, threshold=float(sure) - 1e-6)
    ways = {
        way.name: way
        for way in compare_ways(model, pairs, seen, {"rule": rule}, rounds=1)
    }
    assert list(ways) == ["L1", "L2", "rule", "oracle"]
    place = stops(rule, seen)
    assert ways["rule"].stopped == {
        "L1": int((place == 0).sum()),
        "L2": (place == 1).sum(),
    }
    assert 0 < (place == 0).sum() < len(pairs)
    ends = ways["L2"]
    assert ends.loss == 0
    for way in ways.values():
        assert way.iou + way.loss == pytest.approx(ends.iou, abs=1e-12)
        assert way.milliseconds > 0
    assert ways["oracle"].iou >= ends.iou
    costs = grown_costs(NestGraph(NestSpec(depth=2, widths=[2, 3, 4])), (16, 16))
    share = (place == 0).mean()
    expected = share * costs[1].macs + (1 - share) * costs[2].macs
    assert ways["rule"].macs == pytest.approx(expected)


def test_the_oracle_loses_nothing_and_goes_no_further_than_needed() -> None:
    seen = drawn(np.random.default_rng(3), 50)
    place, each = oracle(seen), np.arange(50)
    assert (seen.iou[each, place] >= seen.iou[:, -1]).all()
    for image, stop in enumerate(place):
        assert (seen.iou[image, :stop] < seen.iou[image, -1]).all()


def test_what_cannot_be_calibrated_is_refused(network: Network, pictures: Path) -> None:
    model, pairs = network(), find_pairs(pictures)
    with pytest.raises(SettingsError, match="has the level L2 alone"):
        calibrate(prune(model, 2), pairs)
    for name, value in (("loss", 0.0), ("loss", 1.0), ("confidence", float("nan"))):
        with pytest.raises(SettingsError, match=f"{name}: .* between 0 and 1"):
            calibrate(model, pairs, **{name: value})  # type: ignore[arg-type]
    with pytest.raises(DataError, match="2 images to calibrate on are too few"):
        calibrate(model, pairs[:2])
    with pytest.raises(DataError, match="larger than the window of 8x8"):
        calibrate(model, pairs, window=(8, 8))
