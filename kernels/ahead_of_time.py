"""Compile the kernels for machines that are not there, and say what came of it.

What is compiled is what would be launched: Triton itself derives types, alignment and
constants from the launch. Only the driver, which it asks for the machine, is replaced.
`python -m nestgen.kernels.ahead_of_time` compiles all that is shipped.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .call import UPS, Call, Output, Up
from .configurations import SHIPPED, Configuration, shipped
from .images import new_outputs
from .launch import Launch


@dataclass(frozen=True)
class Target:
    """A kind of GPU: Triton's names of it, and shared memory of a program in bytes."""

    backend: str
    arch: int | str
    warp_size: int
    shared: int


TARGETS = {
    "sm_75": Target("cuda", 75, 32, 64 * 1024),
    "sm_80": Target("cuda", 80, 32, 163 * 1024),
    "sm_90": Target("cuda", 90, 32, 227 * 1024),
    "sm_100": Target("cuda", 100, 32, 227 * 1024),
    "gfx942": Target("hip", "gfx942", 64, 64 * 1024),
}
"""From the vendors' manuals: NVIDIA's table of compute capabilities, AMD's CDNA 3."""


FORMATS = {
    "bf16": (torch.bfloat16, "ieee"),
    "fp16": (torch.float16, "ieee"),
    "tf32": (torch.float32, "tf32"),
    "fp32": (torch.float32, "ieee"),
}
"""The dtype of all tensors, and how Triton is to multiply it."""


@dataclass(frozen=True)
class Job:
    """A kernel to be compiled for a target, for a layer of a nested U-Net.

    The layer has `channels`, two skips of as many, and a low input of twice as many.
    """

    kernel: str
    up: Up
    channels: int
    format: str
    outputs: tuple[Output, ...]
    configuration: Configuration
    target: str


@dataclass(frozen=True)
class Compiled:
    """What a compiler made of a launch.

    Attributes:
        registers: of a thread; on AMD those of the sums are among them.
        stack: bytes of a thread that are in memory, as what is spilled is.
        shared: bytes of shared memory of a program.
        matrix: how many matrix instructions there are, by name.
        loads: how many loads of global memory there are, by bits for a thread.
        seconds: to compile; next to none where Triton's cache has it.
    """

    registers: int
    stack: int
    shared: int
    matrix: dict[str, int]
    loads: dict[int, int]
    seconds: float

    def faults(self, target: Target, needs_matrix: bool = True) -> list[str]:
        """Why it should not be shipped for `target`.

        >>> Compiled(255, 8, 1024, {}, {128: 4}, 1.0).faults(TARGETS["sm_80"])
        ['8 bytes of stack', 'no matrix instruction']
        """
        found = []
        if self.stack:
            found.append(f"{self.stack} bytes of stack")
        if needs_matrix and not self.matrix:
            found.append("no matrix instruction")
        if self.shared > target.shared:
            found.append(f"{self.shared} bytes shared, {target.shared} at most")
        return found


@contextmanager
def target_active(target: Target) -> Iterator[None]:
    """Let Triton compile for `target` within, whatever machine this is."""
    from triton.backends.compiler import GPUTarget
    from triton.runtime import driver

    before = driver._active
    named = GPUTarget(target.backend, target.arch, target.warp_size)
    driver.set_active(_AbsentDriver(named))
    try:
        yield
    finally:
        driver.set_active(before)


@dataclass(frozen=True)
class _AbsentDriver:
    target: Any

    def get_current_target(self) -> Any:
        return self.target

    def get_current_device(self) -> str:
        return str(self.target)

    def get_current_stream(self, device: str) -> int:
        return 0


def compile_launch(launch: Launch, target: Target) -> Compiled:
    """Compile a launch for a target."""
    start = time.perf_counter()
    with target_active(target):
        kernel = launch.compile()
    seconds = time.perf_counter() - start
    read = _read_cuda if target.backend == "cuda" else _read_hip
    return Compiled(**read(kernel), shared=kernel.metadata.shared, seconds=seconds)


def _read_cuda(kernel: Any) -> dict[str, Any]:
    usage = _cuobjdump(kernel.asm["cubin"], "-res-usage")
    found = re.search(r"REG:(\d+) STACK:(\d+)", usage)
    assert found is not None, usage
    code = _cuobjdump(kernel.asm["cubin"], "-sass")
    loads = re.findall(r"\b(?:LDG(?:STS)?\.|UTMALDG)\S*", code)
    return {
        "registers": int(found[1]),
        "stack": int(found[2]),
        "matrix": _counted(re.findall(r"\b(?:HG?MMA|UTC\w*MMA)\.\S*", code)),
        "loads": _counted(map(_cuda_bits, loads)),
    }


def _cuda_bits(load: str) -> int:
    """The bits of a load, of its name.

    >>> _cuda_bits("LDG.E.U16.CONSTANT"), _cuda_bits("LDG.E"), _cuda_bits("LDGSTS.E.128")
    (16, 32, 128)
    """
    found = re.search(r"\.[US]?(8|16|64|128)\b", load)
    return int(found[1]) if found else 32


def _cuobjdump(binary: bytes, wanted: str) -> str:
    from triton import knobs

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "kernel.cubin")
        file.write_bytes(binary)
        command = [knobs.nvidia.cuobjdump.path, wanted, str(file)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    return done.stdout


def _read_hip(kernel: Any) -> dict[str, Any]:
    code: str = kernel.asm["amdgcn"]
    loads = re.findall(r"\b(?:global|buffer)_load_(\w+)", code)
    return {
        "registers": _amd_number("vgpr_count", code),
        "stack": _amd_number("private_segment_fixed_size", code),
        "matrix": _counted(re.findall(r"\bv_mfma_\w+", code)),
        "loads": _counted(map(_amd_bits, loads)),
    }


def _amd_number(name: str, code: str) -> int:
    found = re.search(rf"\.{name}:\s+(\d+)", code)
    assert found is not None, name
    return int(found[1])


def _amd_bits(load: str) -> int:
    """The bits of a load, of the end of its name.

    >>> _amd_bits("dwordx4"), _amd_bits("dword"), _amd_bits("ushort"), _amd_bits("sbyte")
    (128, 32, 16, 8)
    """
    words = re.match(r"dwordx?(\d?)", load)
    if words:
        return 32 * int(words[1] or 1)
    return 16 if "short" in load or "16" in load else 8


def _counted(found: Iterable[Any]) -> dict[Any, int]:
    return dict(sorted(Counter(found).items()))


def shipped_jobs(kernels: Sequence[str], targets: Sequence[str]) -> Iterator[Job]:
    """All shipped configurations of the kernels that fit into a target."""
    for target in targets:
        formats = ["bf16", "tf32" if TARGETS[target].backend == "cuda" else "fp32"]
        for kernel in kernels:
            file = import_module(f".{kernel}", __package__)
            for up in UPS:
                for outputs in (("features", "pooled"), ("features", "logits")):
                    for channels in (16, 32, 64, 128):
                        for format in formats:
                            ...


def example_call(job: Job) -> Call:
    """The layer of a job at 512 x 512 pixels, batch 8, on the meta device."""
    c, up = job.channels, job.up
    low_shape = {"none": None, "nearest": (c, 2 * c, 3, 3), "phases": (2 * c, c, 4, 4)}
    dtype, _ = FORMATS[job.format]

    def empty(*shape: int) -> Tensor:
        made = torch.empty(shape, dtype=dtype, device="meta")
        last = torch.channels_last if len(shape) == 4 else torch.contiguous_format
        return made.contiguous(memory_format=last)
