"""A captured network: one shape, new tensors each time, a GPU or a line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils._pytree import tree_map

from nestgen.errors import SettingsError
from nestgen.fusion import graphed
from nestgen.fusion.fuse import fuse
from nestgen.fusion.graphed import Graphed


@pytest.fixture
def captures(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A capture without CUDA: a replay runs again, into the tensors of the first."""
    told: list[str] = []

    def captured(
        run: Callable[[], Any], example: Any
    ) -> tuple[Callable[[], object], Any]:
        told.append("captured")
        with torch.inference_mode():
            given = tree_map(torch.clone, run())

        def replay() -> None:
            told.append("replayed")
            with torch.inference_mode():
                tree_map(lambda old, new: old.copy_(new), given, run())

        return replay, given

    monkeypatch.setattr(graphed, "_captured", captured)
    monkeypatch.setattr(graphed, "require_gpu", lambda example: None)
    monkeypatch.setattr("nestgen.fusion.fuse.require_gpu", lambda example: None)
    return told


class Two(nn.Module):
    """Gives a tensor and one in a dictionary."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 3, padding=1)

    def forward(self, x: torch.Tensor) -> Any:
        y = self.conv(x)
        return y, {"rectified": torch.relu(y)}


@torch.no_grad()
def test_a_replay_gives_what_the_network_gives(captures: list[str]) -> None:
    network = Two().eval()
    x = torch.randn(1, 1, 4, 4)
    fast = fuse(network, x, cuda_graph=True)
    assert isinstance(fast, Graphed)
    assert captures == ["captured"]
    assert [row.name for row in fast.report.rows] == ["conv"]
    others = [torch.randn(1, 1, 4, 4) for _ in range(2)]
    given = [fast(other) for other in others]
    assert captures == ["captured", "replayed", "replayed"]
    for other, (y, more) in zip(others, given, strict=True):
        expected, of_relu = network(other)
        assert torch.allclose(y, expected, atol=1e-6)
        assert torch.allclose(more["rectified"], of_relu["rectified"], atol=1e-6)


@pytest.mark.parametrize(
    "other",
    [
        torch.zeros(2, 1, 4, 4),
        torch.zeros(1, 1, 4, 5),
        torch.zeros(1, 1, 4, 4, dtype=torch.float64),
        torch.zeros(1, 1, 4, 4, device="meta"),
    ],
)
def test_another_input_is_refused(captures: list[str], other: torch.Tensor) -> None:
    fast = fuse(Two().eval(), torch.zeros(1, 1, 4, 4), cuda_graph=True)
    with pytest.raises(ValueError, match=r"\[1, 1, 4, 4\] torch.float32 on cpu as it"):
        fast(other)
    assert captures == ["captured"]


def test_it_may_be_made_and_run_in_any_mode(captures: list[str]) -> None:
    """What it holds is written over, whatever the mode, and has no gradient."""
    network, x = Two().eval(), torch.randn(1, 1, 4, 4)
    with torch.inference_mode():
        fast = fuse(network, torch.zeros(1, 1, 4, 4), cuda_graph=True)
    with torch.no_grad():
        assert torch.allclose(fast(x)[0], network(x)[0], atol=1e-6)
    fast = fuse(network, x, cuda_graph=True)
    fast(x.clone().requires_grad_())
    held: Any = fast._held
    assert not any(x.requires_grad for x in held)


def test_the_shape_is_the_typical_one(captures: list[str]) -> None:
    small, typical = torch.zeros(1, 1, 4, 4), torch.zeros(2, 1, 6, 6)
    fast = fuse(Two().eval(), small, typical=typical, cuda_graph=True)
    assert fast(typical)[0].shape == (2, 2, 6, 6)
    with pytest.raises(ValueError, match=r"\[2, 1, 6, 6\]"):
        fast(small)


def test_there_is_none_without_cuda() -> None:
    line = "cuda_graph: an example on cpu is not allowed, one on cuda"
    with pytest.raises(SettingsError, match=line):
        fuse(Two().eval(), torch.zeros(1, 1, 4, 4), cuda_graph=True)
