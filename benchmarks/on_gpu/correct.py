"""Whether everything computes what it has to: before anything is timed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from benchmarks.on_gpu.compiled import DTYPES, Job, compile_all, multiplying
from benchmarks.on_gpu.session import Session
from nestgen.arch.spec import NestSpec
from nestgen.codegen.load import build
from nestgen.errors import in_a_line
from nestgen.fusion.fuse import fuse
from nestgen.fusion.poisoned import Poisoned
from nestgen.kernels.call import Call
from nestgen.kernels.configurations import KERNELS, configuration_of
from nestgen.kernels.fused_conv import IMPLEMENTATIONS, fused_conv
from nestgen.kernels.raise2x import MODES, raise2x
from nestgen.kernels.upcat_conv import upcat_conv
from nestgen.kernels.upcat_conv_reference import UPS, upcat_conv_reference
from tests.kernels.calls import Case, assert_exact, changed

PART = "correct"
SHARE = 0.3
"""Of the budget, that this may take."""


def check(session: Session, wrong: set[tuple[str, str]]) -> None:
    """Add the kernels and configurations that are wrong; all findings are results."""
    jobs = list(_jobs(session))
    if not session.toy:
        compile_all(jobs, seconds=SHARE * session.left / 2)
    ends = (1 - SHARE) * session.left
    for job in jobs:
        if session.left < ends:
            session.reaches(PART, f"{_words(job)} and later", float("inf"))
            break
        fault = _fault(session, job)
        if fault is not None:
            wrong.add((job.impl, job.configuration))
        session.add(PART, {"what": _words(job), "wrong": fault})
    for dtype in session.extent.dtypes:
        for name, run in (("raise2x", _raise2x), ("gradients", _gradients)):
            with session.guarded(PART, what=f"{name}, {dtype}"), multiplying(dtype):
                session.add(
                    PART, {"what": f"{name}, {dtype}", "wrong": run(session, dtype)}
                )
    for impl in ("phase",) if session.toy else KERNELS:
        what = f"a network by {impl}, {session.extent.dtype}"
        if session.reaches(PART, what):
            with session.guarded(PART, what=what):
                session.add(PART, {"what": what, "wrong": _network(session, impl)})


def _words(job: Job) -> str:
    case = job.case
    sides = "x".join(map(str, case.size))
    return (
        f"{job.impl} {job.configuration}: {case.up}, {list(case.skips)} and {case.low} "
        f"to {case.channels} channels, {sides}, {job.dtype}"
    )


def _jobs(session: Session) -> Iterator[Job]:
    """Every kernel and configuration in every dtype, then widths that fit no block."""
    for dtype in session.extent.dtypes:
        for case in _cases(session):
            call = case.call(DTYPES[dtype])
            if not session.toy:
                call = changed(call, Tensor.cuda)
            for impl, configurations in KERNELS.items():
                if IMPLEMENTATIONS[impl].why_not(call) is None:
                    # the first alone, where blocks and channels do not fit anyhow
                    odd = case.channels not in session.extent.channels
                    few = 1 if odd else None
                    for one in configurations(call)[:few]:
                        yield Job(impl, case, dtype, str(one))


def _cases(session: Session) -> Iterator[Case]:
    even, odd = session.extent.checked
    for width in () if session.toy else session.extent.channels:
        plain = Case(
            "none", odd, skips=(width, width), low=2 * width, channels=width, batch=2,
            outputs=("features", "pooled", "logits"),
        )  # fmt: skip
        yield plain
        yield replace(plain, up="phases", size=even)
        yield replace(plain, up="nearest")
    widths: dict[str, Any] = {"skips": (3, 17), "low": 5, "channels": 24, "slope": 0.1}
    yield Case("none", odd, **widths)
    yield Case("phases", even, **widths)
    yield Case("nearest", odd, **widths)


def _fault(session: Session, job: Job) -> str | None:
    try:
        call = changed(job.case.call(DTYPES[job.dtype]), lambda x: x.to(session.device))
        with multiplying(job.dtype):
            with Poisoned():  # type: ignore[no-untyped-call]
                made = fused_conv(call, job.impl, configuration_of(job.configuration))
            assert_exact(call, made)
    except Exception as error:
        return in_a_line(error)
    return None


def _raise2x(session: Session, dtype: str) -> str | None:
    low = torch.randn(2, 17, 5, 7).to(session.device, DTYPES[dtype])
    low = low.contiguous(memory_format=torch.channels_last)
    for mode in MODES:
        exact = raise2x(low.double(), mode, (9, 13))
        with Poisoned():  # type: ignore[no-untyped-call]
            found = raise2x(low, mode, (9, 13), impl="triton")
        own = (raise2x(low, mode, (9, 13)).double() - exact).norm()
        least = torch.finfo(found.dtype).eps / 2 * exact.norm()
        if not (found.double() - exact).norm() <= 2 * max(own, least):
            return mode
    return None


def _gradients(session: Session, dtype: str) -> str | None:
    """Of the operator that trains, beside the reference's, against float64."""
    names = ("low", "skip", "weight", "bias", "up_weight", "up_bias")
    shapes = ((2, 6, 4, 6), (2, 5, 8, 12), (8, 9, 3, 3), (8,), (6, 4, 2, 2), (4,))
    drawn = [torch.randn(shape).to(session.device) for shape in shapes]
    tensors = dict(zip(names, drawn, strict=True))
    for up in UPS:
        given = dict(tensors)
        if up != "transpose":
            del given["up_weight"], given["up_bias"]
            given["weight"] = torch.randn(8, 11, 3, 3).to(session.device)
        exact = _gradients_of(upcat_conv_reference, given, up, torch.float64)
        own = _gradients_of(upcat_conv_reference, given, up, DTYPES[dtype])
        ours = _gradients_of(upcat_conv, given, up, DTYPES[dtype])
        for name, true in exact.items():
            off, other = ((g[name].double() - true).norm() for g in (ours, own))
            least = torch.finfo(DTYPES[dtype]).eps / 2 * true.norm()
            if not off <= 2 * max(other, least):
                return f"{name} with up={up}"
    return None


def _gradients_of(
    run: Any, given: dict[str, Tensor], up: str, dtype: torch.dtype
) -> dict[str, Tensor]:
    """By all that is given; the output's is one that is random, and always the same."""
    leaves = {
        name: x.to(dtype, copy=True).requires_grad_() for name, x in given.items()
    }
    rest = dict(leaves)
    low, skip = rest.pop("low"), rest.pop("skip")
    y = run(low, [skip], up=up, **rest)
    chance = torch.Generator().manual_seed(0)
    y.backward(torch.randn(y.shape, generator=chance).to(y))
    return {name: x.grad for name, x in leaves.items() if x.grad is not None}


def _network(session: Session, impl: str) -> str | None:
    """Fusing itself holds the result against float64."""
    width = 8 if session.toy else session.extent.width
    network = build(NestSpec(depth=1, widths=width))  # deeper is longer to compile
    network = network.to(session.device, DTYPES[session.extent.dtype]).eval()
    side = 4 if session.toy else 16
    x = torch.randn(1, 3, side, side).to(session.device, DTYPES[session.extent.dtype])
    fused = fuse(network, x, target=impl)
    done = sum(impl in step for row in fused.report.rows for step in row.done)
    return None if done else "nothing was put to it"


def call_of(session: Session, case: Case) -> Call:
    """A case's call on the device, in the dtype that is timed."""
    dtype = DTYPES[session.extent.dtype]
    return changed(case.call(dtype), lambda x: x.to(session.device))
