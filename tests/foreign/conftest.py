"""What the tests of imported weights share."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import nn

STYLE = Path(__file__).with_name("nested_unet_style.py")


@pytest.fixture(scope="session")
def style() -> ModuleType:
    """The networks in the style of 4uiiurz1's."""
    spec = importlib.util.spec_from_file_location("nested_unet_style", STYLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def trained() -> Callable[..., nn.Module]:
    """A network after a few steps on noise: weights and statistics are its own."""
    return _trained


def _trained(model: nn.Module, *size: int) -> nn.Module:
    torch.manual_seed(1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    for _ in range(2):
        outputs = model(torch.randn(size) * 2 + 1)
        listed = outputs if isinstance(outputs, (list, tuple)) else [outputs]
        loss = sum(((logits - 1) ** 2).mean() for logits in listed)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model.eval()
