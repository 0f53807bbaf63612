"""How a kernel is cut into programs: the numbers that are chosen by measurement."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Configuration:
    """The block sizes of a kernel, all powers of 2, and how it is compiled.

    Attributes:
        block_h, block_w: rows and columns of the pixels that a program computes.
        block_co: output channels that it computes, 16 at least.
        block_ci: input channels of a product, 16 at least.
        warps: of 32 threads (64 on AMD), that share a program.
        stages: how many blocks are on their way from memory at once; 1 is no pipeline.
        cache: of the loads of images; ".ca" keeps them near, where Triton obeys.
    """

    block_h: int
    block_w: int
    block_co: int
    block_ci: int
    warps: int = 4
    stages: int = 3
    cache: Literal["", ".ca", ".cg"] = ""
