"""How a kernel is cut into programs: the numbers that are chosen by measurement."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch

from nestgen.kernels.call import Call


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


_GATHER = {
    32: (
        Configuration(8, 16, 32, 32, cache=".ca"),
        Configuration(8, 16, 32, 32),
        Configuration(8, 16, 32, 32, stages=1),
        Configuration(4, 32, 32, 32, stages=4),
        Configuration(16, 16, 32, 32, warps=8, stages=1),
    ),
    64: (
        Configuration(8, 16, 64, 64, cache=".ca"),
        Configuration(8, 16, 64, 64),
        Configuration(8, 16, 64, 32, stages=4),
        Configuration(8, 16, 64, 32, stages=1),
        Configuration(16, 16, 64, 32, warps=8),
    ),
    128: (
        Configuration(8, 16, 128, 64, warps=8, cache=".ca"),
        Configuration(8, 16, 128, 64, warps=8),
        Configuration(8, 16, 128, 32, warps=8, stages=4),
        Configuration(8, 8, 128, 64),
        Configuration(8, 16, 64, 64),
    ),
}
"""By output channels, for 16 bits. The first is taken where none is told."""


def gather_configurations(call: Call) -> list[Configuration]:
    """What to try of the kernel "gather" for a call, without what cannot be launched.

    >>> image, weight = torch.zeros(1, 8, 4, 4), torch.zeros(24, 8, 3, 3)
    >>> gather_configurations(Call([image], weight))[0].block_co
    32
    """
    outputs = padded(call.weight.shape[0])
    inputs = padded(max(image.shape[1] for image in call.images))
    itemsize = call.weight.itemsize
    fitted = dict.fromkeys(
        replace(
            one,
            block_co=outputs
            if "logits" in call.outputs
            else min(one.block_co, outputs),
            block_ci=min(max(16, one.block_ci * 2 // itemsize), inputs),
            warps=8 if outputs > 128 else one.warps,
        )
        for one in _GATHER[min(max(outputs, 32), 128)]
    )
    limit = shared_limit(call.weight.device)
    return [one for one in fitted if shared_bytes(one, itemsize) <= limit]


def padded(channels: int) -> int:
    """The channels of a block that holds `channels`: a power of 2, 16 at least.

    >>> padded(3), padded(32), padded(96)
    (16, 32, 128)
    """
    return 1 << max(4, (channels - 1).bit_length())


def shared_bytes(configuration: Configuration, itemsize: int) -> int:
    """Shared memory of a program: blocks under way, and then sums in another order.

    >>> shared_bytes(Configuration(8, 16, 32, 32), itemsize=2)
    30720
    """
    pixels = configuration.block_h * configuration.block_w
    blocks = (pixels + configuration.block_co) * configuration.block_ci * itemsize
    return max(configuration.stages * blocks, pixels * configuration.block_co * 4)


def shared_limit(device: torch.device) -> int:
    """Bytes of shared memory that a program may have; no limit where there is no GPU.

    >>> shared_limit(torch.device("cpu")) > 2**30
    True
    """
    if device.type != "cuda":
        return sys.maxsize
    of_device: Any = torch.cuda.get_device_properties(device)
    block: int = of_device.shared_memory_per_block
    return int(getattr(of_device, "shared_memory_per_block_optin", block))


def phase_configurations(call): return []
def rows_configurations(call): return []
