"""The benchmark of fused training runs at toy size, and times nothing that is wrong."""

from __future__ import annotations

import doctest
import json
from pathlib import Path

import pytest
import torch
from torch import nn

from benchmarks import fused_training, saved


@pytest.fixture
def toy(tmp_path: Path) -> list[str]:
    words = "--depth 1 --batch 2 --side 16 --rounds 2 --ups transpose nearest"
    threads = str(torch.get_num_threads())
    return [*words.split(), "--threads", threads, "--output", str(tmp_path / "a.json")]


def test_examples() -> None:
    assert doctest.testmod(saved).failed == 0


def test_it_times_steps_and_counts_bytes(toy: list[str]) -> None:
    fused_training.main(toy)
    told = json.loads(Path(toy[-1]).read_text())
    assert told["command"].startswith("python -m benchmarks.fused_training --depth 1 ")
    assert told["machine"]["versions"]["torch"] == torch.__version__
    assert 0 < told["shares_of_others"]["depth 1"] < 0.5
    assert [row["up"] for row in told["networks"]] == ["transpose", "nearest"]
    for row in told["networks"]:
        assert row["milliseconds"].keys() == row["saved"]["bytes"].keys()
        assert row["times_as_long"]["median"] > 0
        assert 0 < row["saved"]["share"] < 0.5
        assert row["saved_large"]["shape"] == [8, 3, 512, 512]
        assert row["saved_large"]["dtype"] == "torch.bfloat16"
        assert 0 < row["saved_large"]["share"] < 0.5
        # a step without its backward pass would leave no gradients
        assert 0 < row["gradient_errors"]["fused"] < 1e-4


def test_a_step_has_gradients_where_they_are_off() -> None:
    layer, x = nn.Conv2d(1, 1, 1), torch.ones(1, 1, 2, 2)
    with torch.inference_mode():
        fused_training.step(layer, x)
    assert layer.weight.grad is not None


def test_it_times_nothing_that_is_wrong(
    toy: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fused_training, "MOST", 0.0)
    with pytest.raises(SystemExit, match="transpose: gradients are off"):
        fused_training.main(toy)
    assert not Path(toy[-1]).exists()
