"""The torch.fx cut drops what the head does not need, and leaves the model whole."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from nestgen.arch.graph import NestGraph
from nestgen.arch.spec import NestSpec
from nestgen.errors import CutError
from nestgen.surgery.trace import cut_traced

Lived = Callable[[NestSpec], nn.Module]


def test_only_the_ancestors_of_the_head_are_left(lived: Lived) -> None:
    spec = NestSpec(depth=3, widths=2)
    whole = lived(spec)
    for level in (1, 2, 3):
        traced = cut_traced(whole, [level])
        nodes = {node.name for node in NestGraph(spec).level(level).nodes}
        kept = {name for name, _ in traced.named_children() if name.startswith("x")}
        assert kept == nodes
        assert hasattr(traced, f"head_L{level}")
        assert not any(hasattr(traced, f"head_L{k}") for k in {1, 2, 3} - {level})


def test_the_model_keeps_its_modules_and_memory(lived: Lived) -> None:
    whole = lived(NestSpec(depth=3, widths=2))
    names = list(whole.state_dict())
    before = whole.get_parameter("x0_0.conv1.weight").detach().clone()
    traced = cut_traced(whole, [1])
    with torch.no_grad():
        traced.get_parameter("x0_0.conv1.weight").zero_()
    assert list(whole.state_dict()) == names
    assert torch.equal(whole.get_parameter("x0_0.conv1.weight"), before)


def test_one_head_alone_is_its_own_cut(lived: Lived) -> None:
    alone = lived(NestSpec(family="unet", depth=2, widths=2)).eval()
    x = torch.randn(3, 3, 4, 8)
    assert torch.equal(cut_traced(alone, [2])(x), alone(x))
    with pytest.raises(CutError, match=r"^L1: this UNet has the levels L2$"):
        cut_traced(alone, [1])


def test_a_level_without_a_head_says_which_exist(lived: Lived) -> None:
    with pytest.raises(CutError, match=r"^L3: this UNetPlusPlus has .* L1, L2$"):
        cut_traced(lived(NestSpec(depth=2, widths=2)), [3])
