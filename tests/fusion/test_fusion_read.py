"""Arguments are read by place and by torch's names of them."""

from __future__ import annotations

from torch import Tensor, fx, nn
from torch.nn import functional as F

from nestgen.fusion.operations import Act, Operation, Pool, Up
from nestgen.fusion.read import read


class Functions(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        x = F.leaky_relu(input=x, negative_slope=0.2)
        x = F.max_pool2d(F.leaky_relu(x, 0.3), kernel_size=2)
        return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)


def test_arguments_have_torchs_names() -> None:
    traced = fx.symbolic_trace(Functions())
    first, second, third, fourth = list(traced.graph.nodes)[1:-1]
    expected: dict[fx.Node, Operation] = {
        first: Act(first.args[0] if first.args else first.kwargs["input"], 0.2),
        second: Act(first, 0.3),
        third: Pool(second),
        fourth: Up(third, "bilinear-aligned"),
    }
    assert {node: read(traced, node) for node in expected} == expected
