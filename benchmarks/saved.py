"""Bytes that a forward pass keeps for the backward pass."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode


def saved_bytes(own: Iterable[Tensor], forward: Callable[[], object]) -> int:
    """Of all storages that autograd keeps of `forward`, but for those of `own`.

    >>> layer = nn.Linear(4, 2)
    >>> saved_bytes(layer.parameters(), lambda: layer(torch.zeros(3, 4)))
    48
    """
    # as long as a storage is kept, no other one is at its place
    owned = {storage._cdata: storage for storage in map(_storage, own)}
    kept: dict[int, torch.UntypedStorage] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = _storage(tensor)
        kept.setdefault(storage._cdata, storage)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        forward()
    return sum(storage.nbytes() for at, storage in kept.items() if at not in owned)


def _storage(tensor: Tensor) -> torch.UntypedStorage:
    return tensor.untyped_storage()


def saved_bytes_at(
    network: nn.Module, shape: Sequence[int], dtype: torch.dtype = torch.float32
) -> int:
    """What training on images of a shape would keep, without its memory or its time.

    No number is computed. In another `dtype` than float32 it runs under autocast, and
    some vectors of statistics that are kept then are not counted.

    >>> saved_bytes_at(nn.Linear(4, 2), (10**9, 4))
    16000000000
    """
    with FakeTensorMode() as mode:
        tensors: dict[str, Tensor] = dict(network.named_parameters())
        tensors |= dict(network.named_buffers())
        own: dict[str, Tensor] = {
            name: mode.from_tensor(tensor) for name, tensor in tensors.items()
        }
        x = torch.empty(list(shape))
        with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
            return saved_bytes(
                own.values(), lambda: torch.func.functional_call(network, own, (x,))
            )
