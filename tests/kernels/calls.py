"""Calls of the hot path, and how exact an implementation has to be."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor

from nestgen.kernels.call import Call, Output, Up
from nestgen.kernels.call_reference import run_reference
from nestgen.kernels.layout import channels_last


@dataclass(frozen=True)
class Case:
    """What a call is made of: channels of its tensors, and the size of its result."""

    up: Up = "none"
    size: tuple[int, int] = (5, 7)
    skips: tuple[int, ...] = (3,)
    low: int = 5
    channels: int = 4
    batch: int = 1
    bias: str = "borders"
    slope: float = 0.0
    outputs: tuple[Output, ...] = ("features",)
    classes: int = 3

    def call(self, dtype: torch.dtype = torch.float32) -> Call:
        """The call with random tensors; their sums are of about unit size."""
        chance = torch.Generator().manual_seed(0)

        def random(*shape: int, inputs: int = 1) -> Tensor:
            x = torch.randn(shape, generator=chance, dtype=torch.float64)
            x = (x / inputs**0.5).to(dtype)
            return channels_last(x) if x.ndim == 4 else x

        height, width = self.size
        outputs = self.channels
        half = (height + 1) // 2, (width + 1) // 2
        columns = sum(self.skips)
        shape = {"nearest": (outputs, self.low, 3, 3)}.get(
            self.up, (self.low, outputs, 4, 4)
        )
        raised = self.up != "none"
        bias = {"none": (), "vector": (outputs,), "borders": (3, 3, outputs)}[self.bias]
        return Call(
            [random(self.batch, skip, height, width) for skip in self.skips],
            random(outputs, columns, 3, 3, inputs=9 * max(columns, 1)),
            random(*bias) if bias else None,
            random(self.batch, self.low, *half) if raised else None,
            random(*shape, inputs=9 * self.low) if raised else None,
            self.up,
            self.slope,
            self.outputs,
            random(self.classes, outputs, 1, 1, inputs=outputs),
            random(self.classes),
        )


def changed(call: Call, change: Callable[[Tensor], Tensor]) -> Call:
    """The call with each of its tensors changed."""
    given = {field.name: getattr(call, field.name) for field in fields(call)}
    tensors: dict[str, Any] = {
        name: change(x) for name, x in given.items() if isinstance(x, Tensor)
    }
    return replace(call, skips=[change(skip) for skip in call.skips], **tensors)


def assert_exact(call: Call, outputs: Sequence[Tensor]) -> None:
    """`outputs` err from float64 at most twice as much as torch itself does.

    Where torch happens to be nearer than one rounding of the result, that is allowed.
    """
    exact = run_reference(changed(call, Tensor.double))
    own = run_reference(call)
    for name, got, true, other in zip(call.outputs, outputs, exact, own, strict=True):
        assert got.shape == true.shape, name
        assert got.dtype == call.weight.dtype, name
        rounding = torch.finfo(got.dtype).eps / 2 * true.norm()
        allowed = 2 * max((other.double() - true).norm(), rounding)
        assert (got.double() - true).norm() <= allowed, name
