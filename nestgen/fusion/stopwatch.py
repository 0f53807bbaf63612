"""How long a device takes for what it is asked, with nothing of it in its cache."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch

Run = Callable[[], object]
Stopwatch = Callable[[Run], float]

FLUSH_BYTES = 2**29
"""More than any GPU's last cache holds."""
FLUSHES = 4
"""They take a GPU half a millisecond, in which the CPU can ask for all that follows."""


def stopwatch(device: torch.device, flushes: int = FLUSHES) -> Stopwatch:
    """A function that runs another once, and returns its seconds on the device.

    Without flushes, a GPU finds in its cache what was left there, and waits for the CPU
    where that is slow to ask.

    >>> stopwatch(torch.device("cpu"))(lambda: None) < 60
    True
    """
    return _on_gpu(device, flushes) if device.type == "cuda" else _on_cpu


def _on_cpu(run: Run) -> float:
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def _on_gpu(device: torch.device, flushes: int) -> Stopwatch:
    flushed = torch.empty(
        FLUSH_BYTES if flushes else 0, dtype=torch.uint8, device=device
    )

    new_event: Any = partial(torch.cuda.Event, enable_timing=True)

    def seconds(run: Run) -> float:
        with torch.cuda.device(device):
            begin, end = new_event(), new_event()
            torch.cuda.synchronize(device)
            for _ in range(flushes):
                flushed.zero_()
            begin.record()
            run()
            end.record()
            end.synchronize()
            return float(begin.elapsed_time(end)) / 1e3

    return seconds
