"""How a kernel is cut into programs: the numbers that are chosen by measurement."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

import torch

from nestgen.kernels.call import Call


@dataclass(frozen=True)
class Configuration:
    """The block sizes of a kernel, all powers of 2, and how it is compiled.

    Attributes:
        block_h, block_w: rows and columns of the pixels that a program computes.
        block_co: output channels that it computes, 16 at least.
        block_ci: input channels of a product, 16 at least, or 8 of float32.
        warps: of 32 threads (64 on AMD), that share a program.
        stages: how many blocks are on their way from memory at once; 1 is no pipeline.
        cache: of the loads of images; ".ca" keeps them near, where Triton obeys.
        since: of NVIDIA's architectures, the first that has the registers for it; 0 is
            for AMD's too.
    """

    block_h: int
    block_w: int
    block_co: int
    block_ci: int
    warps: int = 4
    stages: int = 3
    cache: Literal["", ".ca", ".cg"] = ""
    since: int = 0

    def __str__(self) -> str:
        """A short text, without `since`, which `configuration_of` reads.

        >>> str(Configuration(8, 16, 32, 64, cache=".ca"))
        '8x16x32x64 w4 s3 .ca'
        """
        blocks = f"{self.block_h}x{self.block_w}x{self.block_co}x{self.block_ci}"
        return f"{blocks} w{self.warps} s{self.stages} {self.cache}".rstrip()


_TEXT = re.compile(
    "([0-9]+)x([0-9]+)x([0-9]+)x([0-9]+) w([0-9]+) s([0-9]+)( [.]c[ag])?"
)
_LEAST = (1, 1, 16, 8, 1)
_MOST = (1024, 1024, 1024, 1024, 32)
"""Of the blocks and the warps, which are powers of 2."""
_STAGES = range(1, 9)


def configuration_of(text: str) -> Configuration:
    """The configuration that has this text; `ValueError` for what is none.

    >>> configuration_of("8x16x32x64 w4 s1").stages
    1
    >>> configuration_of("8x16x32x60 w4 s1")
    Traceback (most recent call last):
    ValueError: configuration='8x16x32x60 w4 s1' is not allowed, as 8x16x32x64 w4 s3 .ca
    """
    found = _TEXT.fullmatch(text) if len(text) < 50 else None
    numbers = list(map(int, found.groups()[:6])) if found else [0]
    stages = numbers.pop()
    sizes = zip(numbers, _LEAST, _MOST, strict=False)
    if stages not in _STAGES or not all(
        least <= n <= most and n.bit_count() == 1 for n, least, most in sizes
    ):
        example = Configuration(8, 16, 32, 64, cache=".ca")
        raise ValueError(f"configuration={text[:50]!r} is not allowed, as {example}")
    assert found is not None
    cache: Any = (found[7] or "").strip()
    block_h, block_w, block_co, block_ci, warps = numbers
    return Configuration(
        block_h, block_w, block_co, block_ci, warps, stages, cache=cache
    )


_GATHER = {
    32: (
        Configuration(8, 16, 32, 32, cache=".ca"),
        Configuration(8, 16, 32, 32),
        Configuration(8, 16, 32, 32, stages=1, since=90),
        Configuration(4, 32, 32, 32, stages=4, since=90),
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
_PHASE = {
    16: (
        Configuration(16, 16, 16, 16, stages=2, since=90),
        Configuration(8, 16, 16, 16, stages=2),
    ),
    32: (
        Configuration(16, 16, 32, 32, stages=1, since=90),
        Configuration(2, 128, 32, 32, stages=1, since=90),
        Configuration(16, 16, 32, 16, stages=2, since=90),
        Configuration(16, 16, 32, 16, stages=1),
    ),
    64: (
        Configuration(16, 16, 64, 16, stages=2, since=90),
        Configuration(16, 16, 64, 16, stages=1, since=90),
        Configuration(16, 32, 64, 16, warps=8, stages=1, since=90),
        Configuration(8, 16, 64, 16, stages=2),
        Configuration(8, 16, 64, 16, stages=1),
    ),
    128: (
        Configuration(16, 16, 64, 16, stages=2, since=90),
        Configuration(16, 16, 64, 16, stages=1, since=90),
        Configuration(8, 16, 128, 16, warps=8, stages=2),
        Configuration(8, 16, 128, 16, warps=8, stages=1, since=80),
        Configuration(2, 32, 128, 16, stages=1),
    ),
}
_ROWS = {
    32: (
        Configuration(4, 64, 32, 32, stages=2),
        Configuration(4, 128, 32, 32, warps=8, stages=2, since=90),
        Configuration(2, 128, 32, 32, stages=3, since=90),
        Configuration(2, 64, 32, 32, stages=3),
        Configuration(4, 64, 32, 32, stages=1),
        Configuration(4, 32, 32, 32, stages=2),
    ),
    64: (
        Configuration(2, 128, 64, 32, warps=8, stages=2),
        Configuration(4, 64, 64, 32, warps=8, stages=2, since=90),
        Configuration(2, 64, 64, 32, stages=2),
        Configuration(2, 64, 64, 64, stages=2),
    ),
    128: (
        Configuration(2, 64, 128, 32, warps=8, stages=2),
        Configuration(2, 128, 128, 32, warps=8, stages=2, since=90),
        Configuration(2, 32, 128, 32, stages=2),
    ),
}
"""By output channels, for 16 bits. The first is taken where none is told."""


def gather_configurations(call: Call, gpu: Gpu | None = None) -> list[Configuration]:
    """What to try of the kernel "gather" for a call, without what cannot be launched.

    `gpu` is by default where the call's tensors are.

    >>> image, weight = torch.zeros(1, 8, 4, 4), torch.zeros(24, 8, 3, 3)
    >>> gather_configurations(Call([image], weight))[0].block_co
    32
    """
    return _fitting(_GATHER, call, gpu, shared_bytes)


def phase_configurations(call: Call, gpu: Gpu | None = None) -> list[Configuration]:
    """What to try of the kernel "phase" for a call, without what cannot be launched."""

    def shared(one: Configuration, itemsize: int) -> int:
        quarter = replace(one, block_h=one.block_h // 2, block_w=one.block_w // 2)
        return shared_bytes(quarter, itemsize, tiles=16, taps=9)

    return _fitting(_PHASE, call, gpu, shared)


def rows_configurations(call: Call, gpu: Gpu | None = None) -> list[Configuration]:
    """What to try of the kernel "rows" for a call, without what cannot be launched."""

    def shared(one: Configuration, itemsize: int) -> int:
        row = replace(one, block_h=1)
        return shared_bytes(row, itemsize, tiles=one.block_h + 2, taps=3)

    return _fitting(_ROWS, call, gpu, shared)


KERNELS = {
    "gather": gather_configurations,
    "phase": phase_configurations,
    "rows": rows_configurations,
}
"""What is shipped, by the names of the kernels' files."""


