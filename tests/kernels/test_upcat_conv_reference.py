"""The reference is what a generated node computes between its inputs and its norm."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from nestgen.arch.graph import NestGraph, Node
from nestgen.arch.spec import NestSpec
from nestgen.codegen.load import build
from nestgen.kernels.upcat_conv_reference import upcat_conv_reference


@pytest.mark.parametrize("up", ["transpose", "nearest", "bilinear", "bilinear-aligned"])
@pytest.mark.parametrize("concat", ["up-first", "up-last"])
def test_equals_the_first_half_of_a_generated_node(up: str, concat: str) -> None:
    spec = NestSpec(depth=2, widths=2, up=up, concat=concat, block={"norm": "none"})
    model = build(spec).double()
    graph, target = NestGraph(spec), Node(0, 2)
    node: Any = model.get_submodule(target.name)
    node.conv2 = nn.Identity()
    learned: Any = model.get_submodule("up0_2") if up == "transpose" else None
    sources = {
        edge.source: torch.randn(
            2, graph.width(edge.source), *(8 >> edge.source.i,) * 2, dtype=torch.float64
        )
        for edge in graph.inputs(target)
    }
    inputs = [
        model.get_submodule("up0_2" if learned else "up")(sources[edge.source])
        if edge.kind == "up"
        else sources[edge.source]
        for edge in graph.inputs(target)
    ]
    y = upcat_conv_reference(
        sources[Node(1, 1)],
        [sources[Node(0, 0)], sources[Node(0, 1)]],
        node.conv1.weight,
        node.conv1.bias,
        up=up,
        up_weight=None if learned is None else learned.weight,
        up_bias=None if learned is None else learned.bias,
        up_last=concat == "up-last",
    )
    torch.testing.assert_close(y, node(*inputs), rtol=0, atol=0)


def test_refuses_an_unknown_way_up() -> None:
    low = torch.zeros(1, 1, 1, 1)
    with pytest.raises(ValueError, match="up='cubic' is not allowed, transpose"):
        upcat_conv_reference(low, [], torch.zeros(1, 1, 3, 3), up="cubic")
