"""Memory by formula against what torch holds, for any spec, to the byte."""

from __future__ import annotations

import math
from typing import Any, get_args

import pytest
import torch
from hypothesis import Phase, assume, given, settings
from hypothesis import strategies as st

from benchmarks.saved import saved_bytes
from nestgen.arch import operations
from nestgen.arch.blocks import BLOCKS
from nestgen.arch.choices import Activation, BlockKind, Norm
from nestgen.arch.field import node_fields
from nestgen.arch.graph import NestGraph
from nestgen.arch.memory import memory
from nestgen.arch.spec import NestSpec
from nestgen.codegen.load import build
from nestgen.errors import SpecError
from nestgen.training.optimizer import make_optimizer
from nestgen.training.settings import Settings
from nestgen.training.timing import peak_bytes

Specs = st.SearchStrategy[NestSpec]


def agree(spec: NestSpec, times: int = 2) -> None:
    size = tuple(times * by for by in NestGraph(spec).multiples)
    model, x = build(spec), torch.rand(2, spec.in_channels, *size)
    told = memory(NestGraph(spec), size, batch_size=2)
    kept = saved_bytes(model.state_dict().values(), lambda: model.train()(x))
    assert told.activations == kept, repr(spec)
    assert told.inference == peak_bytes(model.eval(), x), repr(spec)


@settings(max_examples=50, phases=[Phase.generate])
@given(data=st.data())
def test_memory_is_what_torch_holds(specs: Specs, data: st.DataObject) -> None:
    whole = data.draw(specs.filter(lambda spec: spec.encoder is None))
    spec = whole.cut(whole.heads[:1])
    assume(math.prod(NestGraph(spec).multiples) <= 2_000)
    agree(spec)


BLOCK_FIELDS: list[dict[str, Any]] = [
    *({"kind": kind} for kind in get_args(BlockKind)),
    *({"kind": kind, "norm": "none"} for kind in get_args(BlockKind)),
    *({"kind": kind, "dropout": 0.5} for kind in get_args(BlockKind)),
    *({"kind": kind, "drop_path": 0.5} for kind in BLOCKS if BLOCKS[kind].residual),
    *({"norm": norm, "groups": 2} for norm in get_args(Norm)),
    *({"activation": name} for name in get_args(Activation)),
    *({"activation": name, "kind": "double-preact"} for name in get_args(Activation)),
    {"standardise": True},
    {"kind": "double-preact", "norm": "none", "dropout": 0.5, "activation": "gelu"},
]


@pytest.mark.parametrize("block", BLOCK_FIELDS, ids=str)
def test_every_block_is_told(block: dict[str, Any]) -> None:
    agree(NestSpec(depth=1, widths=4, block=block), times=4)


def test_the_comparison_can_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = NestSpec(depth=1, widths=4)
    agree(spec)
    monkeypatch.setattr(operations, "INT64", 4)
    with pytest.raises(AssertionError):
        agree(spec)


def test_training_holds_gradients_and_moments() -> None:
    spec = NestSpec(depth=2, widths=4)
    model = build(spec)
    optimizer = make_optimizer(model, Settings())
    sum(y.sum() for y in model(torch.rand(1, 3, 8, 8)).values()).backward()
    optimizer.step()
    told = memory(NestGraph(spec), (8, 8))
    gradients = sum(p.grad.nbytes for p in model.parameters() if p.grad is not None)
    moments = [
        state[name]
        for state in optimizer.state.values()
        for name in state
        if name != "step"
    ]
    assert told.gradients == gradients
    assert told.optimizer == sum(moment.nbytes for moment in moments)
    assert told.weights == sum(t.nbytes for t in model.state_dict().values())


def test_the_batch_counts_for_activations_alone() -> None:
    graph = NestGraph(NestSpec(depth=2, block={"norm": "group"}))
    one, two = (memory(graph, (32,), batch_size) for batch_size in (1, 2))
    assert two.activations == 2 * one.activations
    assert two.inference - two.weights == 2 * (one.inference - one.weights)
    assert two.training - two.activations == one.training - one.activations


def test_a_batch_of_none_is_refused() -> None:
    with pytest.raises(SpecError, match=r"^batch_size: 0 is not allowed, 1 or more$"):
        memory(NestGraph(NestSpec()), (256, 256), 0)


def test_a_backbone_has_no_formula() -> None:
    graph = NestGraph(NestSpec(depth=2, encoder="resnet18"))
    for told in (lambda: memory(graph, (8, 8)), lambda: node_fields(graph)):
        with pytest.raises(SpecError, match=r"^encoder: resnet18 has no such formula$"):
            told()
