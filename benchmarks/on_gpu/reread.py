"""A kernel that reads the same memory again and again: what a GPU's cache gives."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

BLOCK = 4096
"""Numbers of 4 bytes, read at once."""


def reread(buffer: Tensor, sums: Tensor, times: int) -> None:
    """Every program of as many as there are `sums` reads all of `buffer` `times` times.

    Each begins elsewhere, so that no two of them ask for the same at once.
    """
    blocks = buffer.numel() // BLOCK
    with torch.cuda.device_of(buffer):
        reread_kernel[(sums.numel(),)](
            buffer, sums, blocks, times, BLOCK=BLOCK, num_warps=8
        )


@triton.jit
def reread_kernel(buffer, sums, blocks, times, BLOCK: tl.constexpr):
    """Sums, so that no compiler leaves a load out."""
    program = tl.program_id(0)
    total = tl.zeros((BLOCK,), tl.int32)
    for step in range(blocks * times):
        block = (program * 7 + step) % blocks
        place = buffer + block * BLOCK + tl.arange(0, BLOCK)
        total += tl.load(place, cache_modifier=".cg")
    tl.store(sums + program, tl.sum(total, axis=0))
