"""The inputs on which someone else's module is compared with its cut."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from nestgen.errors import ModuleError, in_a_line
from nestgen.surgery.kept import Inputs, run

Shape = list[int]

_CHANGES: list[Callable[[int, Shape], Shape]] = [
    lambda batch, sides: [batch + 1, *sides[:-1], 2 * sides[-1]],
    lambda batch, sides: [batch, *sides[:-1], sides[-1] * 3 // 2],
    lambda batch, sides: [batch + 1, *(side + 1 for side in sides)],
    lambda batch, sides: [1, *sides],
    lambda batch, sides: [batch, *sides],
]
"""To the batch and the sides of an example; the last changes nothing but values."""


def trials(module: nn.Module, example: Inputs, seed: int = 0) -> list[Inputs]:
    """The example, then random inputs of other shapes that `module` takes as well.

    The last has the example's shape, so that there are two in any case. Raises
    `ModuleError` where the example itself does not run.

    >>> tried = trials(nn.MaxPool2d(2), (torch.zeros(2, 3, 8, 8),))
    >>> [list(x.shape) for (x,) in tried][:5]
    [[2, 3, 8, 8], [3, 3, 8, 16], [2, 3, 8, 12], [3, 3, 9, 9], [1, 3, 8, 8]]
    """
    chance = torch.Generator().manual_seed(seed)
    _require_run(module, example)
    others = [tuple(_like(x, change, chance) for x in example) for change in _CHANGES]
    return [example, *(inputs for inputs in others if _runs(module, inputs))]


def _like(
    x: Tensor, change: Callable[[int, Shape], Shape], chance: torch.Generator
) -> Tensor:
    """What is no floating-point image stays as it is."""
    if x.ndim < 3 or not x.is_floating_point():
        return x
    batch, channels, *sides = x.shape
    batch, *sides = change(batch, sides)
    return torch.randn([batch, channels, *sides], generator=chance).to(x)


def _require_run(module: nn.Module, example: Inputs) -> None:
    try:
        run(module, example)
    except ModuleError:
        raise
    except Exception as error:
        shapes = ", ".join(str(list(x.shape)) for x in example)
        raise ModuleError(
            f"the module does not run on the example {shapes} ({in_a_line(error)})"
        ) from error


def _runs(module: nn.Module, inputs: Inputs) -> bool:
    try:
        run(module, inputs)
    except Exception:  # whatever someone else's code raises of a size
        return False
    return True
