"""What a network says, by level, and as labels."""

from __future__ import annotations

import torch
from torch import Tensor


def by_level(
    outputs: Tensor | dict[str, Tensor], levels: tuple[int, ...]
) -> dict[str, Tensor]:
    """A network's outputs as a dict by level, also where there is one head alone.

    >>> list(by_level(torch.zeros(1), (2,)))
    ['L2']
    """
    return outputs if isinstance(outputs, dict) else {f"L{levels[0]}": outputs}


def probabilities(logits: Tensor) -> Tensor:
    """Sigmoid of one class, softmax of several: [N, C, *size] to the same.

    >>> probabilities(torch.zeros(1, 1, 1, 1)).item()
    0.5
    """
    return logits.sigmoid() if logits.shape[1] == 1 else logits.softmax(dim=1)


def to_labels(logits: Tensor) -> Tensor:
    """The label of each pixel: [N, C, *size] logits to [N, *size] uint8 or int64.

    One class: 1 where its probability is above one half. Several: the largest.

    >>> to_labels(torch.tensor([[[[2.0, -1.0]]]])).tolist()
    [[[1, 0]]]
    """
    if logits.shape[1] == 1:
        return (logits[:, 0] > 0).to(torch.uint8)
    return logits.argmax(dim=1)
