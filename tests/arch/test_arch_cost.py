"""The formulas of `cost` against torch, for any spec."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from nestgen.arch import cost as formulas
from nestgen.arch.cost import Cost, default_size, graph_cost, level_costs
from nestgen.arch.graph import NestGraph
from nestgen.arch.spec import NestSpec
from nestgen.codegen.load import build
from nestgen.errors import SpecError

Specs = st.SearchStrategy[NestSpec]


def measured(spec: NestSpec, size: tuple[int, ...]) -> Cost:
    """What torch counts in a pass of the network, on the meta device."""
    counts: Counter[str] = Counter()

    def note(module: nn.Module, inputs: Any, output: Tensor) -> None:
        counts["activation_bytes"] += output.nbytes

    with torch.device("meta"):
        model, x = build(spec).eval(), torch.empty(1, spec.in_channels, *size)
    for name, module in model.named_children():
        if name.startswith("x"):
            module.register_forward_hook(note)
    with FlopCounterMode(display=False) as flops, torch.no_grad():
        outputs = model(x)
    for logits in outputs.values() if isinstance(outputs, dict) else [outputs]:
        counts["activation_bytes"] += logits.nbytes
    return Cost(
        parameters=sum(p.numel() for p in model.parameters()),
        macs=flops.get_total_flops() // 2,
        activation_bytes=counts["activation_bytes"],
        weight_bytes=sum(tensor.nbytes for tensor in model.state_dict().values()),
    )


def agree(spec: NestSpec, size: tuple[int, ...]) -> None:
    assert graph_cost(NestGraph(spec), size) == measured(spec, size)


# A failing example is small enough as it is found; to shrink it takes minutes.
@settings(max_examples=25, deadline=None, phases=[Phase.generate])
@given(data=st.data())
def test_cost_is_what_torch_counts(specs: Specs, data: st.DataObject) -> None:
    spec = data.draw(specs)
    # Torch's instance norm refuses a row of one pixel, so none is as small as that.
    times = data.draw(st.tuples(*[st.integers(2, 3)] * spec.dims))
    units = NestGraph(spec).multiples
    agree(spec, tuple(a * b for a, b in zip(times, units, strict=True)))


def test_the_comparison_can_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = NestSpec(depth=2, widths=4)
    agree(spec, (8, 8))
    monkeypatch.setattr(formulas, "INT64", 4)
    with pytest.raises(AssertionError):
        agree(spec, (8, 8))


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_a_level_costs_what_its_cut_costs(specs: Specs, data: st.DataObject) -> None:
    graph = NestGraph(data.draw(specs))
    size = tuple(2 * by for by in graph.multiples)
    costs = level_costs(graph, size)
    assert tuple(costs) == graph.levels
    for level, cost in costs.items():
        assert cost == graph_cost(graph.level(level), size)


def test_costs_add_up_field_by_field() -> None:
    assert Cost(1, 2, 3, 4) + Cost(10, 20, 30, 40) == Cost(11, 22, 33, 44)


@pytest.mark.parametrize("size", [(8, 4), (12, 8), (0, 8), (-8, 8)])
def test_a_size_that_does_not_divide_is_refused(size: tuple[int, int]) -> None:
    text = f"^size: {size[0]}x{size[1]} is not allowed, multiples of 8$"
    with pytest.raises(SpecError, match=text):
        graph_cost(NestGraph(NestSpec(depth=3)), size)


@pytest.mark.parametrize("depth", range(1, 13))
def test_every_depth_takes_its_default_size(depth: int) -> None:
    size = default_size(NestGraph(NestSpec(depth=depth)))
    assert all(side >= 256 and side % 2**depth == 0 for side in size)
