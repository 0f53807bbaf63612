"""Compile the kernels for machines that are not there, and say what came of it.

What is compiled is what would be launched: Triton itself derives types, alignment and
constants from the launch. Only the driver, which it asks for the machine, is replaced.
`python -m nestgen.kernels.ahead_of_time` compiles all that is shipped.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from importlib import import_module
from importlib.util import find_spec
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from nestgen.kernels.call import UPS, Call, Up
from nestgen.kernels.configurations import KERNELS, Configuration, Gpu
from nestgen.kernels.images import new_outputs
from nestgen.kernels.launch import Launch
from nestgen.kernels.layout import channels_last
from nestgen.kernels.machine_code import read_cuda, read_hip
from nestgen.kernels.normed_configurations import KERNELS as NORMED
from nestgen.kernels.normed_configurations import RESAMPLED, normed_configurations


@dataclass(frozen=True)
class Target:
    """A kind of GPU, by Triton's names of it."""

    backend: Literal["cuda", "hip"]
    arch: int | str
    warp_size: int
    gpu: Gpu


TARGETS = {
    # sm_75 has none of what is shipped; it is tried as if it were sm_80, to see why
    "sm_75": Target("cuda", 75, 32, Gpu(80, 64 * 1024)),
    "sm_80": Target("cuda", 80, 32, Gpu(80, 163 * 1024)),
    "sm_90": Target("cuda", 90, 32, Gpu(90, 227 * 1024)),
    "sm_100": Target("cuda", 100, 32, Gpu(100, 227 * 1024)),
    "gfx942": Target("hip", "gfx942", 64, Gpu(0, 64 * 1024)),
}
"""Shared memory is that of the CUDA C++ Programming Guide, and of AMD's CDNA 3."""

FORMATS = {
    "bf16": (torch.bfloat16, "ieee"),
    "fp16": (torch.float16, "ieee"),
    "tf32": (torch.float32, "tf32"),
    "fp32": (torch.float32, "ieee"),
}
"""The dtype of all tensors, and how Triton is to multiply it."""


@dataclass(frozen=True)
class Job:
    """A kernel to be compiled for a layer of a nested U-Net.

    The layer has `channels`, two skips of as many, and a low input of twice as many
    unless `up` is "none". Its result is pooled where it has none, else it has a head,
    if a program holds all channels. Of a normed convolution, `up` is how the last of
    three parts is resampled.
    """

    kernel: str
    target: str
    format: str
    up: Any
    channels: int
    configuration: Configuration

    @property
    def needs_matrix(self) -> bool:
        """Whether the target has matrix instructions for the format."""
        return self.format != "fp32" or TARGETS[self.target].backend == "hip"


@dataclass(frozen=True)
class Compiled:
    """What a compiler made of a launch.

    Attributes:
        registers: of a thread; on AMD those of the sums are among them.
        spills: how many loads and stores of what registers did not hold.
        shared: bytes of shared memory of a program.
        matrix: how many matrix instructions there are, by name.
        loads: how many loads of global memory there are, by bits for a thread.
        seconds: to compile; next to none where Triton's cache has it.
    """

    registers: int
    spills: int
    shared: int
    matrix: dict[str, int]
    loads: dict[int, int]
    seconds: float

    def faults(self, job: Job) -> list[str]:
        """Why the job's configuration should not be shipped.

        >>> one = Configuration(8, 16, 32, 32)
        >>> job = Job("gather", "sm_80", "bf16", "none", 32, one)
        >>> Compiled(255, 8, 1024, {}, {128: 4}, 1.0).faults(job)
        ['8 spills', 'no matrix instruction']
        """
        limit = TARGETS[job.target].gpu.shared
        found = {
            f"{self.spills} spills": self.spills > 0,
            "no matrix instruction": job.needs_matrix and not self.matrix,
            f"{self.shared} bytes shared, {limit} at most": self.shared > limit,
        }
        return [fault for fault, there in found.items() if there]


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


def compile_job(job: Job) -> Compiled:
    """Compile a job for its target, and read what came of it."""
    launch = _example_launch(job)
    precision = {"PRECISION": FORMATS[job.format][1]}
    launch = replace(launch, arguments={**launch.arguments, **precision})
    target = TARGETS[job.target]
    start = time.perf_counter()
    with target_active(target):
        kernel = launch.compile()
    seconds = time.perf_counter() - start
    read = read_cuda if target.backend == "cuda" else read_hip
    return Compiled(**read(kernel), shared=kernel.metadata.shared, seconds=seconds)


def _example_launch(job: Job) -> Launch:
    dtype = FORMATS[job.format][0]
    if job.kernel in NORMED:
        layer = _file("normed_layer").example_layer(job.up, job.channels, dtype)
        made: Launch = layer.launch(job.kernel, job.configuration)
        return made
    call = example_call(job.up, job.channels, dtype)
    if "logits" in call.outputs and job.configuration.block_co < job.channels:
        call = replace(call, outputs=("features",))
    made = _file(job.kernel).launch(call, new_outputs(call), job.configuration)
    return made


