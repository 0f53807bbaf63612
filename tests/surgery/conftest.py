"""What the tests of the surgery share."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from nestgen.arch.spec import NestSpec
from nestgen.codegen.load import build


@pytest.fixture(scope="session")
def lived() -> Callable[[NestSpec], nn.Module]:
    """Networks as after a training: no parameter and no statistic at its start."""
    return _lived


def _lived(spec: NestSpec) -> nn.Module:
    torch.manual_seed(spec.depth)
    model = build(spec)
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if name.endswith("running_var"):
                tensor.uniform_(0.5, 2)
            elif name.endswith("num_batches_tracked"):
                tensor.fill_(7)
            else:
                tensor.add_(torch.randn_like(tensor) * 0.1)
    return model
