"""Compile many launches at once, in processes of their own, into Triton's cache."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor
from concurrent.futures import TimeoutError as LateError
from contextlib import contextmanager
from importlib import import_module
from multiprocessing import get_context
from typing import Any, NamedTuple

import torch

from nestgen.kernels.call import Call
from nestgen.kernels.configurations import configuration_of
from nestgen.kernels.images import new_outputs
from tests.kernels.calls import Case, changed

DTYPES = {
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
    "tf32": torch.float32,
    "float32": torch.float32,
}
MOST_PROCESSES = 12
SECONDS = 240.0
"""For all of them: what is not compiled by then is where it is launched."""


class Job(NamedTuple):
    """A launch, in what can be sent to another process; sizes do not matter to it."""

    impl: str
    case: Case
    dtype: str
    configuration: str


@contextmanager
def multiplying(dtype: str) -> Iterator[None]:
    """Convolutions of float32 round their factors, or not, as the dtype says."""
    known: Any = torch.backends
    before = known.cudnn.conv.fp32_precision
    known.cudnn.conv.fp32_precision = "tf32" if dtype == "tf32" else "ieee"
    try:
        yield
    finally:
        known.cudnn.conv.fp32_precision = before


def case_of(call: Call) -> Case:
    """A small case for which a kernel is compiled as for `call`."""
    bias = call.bias
    classes = None if call.head_weight is None else call.head_weight.shape[0]
    return Case(
        up=call.up,
        size=(4, 4),
        skips=tuple(skip.shape[1] for skip in call.skips),
        low=0 if call.low is None else call.low.shape[1],
        channels=call.weight.shape[0],
        bias="none" if bias is None else "vector" if bias.ndim == 1 else "borders",
        slope=call.slope,
        outputs=tuple(call.outputs),
        classes=classes or 1,
    )


def compile_all(jobs: Iterable[Job], seconds: float = SECONDS) -> None:
    """Leave in Triton's cache what the jobs launch; what fails, fails again later."""
    distinct = list(dict.fromkeys(jobs))
    processes = min(MOST_PROCESSES, (os.cpu_count() or 2) - 1, len(distinct))
    if processes < 2:
        return
    pool = ProcessPoolExecutor(processes, mp_context=get_context("spawn"))
    try:
        for _ in pool.map(_compile, distinct, timeout=seconds):
            pass
    except (LateError, BrokenExecutor):  # a compiler may end its process
        pass
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _compile(job: Job) -> None:
    """In a process of its own."""
    try:
        call = changed(job.case.call(DTYPES[job.dtype]), torch.Tensor.cuda)
        with multiplying(job.dtype):
            file = import_module(f"nestgen.kernels.{job.impl}")
            configuration = configuration_of(job.configuration)
            file.launch(call, new_outputs(call), configuration).compile()
    except Exception:  # whoever launches it is told
        return
