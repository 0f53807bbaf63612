"""What of a network is trained, and by what."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from nestgen.arch.graph import NestGraph
from nestgen.codegen.names import head_name, modules_of
from nestgen.training.settings import Settings


def freeze_unsupervised(
    model: nn.Module, graph: NestGraph, levels: Sequence[int]
) -> None:
    """Take out of training what no gradient reaches from the heads of `levels`."""
    learn = {head_name(level) for level in levels}
    for node in set().union(*(graph.needed(level) for level in levels)):
        learn |= modules_of(graph, node)
    for name, parameter in model.named_parameters():
        if name.split(".")[0] not in learn:
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
