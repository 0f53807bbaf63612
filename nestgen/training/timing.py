"""How long networks take and how much memory, measured side by side."""

from __future__ import annotations

import random
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

WARM_UP = 2
CPU = torch.device("cpu")

Key = TypeVar("Key")


def time_in_turn(
    runs: Mapping[Key, Callable[[], object]],
    rounds: int,
    *,
    device: torch.device = CPU,
    progress: Callable[[int], object] = lambda runs: None,
    stopped: Callable[[], object] = lambda: False,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[Key, list[float]]:
    """The seconds of each of `runs` in each round, without gradients.

    Each round runs all of them once, in an order of its own that is the same whenever
    it is repeated, so that a slow moment of the machine falls on all of them and none
    always follows the same one; the first two rounds are not counted. Once `stopped`
    says so, the round in progress is the last.

    >>> taken = time_in_turn({"a": lambda: None, "b": lambda: None}, rounds=3)
    >>> {name: len(seconds) for name, seconds in taken.items()}
    {'a': 3, 'b': 3}
    """
    seconds: dict[Key, list[float]] = {key: [] for key in runs}
    with torch.inference_mode():
        for turn in range(WARM_UP + rounds):
            if stopped():
                break
            for key in random.Random(turn).sample(list(runs), len(runs)):
                taken = _seconds(runs[key], device, clock)
                if turn >= WARM_UP:
                    seconds[key].append(taken)
                progress(1)
    return seconds


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


def _seconds(
    run: Callable[[], object], device: torch.device, clock: Callable[[], float]
) -> float:
    wait(device)
    began = clock()
    run()
    wait(device)
    return clock() - began


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
