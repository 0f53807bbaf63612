"""How long networks take and how much memory, measured side by side."""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

WARM_UP = 2

Name = TypeVar("Name")
Pass = Callable[[Tensor], object]
"""One forward pass."""


def time_in_turn(
    passes: Mapping[Name, Pass],
    x: Tensor,
    rounds: int,
    progress: Callable[[int], object] = lambda runs: None,
) -> dict[Name, float]:
    """The median seconds of each of `passes`, networks or what runs them, on `x`.

    Each round runs every one once, so that a slow moment of the machine falls on all of
    them; the first two rounds are not counted.
    """
    seconds: dict[Name, list[float]] = {name: [] for name in passes}
    with torch.inference_mode():
        for turn in range(WARM_UP + rounds):
            for name, run in passes.items():
                taken = _seconds(run, x)
                if turn >= WARM_UP:
                    seconds[name].append(taken)
                progress(1)
    return {name: median(taken) for name, taken in seconds.items()}


def peak_bytes(model: nn.Module, x: Tensor) -> int:
    """The most bytes of tensors alive at once in a forward pass of `model` on `x`.

    Counted are the weights, the input and every tensor that an operation makes, until
    nothing refers to it; not the scratch memory inside of an operation.

    >>> peak_bytes(nn.Identity(), torch.zeros(4))
    16
    """
    held = {id(t.untyped_storage()): t for t in [x, *model.state_dict().values()]}
    counter = _LiveBytes(held.values())
    with torch.inference_mode(), counter:
        model(x)
    return counter.peak


def _seconds(run: Pass, x: Tensor) -> float:
    wait(x.device)
    began = time.perf_counter()
    run(x)
    wait(x.device)
    return time.perf_counter() - began


def wait(device: torch.device) -> None:
    """Return when all that was asked of `device` is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


class _LiveBytes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Adds up the storages that operations make, and takes off those that die."""

    def __init__(self, held: Any) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.known: set[int] = set()
        self.live = self.peak = 0
        for tensor in held:
            self._add(tensor)

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: Any = (), kwargs: Any = None
    ) -> Any:
        outputs = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(outputs):
            if isinstance(leaf, Tensor):
                self._add(leaf)
        return outputs

    def _add(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        if id(storage) in self.known:
            return
        self.known.add(id(storage))
        self.live += storage.nbytes()
        self.peak = max(self.peak, self.live)
        weakref.finalize(storage, self._drop, id(storage), storage.nbytes())

    def _drop(self, key: int, size: int) -> None:
        self.known.discard(key)
        self.live -= size
