"""How long networks take and how much memory, measured side by side."""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

WARM_UP = 2


def time_in_turn(
    models: Mapping[int, nn.Module],
    x: Tensor,
    rounds: int,
    progress: Callable[[int], object] = lambda runs: None,
) -> dict[int, float]:
    """The median seconds of a forward pass of each of `models` on `x`.

    Each round runs every network once, so that a slow moment of the machine falls on
    all of them; the first two rounds are not counted.
    """
    seconds: dict[int, list[float]] = {level: [] for level in models}
    with torch.inference_mode():
        for turn in range(WARM_UP + rounds):
            for level, model in models.items():
                taken = _seconds(model, x)
                if turn >= WARM_UP:
                    seconds[level].append(taken)
                progress(1)
    return {level: median(taken) for level, taken in seconds.items()}


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


def _seconds(model: nn.Module, x: Tensor) -> float:
    _wait(x.device)
    began = time.perf_counter()
    model(x)
    _wait(x.device)
    return time.perf_counter() - began


def _wait(device: torch.device) -> None:
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