def example_call(up: Up, channels: int, dtype: torch.dtype) -> Call:
    """The layer of a job, of 512 x 512 pixels, batch 8, on the meta device.

    >>> example_call("phases", 32, torch.float16).images[-1].shape
    torch.Size([8, 64, 256, 256])
    """

    def empty(*shape: int) -> Tensor:
        made = torch.empty(shape, dtype=dtype, device="meta")
        return channels_last(made) if made.ndim == 4 else made

    c, low = channels, up != "none"
    low_weight = (2 * c, c, 4, 4) if up == "phases" else (c, 2 * c, 3, 3)
    return Call(
        [empty(8, c, 512, 512), empty(8, c, 512, 512)],
        empty(c, 2 * c, 3, 3),
        empty(3, 3, c) if up == "phases" else empty(c),
        empty(8, 2 * c, 256, 256) if low else None,
        empty(*low_weight) if low else None,
        up,
        outputs=("features", "logits" if low else "pooled"),
        head_weight=empty(2, c, 1, 1) if low else None,
    )


def _file(kernel: str) -> Any:
    return import_module(f"nestgen.kernels.{kernel}")


def shipped_jobs(
    kernels: Sequence[str],
    targets: Sequence[str],
    formats: Sequence[str],
    channels: Sequence[int],
) -> Iterator[Job]:
    """All shipped configurations of the kernels that fit into the targets."""
    for kernel, target, format in product(kernels, targets, formats):
        for up, width in product(RESAMPLED if kernel in NORMED else UPS, channels):
            for one in _shipped(kernel, TARGETS[target].gpu, format, up, width):
                yield Job(kernel, target, format, up, width, one)


def _shipped(
    kernel: str, gpu: Gpu, format: str, up: Any, channels: int
) -> list[Configuration]:
    dtype = FORMATS[format][0]
    if kernel in NORMED:
        like = torch.empty(0, dtype=dtype)
        return normed_configurations(kernel, channels, channels, like, up, gpu)
    call = replace(example_call(up, channels, dtype), outputs=("features",))
    fits = _file(kernel).why_not(call) is None
    return KERNELS[kernel](call, gpu) if fits else []


def main(arguments: Sequence[str] | None = None) -> int:
    """Compile what is shipped and print a line for each; 1 where one has a fault."""
    parser = _parser()
    asked = parser.parse_args(arguments)
    reason = why_no_compiler()
    if reason is not None:
        parser.error(reason)
    if asked.workers < 1:
        parser.error(f"--workers: {asked.workers} is not allowed, 1 or more")
    jobs = shipped_jobs(asked.kernel, asked.target, asked.format, asked.channels)
    rows = []
    for row in _reports(jobs, asked.workers):
        print(_line(row), flush=True)
        rows.append(row)
    if asked.json:
        asked.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    bad = [row for row in rows if row["faults"]]
    print(f"{len(rows)} compiled, {len(bad)} with faults", flush=True)
    for row in bad:
        print(_line(row))
    return 1 if bad else 0


def why_no_compiler() -> str | None:
    """Why nothing can be compiled here, or None."""
    if find_spec("triton") is None:
        return "triton is not installed"
    from nestgen.kernels.tiles import INTERPRETED

    return "TRITON_INTERPRET is set" if INTERPRETED.value else None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=main.__doc__)
    allowed: dict[str, Sequence[Any]] = {
        "kernel": [*KERNELS, *NORMED],
        "target": list(TARGETS),
        "format": list(FORMATS),
        "channels": [16, 32, 64, 128],
    }
    usual = {"target": ["sm_80", "sm_90", "gfx942"], "format": ["bf16", "tf32"]}
    for name, choices in allowed.items():
        parser.add_argument(
            f"--{name}",
            nargs="+",
            choices=choices,
            default=usual.get(name, choices),
            type=type(choices[0]),
        )
    parser.add_argument(
        "--workers", type=int, default=os.cpu_count(), help="that compile at once"
    )
    parser.add_argument(
        "--json", type=Path, help="a file to be written, with all of it"
    )
    return parser


def _reports(jobs: Iterable[Job], workers: int) -> Iterator[dict[str, Any]]:
    if workers == 1:
        yield from map(_report, jobs)
        return
    # not one of them may share what torch or Triton holds
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        for job, future in [(job, pool.submit(_report, job)) for job in jobs]:
            try:
                yield future.result()
            except BrokenExecutor:
                yield {**asdict(job), "faults": ["a compiler ended the processes"]}


def _report(job: Job) -> dict[str, Any]:
    row = asdict(job)
    try:
        made = compile_job(job)
    except Exception as error:  # whatever a compiler raises is the finding
        row |= {"faults": [f"{type(error).__name__}: {error}".splitlines()[0]]}
    else:
        row |= {**asdict(made), "faults": made.faults(job)}
    return row


def _line(row: dict[str, Any]) -> str:
    words = [row[name] for name in ("kernel", "target", "format", "up", "channels")]
    words += row["configuration"].values()
    if "seconds" in row:
        words += [f"{row[name]} {name}" for name in ("registers", "spills", "shared")]
        matrix = " ".join(f"{n} {name}" for name, n in row["matrix"].items())
        loads = " ".join(f"{n}x{bits}" for bits, n in row["loads"].items())
        words += [matrix or "no matrix", "loads", loads, f"{row['seconds']:.1f} s"]
    return " ".join(map(str, [*words, *row["faults"]]))


if __name__ == "__main__":
    sys.exit(main())
