"""The inputs on which networks are compared."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from nestgen.arch.graph import NestGraph
from nestgen.arch.spec import NestSpec

BATCHES = (1, 3)
SIDES = (2, 3)
"""The last side of the inputs, in units of what it is a multiple of; others are 2."""


def random_inputs(spec: NestSpec, like: nn.Module, seed: int = 0) -> list[Tensor]:
    """Inputs [N, in_channels, H, W] that need no padding, of one image and of three.

    They have the dtype and the device of the parameters of `like`.

    >>> from nestgen.codegen.load import build
    >>> spec = NestSpec(depth=1, widths=2)
    >>> [list(x.shape) for x in random_inputs(spec, build(spec))]
    [[1, 3, 4, 4], [1, 3, 4, 6], [3, 3, 4, 4], [3, 3, 4, 6]]
    """
    parameter = next(like.parameters())
    chance = torch.Generator().manual_seed(seed)
    *units, last = NestGraph(spec).multiples
    sides = [(*(2 * unit for unit in units), side * last) for side in SIDES]
    return [
        torch.randn(n, spec.in_channels, *size, generator=chance).to(parameter)
        for n in BATCHES
        for size in sides
    ]
