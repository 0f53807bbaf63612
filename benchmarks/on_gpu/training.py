"""A step of training: eager, compiled, and with what is between convolutions fused."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.on_gpu.compiled import DTYPES
from benchmarks.on_gpu.networks import Case, NotHere, spec_of
from benchmarks.on_gpu.session import Session, milliseconds
from benchmarks.saved import saved_bytes
from nestgen.codegen.load import build
from nestgen.fusion.stopwatch import stopwatch
from nestgen.fusion.training import fuse_training
from nestgen.inference.spread import spread_of
from nestgen.surgery.kept import output_tensors

PART = "training"


def measure(session: Session, case: Case) -> None:
    """The time and the memory of forward and backward, in each style."""
    for name, (prepare, seconds) in STYLES.items():
        if not session.reaches(PART, f"{case.words}, {name}", seconds):
            continue
        row = {**asdict(case), "style": name}
        with session.guarded(PART, **row):
            try:
                session.add(PART, {**row, **_measured(session, case, prepare)})
            except NotHere as reason:
                session.add(PART, {**row, "left_out": str(reason)})
        session.free()


def _eager(session: Session, network: nn.Module) -> nn.Module:
    return network


def _compiled(session: Session, network: nn.Module) -> nn.Module:
    if session.toy:
        raise NotHere("nothing is compiled in a toy run")
    torch.compiler.reset()
    compiled: Any = torch.compile(network, fullgraph=True, dynamic=False)
    return compiled  # type: ignore[no-any-return]


def _fused(session: Session, network: nn.Module) -> nn.Module:
    side = 2 ** (max(session.extent.levels) + 1)
    example = torch.randn(2, 3, side, side).to(session.device)
    return fuse_training(network, example)


Prepare = Callable[[Session, nn.Module], nn.Module]

STYLES: dict[str, tuple[Prepare, float]] = {
    "eager": (_eager, 5),
    "fused": (_fused, 20),
    "compile": (_compiled, 60),
}
"""How the network is made ready, and about how many seconds that takes."""


def _measured(session: Session, case: Case, prepare: Prepare) -> dict[str, Any]:
    torch.manual_seed(0)
    layout: Any = {"memory_format": torch.channels_last}
    network = build(spec_of(session, case)).to(session.device).to(**layout).train()
    run = prepare(session, copy.deepcopy(network))
    shape = (case.batch, 3, case.side, case.side)
    x = torch.randn(shape).to(session.device).to(**layout)
    own = [*run.parameters(), *run.buffers()]
    clock = stopwatch(session.device, flushes=0)
    extent = session.extent
    taken = [
        clock(lambda: _step(session, run, x))
        for _ in range(extent.warm_up + extent.rounds)
    ]
    return {
        **milliseconds(spread_of(taken[extent.warm_up :])),
        "saved_MiB": saved_bytes(own, lambda: _forward(session, run, x)) / 2**20,
        "peak_MiB": _peak(session, run, x),
    }


def _forward(session: Session, run: nn.Module, x: Tensor) -> Tensor:
    dtype = DTYPES[session.extent.dtype]
    device = session.device.type
    with torch.autocast(device, dtype, enabled=dtype.itemsize == 2):
        outputs = output_tensors(run(x)).values()
    return torch.stack([(y.float() ** 2).mean() for y in outputs]).sum()


def _step(session: Session, run: nn.Module, x: Tensor) -> None:
    run.zero_grad(set_to_none=True)
    _forward(session, run, x).backward()  # type: ignore[no-untyped-call]


def _peak(session: Session, run: nn.Module, x: Tensor) -> float | None:
    if session.device.type != "cuda":
        return None
    run.zero_grad(set_to_none=True)
    torch.cuda.synchronize(session.device)
    torch.cuda.reset_peak_memory_stats(session.device)
    _step(session, run, x)
    torch.cuda.synchronize(session.device)
    return torch.cuda.max_memory_allocated(session.device) / 2**20
