"""Deep supervision: which head weighs what."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from nestgen.errors import SettingsError
from nestgen.training.losses import DeepSupervision


def bce_dice(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Cross-entropy plus one minus the soft Dice of the whole batch, by hand."""
    p = logits.sigmoid()
    dice = (2 * (p * labels).sum() + 1e-5) / (p.sum() + labels.sum() + 1e-5)
    return F.binary_cross_entropy_with_logits(logits, labels) + 1 - dice


def outputs(levels: tuple[int, ...], classes: int = 1) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return {f"L{k}": torch.randn(2, classes, 4, 4, requires_grad=True) for k in levels}


def test_is_the_mean_of_the_levels() -> None:
    y, labels = outputs((1, 2, 3)), torch.randint(0, 2, (2, 1, 4, 4)).float()
    found = DeepSupervision(1, (1, 2, 3), {})(y, labels)
    by_hand = torch.stack([bce_dice(y[name], labels) for name in y]).mean()
    torch.testing.assert_close(found, by_hand)


def test_weights_go_by_the_level_not_by_the_place() -> None:
    y, labels = outputs((2, 4)), torch.randint(0, 2, (2, 1, 4, 4)).float()
    turned = dict(reversed(y.items()))
    for given in (y, turned):
        found = DeepSupervision(1, (2, 4), {"L4": 3.0})(given, labels)
        by_hand = (bce_dice(y["L2"], labels) + 3 * bce_dice(y["L4"], labels)) / 4
        torch.testing.assert_close(found, by_hand)


def test_a_level_of_weight_zero_gets_no_gradient() -> None:
    y, labels = outputs((1, 2)), torch.ones(2, 1, 4, 4)
    DeepSupervision(1, (1, 2), {"L1": 0.0})(y, labels).backward()
    assert y["L1"].grad is None
    assert y["L2"].grad is not None


def test_several_classes_learn_from_labels() -> None:
    y, labels = outputs((1,), classes=3), torch.randint(0, 3, (2, 1, 4, 4)).float()
    loss = DeepSupervision(3, (1,), {})
    right = 20 * F.one_hot(labels[:, 0].long(), 3).movedim(-1, 1).float()
    assert loss({"L1": right}, labels).item() < 1e-3 < loss(y, labels).item()


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        ({"L3": 1.0}, "L3 is no level, L1, L2"),
        ({"L1": -1.0}, "0 or more"),
        ({"L1": 0.0, "L2": 0.0}, "not all 0"),
        ({"L1": float("nan")}, "0 or more"),
    ],
)
def test_refuses_weights(weights: dict[str, float], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        DeepSupervision(1, (1, 2), weights)
