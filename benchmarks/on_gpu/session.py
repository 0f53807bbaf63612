"""A run that ends in time, and keeps each result as soon as it is there."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from nestgen.errors import in_a_line
from nestgen.files import write_whole
from nestgen.fusion.stopwatch import Run, stopwatch
from nestgen.inference.spread import Spread, spread_of


@dataclass(frozen=True)
class Extent:
    """How much is measured.

    Attributes:
        dtypes: in which kernels are checked, the most important first.
        channels: of the kernels that are checked and timed.
        checked: sizes on which they are checked, an even one and an odd one.
        side: of the images on which they are timed, and of the first network's.
        batch: of these images.
        bytes: of the buffers whose bandwidths are measured: near, and far.
        configurations: of a kernel, that tuning tries at most.
        rounds: of every timing, and before them those that are not counted.
        ups, levels, sides, batches: of the networks, and `width` is their first.
        dtype: of what is timed.
    """

    dtypes: tuple[str, ...] = ("bfloat16", "float16", "tf32", "float32")
    channels: tuple[int, ...] = (32, 64, 128)
    checked: tuple[tuple[int, int], tuple[int, int]] = ((20, 140), (19, 139))
    side: int = 512
    batch: int = 8
    bytes: tuple[int, int] = (2**24, 2**30)
    configurations: int = 3
    rounds: int = 15
    warm_up: int = 2
    ups: tuple[str, ...] = ("transpose", "nearest", "bilinear")
    levels: tuple[int, ...] = (4, 3, 2, 1)
    sides: tuple[int, ...] = (512, 256, 1024, 96)
    batches: tuple[int, ...] = (8, 1)
    width: int = 32
    dtype: str = "bfloat16"


TOY = Extent(
    dtypes=("float32",),
    channels=(16,),
    checked=((4, 6), (5, 7)),
    side=8,
    batch=1,
    bytes=(2**12, 2**12),
    configurations=1,
    rounds=1,
    warm_up=0,
    ups=("transpose",),
    levels=(1,),
    sides=(8,),
    batches=(1,),
    width=2,
    dtype="float32",
)
"""What an interpreter of kernels can do in a minute, to see that all of it runs."""


class Session:
    """A device, a budget of time, and a file of results.

    Attributes:
        device: that is measured.
        extent: how much is measured on it.
        toy: whether kernels are interpreted, and times mean nothing.
        told: all results, as the file has them.
    """

    def __init__(
        self,
        file: Path,
        head: Mapping[str, Any],
        *,
        device: torch.device,
        minutes: float,
        toy: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.file, self.device, self.toy, self._clock = file, device, toy, clock
        self.extent = TOY if toy else Extent()
        self.ends = clock() + 60 * minutes
        self.told: dict[str, Any] = {**head, "finished": False, "not_reached": []}
        self.write()

    @property
    def left(self) -> float:
        """Seconds of the budget."""
        return self.ends - self._clock()

    def add(self, part: str, row: Mapping[str, Any]) -> None:
        """Keep a result of a part."""
        self.told.setdefault(part, []).append(dict(row))
        self.write()

    def write(self) -> None:
        """Replace the file whole."""
        write_whole(self.file, json.dumps(self.told, indent=2) + "\n")

    def reaches(self, part: str, what: str, seconds: float = 0.0) -> bool:
        """Whether there is time for what may take so long; what is not is told."""
        if self.left > seconds:
            return True
        self.told["not_reached"].append(f"{part}: {what}")
        self.write()
        return False

    @contextmanager
    def guarded(self, part: str, **row: Any) -> Iterator[None]:
        """What goes wrong inside becomes a result, in one line."""
        try:
            yield
        except Exception as error:  # compilers, drivers, memory: whatever there is
            self.add(part, {**row, "failed": in_a_line(error)})
            self.free()

    def free(self) -> None:
        """Give back cached memory, unless the device has failed for good."""
        if self.device.type == "cuda":
            with suppress(RuntimeError):
                torch.cuda.empty_cache()

    def spread(self, run: Run, *, flushes: int = 4) -> Spread:
        """The seconds of a run, after those that are not counted."""
        clock = stopwatch(self.device, flushes)
        with torch.inference_mode():
            taken = [
                clock(run) for _ in range(self.extent.warm_up + self.extent.rounds)
            ]
        return spread_of(taken[self.extent.warm_up :])


def milliseconds(spread: Spread) -> dict[str, float]:
    """As results have it: the median, and the interval that has it with 95 %."""
    return {
        "ms": 1e3 * spread.median,
        "low_ms": 1e3 * spread.low,
        "high_ms": 1e3 * spread.high,
    }
