"""Bytes that a forward pass keeps for the backward pass."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn


def saved_bytes(network: nn.Module, forward: Callable[[], object]) -> int:
    """Of all storages that autograd keeps of `forward`, but for the parameters'.

    >>> layer = nn.Linear(4, 2)
    >>> saved_bytes(layer, lambda: layer(torch.zeros(3, 4)))
    48
    """
    own = {p.untyped_storage().data_ptr() for p in network.parameters()}
    kept: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        result = forward()
    total = sum(kept.values())
    # as long as it lives, nothing that the pass made is freed and made anew
    del result
    return total
