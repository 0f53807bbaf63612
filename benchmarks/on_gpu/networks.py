"""Networks in every style, beside eager PyTorch."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib import import_module
from itertools import cycle, product
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.on_gpu.compiled import DTYPES, Job, case_of, compile_all
from benchmarks.on_gpu.session import Session, milliseconds
from benchmarks.roofline import DEVICES, STYLES, Device, Run, Total
from nestgen.arch.graph import NestGraph
from nestgen.arch.spec import NestSpec
from nestgen.codegen.load import build
from nestgen.fusion.choice import Choice
from nestgen.fusion.compose import COMPOSED
from nestgen.fusion.fuse import fuse
from nestgen.fusion.signature import Key
from nestgen.fusion.stopwatch import stopwatch
from nestgen.fusion.tune import Launched, Tuning
from nestgen.inference.spread import spread_of
from nestgen.precision import without_tf32
from nestgen.surgery.kept import output_tensors

PART = "networks"
BUFFERS = 3
"""Inputs that take turns, so that none is found in a cache."""

Run_ = Callable[[Tensor], Any]


class NotHere(Exception):
    """Why a style cannot be measured here."""


@dataclass(frozen=True)
class Case:
    """A network and its input: [batch, 3, side, side]."""

    up: str
    level: int
    side: int
    batch: int

    @property
    def words(self) -> str:
        """In one line."""
        return f"L{self.level}, {self.up}, {self.side}x{self.side}, batch {self.batch}"


def cases(session: Session) -> list[Case]:
    """The most important first: all of each axis before its next value."""
    extent = session.extent
    grid = product(extent.ups, extent.levels, extent.sides, extent.batches)

    def rank(case: Case) -> tuple[int, ...]:
        places = (
            extent.ups.index(case.up),
            extent.levels.index(case.level),
            extent.sides.index(case.side),
            extent.batches.index(case.batch),
        )
        return (sum(place > 0 for place in places), sum(places), *places)

    return sorted((Case(*one) for one in grid), key=rank)


@dataclass(frozen=True)
class Subject:
    """A network to be run in styles."""

    session: Session
    case: Case
    network: nn.Module
    inputs: list[Tensor]
    tuning: Tuning

    @classmethod
    def of(cls, session: Session, case: Case, tuning: Tuning) -> Subject:
        """With random weights, and without dropout, as it predicts."""
        dtype = DTYPES[session.extent.dtype]
        torch.manual_seed(0)
        network = build(spec_of(session, case)).eval()
        shape = (case.batch, 3, case.side, case.side)
        layout: Any = {"memory_format": torch.channels_last}
        return cls(
            session,
            case,
            network.to(session.device, dtype).to(**layout),
            [
                torch.randn(shape).to(session.device, dtype).to(**layout)
                for _ in range(BUFFERS)
            ],
            tuning,
        )

    @property
    def small(self) -> Tensor:
        """An input on which fusing is proven, in no time."""
        side = 2**self.case.level
        return self.inputs[0][:1, :, :side, :side].contiguous()

    def fused(self, target: str, **options: Any) -> nn.Module:
        """The network fused for the size at which it is timed."""
        fused: nn.Module = fuse(
            self.network, self.small, target=target, typical=self.inputs[0], **options
        )
        return fused


def spec_of(session: Session, case: Case) -> NestSpec:
    """The paper's network, with batch norm to be folded."""
    return NestSpec(
        depth=case.level,
        widths=session.extent.width,
        up=case.up,
        block={"bias": True},
    )


def _eager(subject: Subject) -> Run_:
    return subject.network


def _compiled(**options: Any) -> Callable[[Subject], Run_]:
    def prepare(subject: Subject) -> Run_:
        torch.compiler.reset()
        chosen = {"freezing": True, **options}
        network = copy.deepcopy(subject.network)
        compiled: Run_ = torch.compile(
            network, fullgraph=True, dynamic=False, options=chosen
        )
        return compiled

    return prepare


def _max_autotuned(subject: Subject) -> Run_:
    from torch._inductor import list_mode_options

    return _compiled(**list_mode_options("max-autotune"))(subject)


def _tensorrt(subject: Subject) -> Run_:
    try:
        import_module("torch_tensorrt")  # which makes itself known to torch.compile
    except ImportError as error:
        raise NotHere("torch_tensorrt is not installed") from error
    torch.compiler.reset()
    options: Any = {"enabled_precisions": {subject.inputs[0].dtype}}
    compiled: Run_ = torch.compile(
        copy.deepcopy(subject.network), backend="tensorrt", options=options
    )
    return compiled


def _composed(subject: Subject) -> Run_:
    """Every up-sampling that can be is composed with its convolution, by cuDNN."""

    def phases(key: Key) -> Choice:
        composes = key.signature.up in COMPOSED and key.signature.skips
        return Choice("composed" if composes else "written")

    return subject.fused("kernels", find=phases)


def _fused(subject: Subject) -> Run_:
    return subject.fused("kernels", tune=subject.tuning)


def _graphed(subject: Subject) -> Run_:
    if subject.session.device.type != "cuda":
        raise NotHere("no CUDA graph without CUDA")
    return subject.fused("kernels", tune=subject.tuning, cuda_graph=True)


@dataclass(frozen=True)
class Style:
    """How a network is run; `seconds` are about what it takes to get it ready.

    Of a style that `replays` a CUDA graph no peak of memory is told, since what the
    graph holds is not seen.
    """

    prepare: Callable[[Subject], Run_]
    seconds: float
    compiles: bool = False
    replays: bool = False


