"""Eval mode for a while."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def eval_mode(*networks: nn.Module) -> Iterator[None]:
    """Eval mode inside; after it each module is in the mode it was in.

    >>> layer = nn.Dropout()
    >>> with eval_mode(layer):
    ...     layer.training
    False
    >>> layer.training
    True
    """
    modules = [module for network in networks for module in network.modules()]
    flags = [module.training for module in modules]
    try:
        for network in networks:
            network.eval()
        yield
    finally:
        for module, flag in zip(modules, flags, strict=True):
            module.training = flag
