"""What the tests of fusion share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from nestgen.fusion.work import Work
from nestgen.surgery.cut_any import WAYS
from nestgen.surgery.kept import Kept, output_tensors, run

Lived = Callable[[nn.Module], nn.Module]
MakeWork = Callable[..., Work]


class Does(nn.Module):
    """Calls a function of itself and its input, with tensors and modules of its own."""

    def __init__(self, does: Callable[..., Any], **own: Any) -> None:
        super().__init__()
        self.does = does
        for name, value in own.items():
            if isinstance(value, Tensor) and not isinstance(value, nn.Parameter):
                self.register_buffer(name, value)
            else:
                setattr(self, name, value)

    def forward(self, x: Tensor) -> Any:
        return self.does(self, x)


@pytest.fixture(scope="session")
def does() -> type[Does]:
    """A module that does what a function says."""
    return Does


@pytest.fixture(scope="session")
def lived() -> Lived:
    """Modules as after a training, in eval mode: no parameter and no statistic at its
    start, so that a norm or a bias that is left out is seen.
    """
    return _lived


def _lived(module: nn.Module) -> nn.Module:
    chance = torch.Generator().manual_seed(len(list(module.modules())))
    with torch.no_grad():
        for name, tensor in module.state_dict().items():
            if name.endswith("running_var"):
                tensor.copy_(torch.rand(tensor.shape, generator=chance) * 1.5 + 0.5)
            elif tensor.is_floating_point():
                drawn = torch.randn(tensor.shape, generator=chance)
                tensor.add_(drawn.to(tensor) * 0.2)
    return module.eval()


@pytest.fixture(scope="session")
def work_of() -> MakeWork:
    """The work on a module that takes one input, as one of the ways follows it."""
    return _work_of


def _work_of(module: nn.Module, x: Tensor, way: str = "torch.fx") -> Work:
    with torch.no_grad():
        names = output_tensors(run(module, (x,)))
        kept = Kept(module, names, 1).eval()
        return Work(WAYS[way](kept, (x,)).module, (x,))