STYLES_TIMED = {
    "eager": Style(_eager, 3),
    "composed": Style(_composed, 5),
    "fused": Style(_fused, 20),
    "fused, CUDA graph": Style(_graphed, 20, replays=True),
    "compile": Style(_compiled(), 45, compiles=True),
    "compile, max-autotune": Style(_max_autotuned, 120, compiles=True, replays=True),
    "TensorRT": Style(_tensorrt, 60, compiles=True),
}
"""In this order; eager is what the others are compared with."""


def new_tuning(session: Session) -> Tuning:
    """Into a table of this run, whose kernels are compiled at once.

    In a toy run nothing is timed: an interpreter's times choose nothing.
    """

    file = session.file.with_suffix(".choices.json")
    file.unlink(missing_ok=True)  # what other runs, maybe of other kernels, have chosen

    def prepare(launches: Iterable[Launched]) -> None:
        if not session.toy:
            compile_all(
                (
                    Job(impl, case_of(call), session.extent.dtype, str(one))
                    for impl, call, one in launches
                ),
                seconds=session.left / 3,
            )

    return Tuning(
        file=file,
        rounds=max(2, session.extent.rounds),
        configurations=session.extent.configurations,
        stopped=lambda: session.left < 0,
        prepare=prepare,
        clock=(lambda run: 1.0) if session.toy else None,
    )


def measure(session: Session, chosen: Sequence[Case], tuning: Tuning) -> None:
    """Every case in every style, as far as the time goes."""
    for case in chosen:
        if not session.reaches(PART, case.words, STYLES_TIMED["eager"].seconds):
            continue
        with session.guarded(PART, **asdict(case)):
            for row in _rows(session, case, tuning):
                session.add(PART, {**asdict(case), **row})
        session.told["choices"] = [asdict(e) for e in tuning.table.entries.values()]
        session.write()
        session.free()


def _rows(session: Session, case: Case, tuning: Tuning) -> Iterator[dict[str, Any]]:
    subject = Subject.of(session, case, tuning)
    exact = _exact(subject)
    error = _error(subject.network, subject.inputs[0], exact)
    for name, style in STYLES_TIMED.items():
        if style.compiles and session.toy:
            yield {"style": name, "left_out": "nothing is compiled in a toy run"}
        elif session.reaches(PART, f"{case.words}, {name}", style.seconds):
            try:
                yield {"style": name, **_row(subject, style, exact, error)}
            except NotHere as reason:
                yield {"style": name, "left_out": str(reason)}
            except Exception as failed:
                with session.guarded(PART, style=name, **asdict(case)):
                    raise failed


def _exact(subject: Subject) -> list[Tensor]:
    """What the network gives in float32, which is not rounded before it multiplies."""
    wide = torch.float64 if subject.inputs[0].dtype == torch.float32 else torch.float32
    network = copy.deepcopy(subject.network).to(wide)
    with torch.inference_mode(), without_tf32():
        given = output_tensors(network(subject.inputs[0].to(wide)))
    return [y.clone() for y in given.values()]


def _error(run: Run_, x: Tensor, exact: list[Tensor]) -> float:
    with torch.inference_mode():
        given = output_tensors(run(x)).values()
    return max(
        float((y.to(true.dtype) - true).norm() / true.norm())
        for y, true in zip(given, exact, strict=True)
    )


def _row(
    subject: Subject, style: Style, exact: list[Tensor], error: float
) -> dict[str, Any]:
    """A style's times, each beside one of eager's, and what it took."""
    session, case = subject.session, subject.case
    began = session.left
    run = style.prepare(subject)
    off = _error(run, subject.inputs[0], exact)
    ready = began - session.left
    ours, eagers = cycle(subject.inputs), cycle(subject.inputs)
    eager, times, ratios = subject.network, [], []
    clock = stopwatch(session.device, flushes=0)
    with torch.inference_mode():
        for turn in range(session.extent.warm_up + session.extent.rounds):
            theirs = clock(lambda: eager(next(eagers)))
            own = clock(lambda: run(next(ours)))
            if turn >= session.extent.warm_up:
                times.append(own)
                ratios.append(theirs / own)
    taken, faster = spread_of(times), spread_of(ratios)
    least = least_work(session, case)
    return {
        **milliseconds(taken),
        "faster_than_eager": faster.to_plain(),
        "GB/s": least.moved / taken.median / 1e9,
        "TFLOP/s": least.flops / taken.median / 1e12,
        "share_of_roofline": least.floor / taken.median if device_of(session) else None,
        "peak_MiB": None if style.replays else _peak(subject, run),
        "error_of_eager": off / error if error else None,
        "seconds_to_prepare": ready,
    }


def device_of(session: Session) -> Device | None:
    """The device's rates, where they are known."""
    if session.device.type != "cuda":
        return None
    name = torch.cuda.get_device_name(session.device).lower()
    return next((rates for key, rates in DEVICES.items() if key in name), None)


def least_work(session: Session, case: Case) -> Total:
    """What any style has to move and multiply: what the fused one's kernels do."""
    graph = NestGraph(spec_of(session, case))
    itemsize = DTYPES[session.extent.dtype].itemsize
    size = (case.side, case.side)
    kernels = Run(graph, STYLES["fused"], size, case.batch, itemsize).kernels
    rates = device_of(session) or DEVICES["h100"]
    return Total.of(kernels, rates, session.extent.dtype)


def _peak(subject: Subject, run: Run_) -> float | None:
    device = subject.session.device
    if device.type != "cuda":
        return None
    torch.cuda.synchronize(device)
    torch.cuda.reset_peak_memory_stats(device)
    with torch.inference_mode():
        run(subject.inputs[0])
    torch.cuda.synchronize(device)
    return torch.cuda.max_memory_allocated(device) / 2**20
