"""Memory that is not written yet holds NaN, so that no old result passes for a new."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

aten = torch.ops.aten
_EMPTY = (aten.empty, aten.empty_strided, aten.empty_like, aten.new_empty,
          aten.new_empty_strided)  # fmt: skip


class Poisoned(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Inside of it, new tensors without contents are NaN.

    What an operator of torch makes for itself is not, and not what is made inside of an
    operator of Python.

    >>> with Poisoned():
    ...     torch.zeros(1).new_empty(2)
    tensor([nan, nan])
    """

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: Any = (), kwargs: Any = None
    ) -> Any:
        made = func(*args, **(kwargs or {}))
        if func.overloadpacket in _EMPTY and made.is_floating_point():
            made.fill_(float("nan"))
        return made
