"""A large example is proven on its corner, where the network takes that."""

from __future__ import annotations

from typing import Any

import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from nestgen.arch.spec import NestSpec
from nestgen.codegen.load import build
from nestgen.fusion.fuse import fuse
from nestgen.fusion.onnx import onnx_of


class OneSize(nn.Module):
    """Takes images of one size alone."""

    def __init__(self, side: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 3, padding=1)
        self.norm = nn.BatchNorm2d(2)
        self.places = nn.Parameter(torch.randn(2, side, side))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.norm(self.conv(x))
        return y.relu() * self.places


class BySize(nn.Module):
    """Does something else with large images."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 3, padding=1)
        self.norm = nn.BatchNorm2d(2)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.norm(self.conv(x))
        return y.relu() if x.shape[-1] > 70 else y.tanh()


@pytest.mark.parametrize(
    ("shape", "proven"),
    [((2, 3, 81, 40), (2, 3, 64, 40)), ((1, 3, 9, 8), (1, 3, 9, 8))],
)
def test_a_corner_is_enough(shape: tuple[int, ...], proven: tuple[int, ...]) -> None:
    model = build(NestSpec(depth=2, widths=2)).eval()
    x = torch.randn(shape)
    fast = fuse(model, x)
    assert fast.report.inputs[0] == proven
    assert all(max(found[2:]) <= 2 * max(proven[2:]) for found in fast.report.inputs)
    for ours, theirs in zip(fast(x).values(), model(x).values(), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_of_volumes_too() -> None:
    model = build(NestSpec(dims=3, depth=1, widths=2)).eval()
    assert fuse(model, torch.randn(1, 3, 5, 40, 6)).report.inputs[0] == (1, 3, 5, 32, 6)


def test_the_example_where_the_corner_is_not_taken() -> None:
    model, x = OneSize(72).eval(), torch.randn(1, 1, 72, 72)
    fast = fuse(model, x)
    assert fast.report.inputs[0] == (1, 1, 72, 72)
    torch.testing.assert_close(fast(x), model(x))


def test_the_example_where_a_corner_is_taken_otherwise() -> None:
    model, x = BySize().eval(), torch.randn(1, 1, 72, 72)
    fast = fuse(model, x)
    assert fast.report.inputs[0] == (1, 1, 72, 72)
    torch.testing.assert_close(fast(x), model(x))
    with pytest.raises(
        ValueError, match=r"64\] is not allowed, only where .*\[3\] > 70$"
    ):
        fast(torch.randn(1, 1, 64, 64))


def test_what_was_followed_for_some_sizes_is_exported_for_one() -> None:
    model, x = BySize().eval(), torch.randn(1, 1, 9, 10)
    session = onnxruntime.InferenceSession(onnx_of(fuse(model, x), x))
    for number in (1, 3):
        wide = torch.randn(number, 1, 9, 10)
        (found,) = session.run(None, {"x": wide.numpy()})
        torch.testing.assert_close(torch.from_numpy(found), model(wide))
    with pytest.raises(onnxruntime.capi.onnxruntime_pybind11_state.InvalidArgument):
        session.run(None, {"x": torch.randn(1, 1, 9, 80).numpy()})


def test_all_other_sides_stay_open() -> None:
    class Checked(nn.Conv2d):
        def forward(self, x: Tensor) -> Tensor:
            if x.dim() != 4 or x.shape[1] != 3:
                raise ValueError("no image")
            return super().forward(x)

    model, x = Checked(3, 2, 3).eval(), torch.randn(1, 3, 8, 8)
    fused = fuse(model, x)
    assert (fused.report.way, fused.open_axes(x)) == ("torch.export", [[0, 2, 3]])
    session = onnxruntime.InferenceSession(onnx_of(fused, x))
    other = torch.randn(3, 3, 9, 13)
    (found,) = session.run(None, {"x": other.numpy()})
    torch.testing.assert_close(torch.from_numpy(found), model(other))


def test_the_example_where_the_corner_proves_too_little() -> None:
    class Telling(nn.Conv2d):
        """Tells what is another constant for what is tried beside a corner."""

        def forward(self, x: Tensor) -> Any:
            return super().forward(x), x.shape[-1] * x.shape[-2] > 64 * 64

    model, x = Telling(1, 2, 3).eval(), torch.randn(1, 1, 72, 72)
    fused = fuse(model, x)
    assert fused.report.inputs[0] == (1, 1, 72, 72)
    assert fused(x)[1] is True
