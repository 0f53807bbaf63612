"""What a network says, by level, and as labels."""

from __future__ import annotations

from collections.abc import Sequence

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


def joint_probabilities(logits: Sequence[Tensor]) -> Tensor:
    """The mean of the probabilities of several heads; of one head, its own.

    >>> joint_probabilities([torch.zeros(1, 1, 1), torch.full((1, 1, 1), 99.0)]).item()
    0.75
    """
    return torch.stack([probabilities(y) for y in logits]).mean(dim=0)


def joint_labels(logits: Sequence[Tensor]) -> Tensor:
    """The label of each pixel by the mean of the heads' probabilities, as `to_labels`.

    >>> joint_labels([torch.full((1, 1, 1), x) for x in (-1.0, 0.5, 0.9)]).item()
    1
    """
    if len(logits) == 1:
        return to_labels(logits[0])
    mean = joint_probabilities(logits)
    if mean.shape[1] == 1:
        return (mean[:, 0] > 0.5).to(torch.uint8)
    return mean.argmax(dim=1)
