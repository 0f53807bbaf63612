"""What of a network is trained, and by what."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from nestgen.arch.graph import NestGraph
from nestgen.surgery.gradients import reached
from nestgen.training.settings import Settings


def freeze_unsupervised(
    model: nn.Module, graph: NestGraph, levels: Sequence[int]
) -> None:
    """Take out of training what no gradient reaches from the heads of `levels`."""
    supervised = reached(graph, levels)
    for name, parameter in model.named_parameters():
        if name not in supervised:
            parameter.requires_grad_(False)


def make_optimizer(model: nn.Module, settings: Settings) -> torch.optim.AdamW:
    """AdamW; norms and biases are not decayed."""
    learned = [p for p in model.parameters() if p.requires_grad]
    groups: list[dict[str, Any]] = [
        {"params": [p for p in learned if p.ndim > 1]},
        {"params": [p for p in learned if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(
        [group for group in groups if group["params"]],
        lr=settings.learning_rate,
        weight_decay=settings.weight_decay,
    )