def _fitting(
    shipped: Mapping[int, tuple[Configuration, ...]],
    call: Call,
    gpu: Gpu | None,
    shared: Callable[[Configuration, int], int],
) -> list[Configuration]:
    outputs = padded(call.weight.shape[0])
    inputs = padded(max(image.shape[1] for image in call.images))
    itemsize = call.weight.itemsize
    gpu = gpu_of(call.weight.device) if gpu is None else gpu
    fitted = dict.fromkeys(
        replace(
            one,
            block_co=min(one.block_co, outputs),
            block_ci=min(one.block_ci * 2 // itemsize, inputs),
        )
        for one in shipped[min(shipped, key=lambda known: abs(known - outputs))]
        if one.since <= gpu.arch
        # a head needs all channels of a pixel, and not every tile leaves room for them
        if "logits" not in call.outputs or one.block_co >= outputs
    )
    return [one for one in fitted if shared(one, itemsize) <= gpu.shared]


def padded(channels: int) -> int:
    """The channels of a block that holds `channels`: a power of 2, 16 at least.

    >>> padded(3), padded(32), padded(96)
    (16, 32, 128)
    """
    return 1 << max(4, (channels - 1).bit_length())


def shared_bytes(
    configuration: Configuration, itemsize: int, tiles: int = 1, taps: int = 1
) -> int:
    """Shared memory of a program: blocks under way, and then sums in another order.

    A step of its loop takes `tiles` of block_h x block_w pixels and weights of `taps`.

    >>> shared_bytes(Configuration(8, 16, 32, 32), itemsize=2)
    30720
    """
    one = configuration
    pixels = one.block_h * one.block_w
    if one.stages == 1:  # a tile is read when it is multiplied
        tiles = 1
    blocks = (tiles * pixels + taps * one.block_co) * one.block_ci * itemsize
    return max(one.stages * blocks, pixels * one.block_co * 4)


class Gpu(NamedTuple):
    """What of a GPU decides what is tried on it.

    `arch` is that of NVIDIA, 90 for sm_90, and 0 of others; `shared` are the bytes of
    shared memory that a program may have.
    """

    arch: int
    shared: int


def gpu_of(device: torch.device) -> Gpu:
    """The GPU that is `device`.

    >>> gpu_of(torch.device("cpu")).arch
    0
    """
    arch = 0
    if device.type == "cuda" and torch.version.hip is None:
        major, minor = torch.cuda.get_device_capability(device)
        arch = 10 * major + minor
    return Gpu(arch, shared_limit(device))


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
