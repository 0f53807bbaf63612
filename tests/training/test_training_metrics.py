"""IoU and Dice against MONAI's, and their laws."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from monai.metrics import DiceMetric, compute_iou

from nestgen.training.metrics import Scores, count_pixels

MASKS = arrays(np.uint8, (5, 6), elements=st.integers(0, 2))


def scores(pairs: list[tuple[np.ndarray, np.ndarray]], classes: int) -> Scores:
    return Scores(np.stack([count_pixels(y, t, classes) for y, t in pairs]))


@given(MASKS, MASKS)
def test_equal_monai_where_both_are_defined(y: np.ndarray, t: np.ndarray) -> None:
    one_hot = [torch.tensor(np.stack([m == c for c in range(3)])[None]) for m in (y, t)]
    found = scores([(y, t)], classes=3)
    iou = compute_iou(*one_hot, include_background=False, ignore_empty=False)
    dice = DiceMetric(include_background=False, ignore_empty=False)(*one_hot)
    there = ((one_hot[0] | one_hot[1]).sum((2, 3))[0, 1:] > 0).numpy()
    if there.any():
        assert found.iou[0] == pytest.approx(float(iou[0].numpy()[there].mean()))
        assert found.dice[0] == pytest.approx(float(dice[0].numpy()[there].mean()))
    else:
        assert found.iou[0] == found.dice[0] == 1


@given(MASKS, MASKS)
def test_laws(y: np.ndarray, t: np.ndarray) -> None:
    y, t = y.clip(0, 1), t.clip(0, 1)
    one = scores([(y, t)], classes=1)
    swapped = scores([(t, y)], classes=1)
    assert one.iou[0] == swapped.iou[0]
    assert one.dice[0] == pytest.approx(2 * one.iou[0] / (1 + one.iou[0]))
    assert one.mean_iou == one.pixel_iou, "one image is all pixels"
    assert scores([(t, t)], classes=1).pixel_iou == 1


def test_per_image_and_over_all_pixels_differ() -> None:
    small, large = np.zeros((4, 4), np.uint8), np.ones((4, 4), np.uint8)
    small[0, 0] = 1
    found = scores([(large * 0, small), (large, large)], classes=1)
    assert found.mean_iou == 0.5
    assert found.pixel_iou == pytest.approx(16 / 17)


def test_says_over_what_each_number_is_taken() -> None:
    one = np.ones((2, 2), np.uint8)
    assert set(scores([(one, one)], 1).to_plain()) == {
        "iou_per_image",
        "dice_per_image",
        "iou_all_pixels",
        "dice_all_pixels",
    }
