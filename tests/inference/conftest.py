"""What the tests of the inference share."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import nn

from nestgen.arch.spec import NestSpec
from nestgen.codegen.load import build
from nestgen.training.outputs import by_level


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> Iterator[None]:
    """Networks this small wait for a second thread longer than they compute."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def network() -> Callable[..., nn.Module]:
    """Tiny networks of depth 2 that give mixed labels, at each level others."""

    def fresh(**fields: object) -> nn.Module:
        spec = NestSpec(**{"depth": 2, "widths": [2, 3, 4], **fields})
        return copy.deepcopy(_network(spec))

    return fresh


@functools.cache
def _network(spec: NestSpec) -> nn.Module:
    torch.manual_seed(1)
    side = 32 if spec.dims == 2 else 16
    model, x = build(spec), torch.randn(2, spec.in_channels, *[side] * spec.dims)
    with torch.no_grad():
        for _ in range(10):
            model.train()(x)
        for name, logits in by_level(model.eval()(x), spec.heads).items():
            middle = logits.transpose(0, 1).flatten(1).median(1).values
            model.get_parameter(f"head_{name}.bias").sub_(middle)
    return model
