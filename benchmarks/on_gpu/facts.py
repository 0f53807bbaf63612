"""Facts that decide what a kernel can gain: of memory, of cuDNN, of the kernels."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import cycle

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.on_gpu.compiled import DTYPES, Job, case_of, compile_all
from benchmarks.on_gpu.correct import call_of
from benchmarks.on_gpu.session import Session, milliseconds
from nestgen.arch.graph import NestGraph
from nestgen.arch.spec import NestSpec
from nestgen.errors import in_a_line
from nestgen.inference.spread import Spread
from nestgen.kernels.call_reference import run_reference
from nestgen.kernels.configurations import KERNELS, configuration_of
from nestgen.kernels.fused_conv import IMPLEMENTATIONS, fused_conv
from nestgen.kernels.layout import channels_last
from nestgen.kernels.traffic import Traffic
from tests.kernels.calls import Case

PART = "facts"
ROWS = 2
"""The last row whose convolutions are timed by themselves."""


def measure(session: Session, wrong: set[tuple[str, str]]) -> None:
    """Each fact, the cheapest first."""
    for name, run in (
        ("bandwidth from the cache", _from_cache),
        ("bandwidth of the memory", _of_memory),
    ):
        if session.reaches(PART, name):
            with session.guarded(PART, what=name):
                session.add(PART, {"what": name, **run(session)})
    for inputs, outputs, row in _convolutions(session):
        what = f"cuDNN, row {row}, {inputs} to {outputs} channels"
        if session.reaches(PART, what):
            with session.guarded(PART, what=what):
                for row_told in _cudnn(session, inputs, outputs, row):
                    session.add(PART, row_told)
    _kernels(session, wrong)


def _from_cache(session: Session) -> dict[str, float]:
    """Every processor reads a buffer that the last cache holds, again and again."""
    from benchmarks.on_gpu.reread import BLOCK, reread

    buffer = torch.zeros(
        max(session.extent.bytes[0] // 4, BLOCK),
        dtype=torch.int32,
        device=session.device,
    )
    programs, times = (1, 1) if session.toy else (4 * _processors(session), 2)
    sums = torch.zeros(programs, dtype=torch.int32, device=session.device)
    taken = session.spread(lambda: reread(buffer, sums, times), flushes=0)
    moved = buffer.nbytes * programs * times
    return {**milliseconds(taken), "GB/s": moved / taken.median / 1e9}


def _processors(session: Session) -> int:
    return torch.cuda.get_device_properties(session.device).multi_processor_count


def _of_memory(session: Session) -> dict[str, float]:
    """A copy reads each byte and writes it."""
    source = torch.zeros(
        session.extent.bytes[1], dtype=torch.uint8, device=session.device
    )
    target = torch.empty_like(source)
    taken = session.spread(lambda: target.copy_(source), flushes=0)
    return {**milliseconds(taken), "GB/s": 2 * source.nbytes / taken.median / 1e9}


def _convolutions(session: Session) -> Iterator[tuple[int, int, int]]:
    """Channels in, channels out, and the row: each once, of the upper rows."""
    graph = NestGraph(
        NestSpec(depth=max(session.extent.levels), widths=session.extent.width)
    )
    yield from dict.fromkeys(
        one
        for node in graph.nodes
        if node.i <= ROWS
        for one in (
            (graph.in_channels(node), graph.width(node), node.i),
            (graph.width(node), graph.width(node), node.i),
        )
    )


def _cudnn(
    session: Session, inputs: int, outputs: int, row: int
) -> Iterator[dict[str, object]]:
    side, dtype = max(session.extent.side >> row, 2), DTYPES[session.extent.dtype]
    shape = (session.extent.batch, inputs, side, side)
    images = [
        channels_last(torch.randn(shape, device=session.device, dtype=dtype))
        for _ in range(2)
    ]
    weight = torch.randn(outputs, inputs, 3, 3).to(session.device, dtype)
    weight, bias = (
        channels_last(weight / (9 * inputs) ** 0.5),
        weight[:, 0, 0, 0].clone(),
    )
    turn = cycle(images)
    runs: dict[str, Callable[[], Tensor]] = {
        "convolution": lambda: F.conv2d(next(turn), weight, padding=1),
        "convolution, bias, ReLU": lambda: F.relu_(
            F.conv2d(next(turn), weight, bias, padding=1)
        ),
    }
    if session.device.type == "cuda":
        runs["cudnn_convolution_relu"] = lambda: torch.cudnn_convolution_relu(
            next(turn), weight, bias, (1, 1), (1, 1), (1, 1), 1
        )
    traffic = Traffic(session.extent.batch, side, side, inputs, outputs, biases=outputs)
    for name, run in runs.items():
        what = f"cuDNN {name}, row {row}, {inputs} to {outputs} channels, {side}x{side}"
        yield {"what": what, **_rates(session.spread(run), traffic, dtype)}


def _rates(taken: Spread, traffic: Traffic, dtype: torch.dtype) -> dict[str, float]:
    return {
        **milliseconds(taken),
        "GB/s": traffic.moved(dtype.itemsize) / taken.median / 1e9,
        "TFLOP/s": traffic.flops / taken.median / 1e12,
    }


def _kernels(session: Session, wrong: set[tuple[str, str]]) -> None:
    """Of each kernel the best configuration, beside torch's own operators."""
    calls = [
        (case, call_of(session, case))
        for width in session.extent.channels
        for case in _timed(session, width)
    ]
    jobs = [
        (Job(impl, case_of(call), session.extent.dtype, str(one)), call)
        for _, call in calls
        for impl, configurations in KERNELS.items()
        if IMPLEMENTATIONS[impl].why_not(call) is None
        for one in configurations(call)[: session.extent.configurations]
        if (impl, str(one)) not in wrong
    ]
    if not session.toy:
        compile_all((job for job, _ in jobs), seconds=session.left / 5)
    for case, call in calls:
        what = (
            f"{case.up}, {list(case.skips)} and {case.low} to {case.channels} channels"
        )
        if not session.reaches(PART, what):
            continue
        traffic, dtype = Traffic.of(call), call.weight.dtype
        runs = {"torch": partial(run_reference, call)}
        runs |= {
            f"{job.impl} {job.configuration}": partial(
                fused_conv, call, job.impl, configuration_of(job.configuration)
            )
            for job, of in jobs
            if of is call
        }
        for name, run in runs.items():
            try:
                rates = _rates(session.spread(run), traffic, dtype)
            except Exception as error:  # of compilers and drivers
                session.add(
                    PART, {"what": f"{name}: {what}", "failed": in_a_line(error)}
                )
            else:
                session.add(PART, {"what": f"{name}: {what}", **rates})


def _timed(session: Session, width: int) -> Iterator[Case]:
    """A row's convolution, and one that reads what is up-sampled: as `width` has it."""
    base = session.extent.channels[0]
    side = max(session.extent.side * base // width, 2)
    plain = Case(
        "none", (side, side), skips=(width,), low=2 * width, channels=width,
        batch=session.extent.batch, bias="vector",
    )  # fmt: skip
    yield plain
    yield Case(
        "phases", (side, side), skips=(width, width), low=2 * width, channels=width,
        batch=session.extent.batch,
    )  # fmt: skip
