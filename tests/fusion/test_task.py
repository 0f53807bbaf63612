"""What is timed of a hot path is what the network does, and no more."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from nestgen.fusion.choice import Choice
from nestgen.fusion.compose import torch_forms
from nestgen.fusion.match import match
from nestgen.fusion.task import Task
from nestgen.fusion.tune import candidates
from nestgen.fusion.work import Work
from nestgen.kernels.call import Call
from nestgen.kernels.call_reference import run_reference
from nestgen.kernels.fused_conv import IMPLEMENTATIONS, Implementation


class Cats(TorchDispatchMode):
    """Counts how many images each concatenation takes."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.found: list[int] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        if func.overloadpacket is torch.ops.aten.cat:
            self.found.append(len(args[0]))
        return func(*args, **(kwargs or {}))


class Node(nn.Module):
    """Two convolutions, of which the first reads `skips` inputs and one from below."""

    def __init__(self, skips: int, up: str) -> None:
        super().__init__()
        self.skips, self.up = skips, nn.Upsample(scale_factor=2, mode=up)
        self.first = nn.Conv2d(3 * (skips + 1), 4, 3, padding=1)
        self.second = nn.Conv2d(4, 4, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        raised = self.up(nn.functional.max_pool2d(x, 2))
        y = torch.relu(self.first(torch.cat([raised, *[x] * self.skips], 1)))
        z: Tensor = self.second(y)
        return z


@pytest.mark.parametrize("skips", [1, 2])
def test_one_image_is_not_copied_to_be_concatenated(
    skips: int, work_of: Callable[..., Work]
) -> None:
    work = work_of(Node(skips, "nearest"), torch.randn(1, 3, 8, 8))
    found = {}
    for path in match(work):
        task = Task.of(work, path)
        for form in torch_forms(path.up, len(path.skips)):
            with Cats() as cats:
                task.by(Choice(form))()
            found[path.up, form] = cats.found
    several = [] if skips == 1 else [skips]
    assert found == {
        ("nearest", "written"): [skips + 1],
        ("nearest", "split"): several,
        ("nearest", "composed"): several,
        ("none", "written"): [],
    }
    with Cats() as cats:
        run_reference(Call([torch.zeros(1, 2, 4, 4)], torch.zeros(8, 2, 3, 3)))
    assert cats.found == []


def test_all_forms_of_torch_and_of_a_kernel_are_candidates(
    monkeypatch: pytest.MonkeyPatch, work_of: Callable[..., Work]
) -> None:
    monkeypatch.setitem(
        IMPLEMENTATIONS, "gather", Implementation(lambda *given: [], lambda call: None)
    )
    work = work_of(Node(1, "nearest"), torch.randn(1, 3, 8, 8))
    first, second = (Task.of(work, path) for path in match(work))
    of_torch = [("written", "torch"), ("split", "torch"), ("composed", "torch")]
    of_kernel = [("phases", "gather"), ("nearest", "gather"), ("raised", "gather")]
    for task, expected in (
        (first, of_torch + of_kernel),
        (second, [*of_torch[:1], *of_kernel[2:]]),
    ):
        found = [(one.form, one.impl) for one in candidates(task, ["gather"], most=1)]
        assert found == expected
