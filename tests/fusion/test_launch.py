"""Networks by kernels, in Triton's interpreter; `fuse` holds them against float64."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nestgen.arch.spec import NestSpec
from nestgen.codegen.load import build
from nestgen.errors import ModuleError
from nestgen.fusion.fuse import fuse
from nestgen.fusion.hot_conv import HotConv
from nestgen.kernels.availability import why_no_triton

Lived = Callable[[nn.Module], nn.Module]
why = why_no_triton([torch.zeros(1, 1, 2, 2)])
needs_triton = pytest.mark.skipif(why is not None, reason=str(why))


def launches(fused: nn.Module) -> list[HotConv]:
    return [module for module in fused.modules() if isinstance(module, HotConv)]


class Hot(nn.Module):
    """One hot path, and what a test makes of its result."""

    def __init__(self, up: str = "nearest", then: str = "nothing") -> None:
        super().__init__()
        self.up = nn.Upsample(scale_factor=2, mode=up)
        self.conv, self.head = nn.Conv2d(16, 16, 3, padding=1), nn.Conv2d(16, 2, 1)
        self.then = then

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Of the result its maxima and its head, in the end written over or not."""
        low = F.max_pool2d(x, 2)
        y = F.relu(self.conv(torch.cat([self.up(low), x], 1)))
        if self.then == "written over":
            y.mul_(2)
        made = (F.max_pool2d(y, 2), self.head(y))
        return (y, *made) if self.then == "kept" else made


@needs_triton
@pytest.mark.parametrize("kernel", ["gather", "phase", "rows"])
def test_a_network_runs_by_a_kernel(kernel: str, lived: Lived) -> None:
    module = lived(build(NestSpec(depth=1, widths=16, in_channels=1, pad=False)))
    fused = fuse(module, torch.randn(1, 1, 4, 4), target=kernel)
    rows = {row.name: row.done for row in fused.report.rows}
    by = f"kernel {kernel}"
    named = [name for name, done in rows.items() if any(by in one for one in done)]
    hot = ["x0_1.conv1"] if kernel == "phase" else [n for n in rows if "conv" in n]
    assert named == hot
    assert len(launches(fused)) == len(hot)
    if kernel != "phase":
        assert rows["head_L1"] == ["in x0_1.conv2"]


@needs_triton
@pytest.mark.parametrize("up", ["nearest", "bilinear"])
def test_the_maxima_and_the_head_come_out_of_one_launch(up: str, lived: Lived) -> None:
    x = torch.randn(1, 8, 4, 4)
    fused = fuse(lived(Hot(up)), x, target="gather")
    (launch,) = launches(fused)
    assert launch.outputs == ["pooled", "logits"]
    fused = fuse(lived(Hot(up, then="kept")), x, target="gather")
    (launch,) = launches(fused)
    assert launch.outputs == ["features", "pooled", "logits"]


@needs_triton
def test_what_is_written_over_is_not_read_before(lived: Lived) -> None:
    fused = fuse(
        lived(Hot(then="written over")), torch.randn(1, 8, 4, 4), target="gather"
    )
    (launch,) = launches(fused)
    assert launch.outputs == ["features"]


def test_a_kernel_that_runs_nothing_is_refused(lived: Lived) -> None:
    module = lived(Hot()).double()
    with pytest.raises(ModuleError, match="target: gather runs nothing of this netw"):
        fuse(module, torch.randn(1, 8, 4, 4).double(), target="gather")
    flat = nn.Sequential(nn.Flatten(), nn.Linear(4, 1)).eval()
    with pytest.raises(ModuleError, match="there is no conv3x3 of images"):
        fuse(flat, torch.zeros(1, 1, 2, 2), target="rows")
