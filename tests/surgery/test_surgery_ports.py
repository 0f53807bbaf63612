"""The networks in others' styles: their traps are there, and what a loss trains."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import fx

from nestgen.surgery.cut_any import cut_any
from nestgen.surgery.gradients import module_gradients
from nestgen.surgery.kept import output_tensors
from nestgen.surgery.outside import load_class

PORTS: dict[str, Any] = load_class(f"{Path(__file__).with_name('ports.py')}:PORTS")

HEADS = {
    "shallow-first": ["0", "1", "2"],
    "deepest-first": ["seg.1.1", "seg.1.0", "seg.0"],
    "pads-odd": ["0", "1"],
    "mean-too": ["1.0", "1.1", "1.2"],
    "by-name": ["0"],
}
"""The outputs that are logits of levels, the shallowest first."""


@pytest.mark.parametrize("name", PORTS)
def test_what_each_output_trains(name: str) -> None:
    make, shape = PORTS[name]
    torch.manual_seed(0)
    module, x = make(), torch.randn(shape)
    for output in output_tensors(module.eval()(x)):
        twin = copy.deepcopy(module)
        torch.autograd.backward(output_tensors(twin(x))[output].square().sum())
        idle = {n for n, p in twin.named_parameters() if p.grad is None}
        assert set(module_gradients(module, x, [output]).names) == idle
    assert module_gradients(module, x).parts == ()


@pytest.mark.parametrize("name", PORTS)
def test_deeper_heads_train_more(name: str) -> None:
    make, shape = PORTS[name]
    module, x = make(), torch.randn(shape)
    found = [module_gradients(module, x, [head]) for head in HEADS[name]]
    idle = [part.unreached for part in found]
    assert idle == sorted(idle, reverse=True)
    assert len(set(idle)) == len(idle)
    heads = {name for name, _ in module.named_parameters() if is_head(name)}
    assert set(found[-1].names) <= heads, "UNet++ has no dead node"


def is_head(parameter: str) -> bool:
    return parameter.startswith(("final", "heads.", "out", "segmentation_head"))


@pytest.mark.parametrize("name", PORTS)
def test_the_traps_are_there(name: str) -> None:
    make, shape = PORTS[name]
    module, x = make().eval(), torch.randn(shape)
    outputs = output_tensors(module(x))
    for head in HEADS[name]:
        assert outputs[head].shape[-2:] == x.shape[-2:]
    if name in ("pads-odd", "by-name"):
        with pytest.raises(fx.proxy.TraceError, match="control flow"):
            fx.symbolic_trace(module)
    else:
        traced = output_tensors(fx.symbolic_trace(module)(x))
        assert all(torch.equal(traced[n], y) for n, y in outputs.items())


@pytest.mark.parametrize("name", PORTS)
def test_each_head_is_cut(name: str) -> None:
    """To the bits of the whole, with what a gradient of it reaches and no more."""
    make, shape = PORTS[name]
    torch.manual_seed(1)
    module, x = make().eval(), torch.randn(shape)
    for head in HEADS[name]:
        cut = cut_any(module, head, x)
        unlike = torch.randn(shape)
        assert torch.equal(cut.module(unlike), output_tensors(module(unlike))[head])
        idle = set(module_gradients(module, x, [head]).names)
        owned = {n for n, _ in module.named_parameters()} - idle
        assert {n for n, _ in cut.module.named_parameters()} == owned
