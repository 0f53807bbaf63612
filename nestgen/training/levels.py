"""Every level of a trained network, measured: quality, size, time, memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import Any

import torch
from torch import nn

from nestgen.arch.cost import Cost, level_costs
from nestgen.arch.graph import NestGraph
from nestgen.codegen.load import spec_of
from nestgen.imaging.pairs import Pair
from nestgen.imaging.picture import open_picture
from nestgen.surgery.cut import prune
from nestgen.training.choice import Choice, choose_level
from nestgen.training.evaluate import evaluate
from nestgen.training.metrics import Scores
from nestgen.training.timing import peak_bytes, time_in_turn
from nestgen.training.window import (
    count_windows,
    fitted_size,
    seen_at_once,
    window_of,
)


@dataclass(frozen=True)
class Level:
    """What one level is worth, and what it costs when it stands alone."""

    level: int
    scores: Scores
    cost: Cost
    seconds: float
    peak_bytes: int
    batch_size: int
    windows: int = 1

    @property
    def images_per_second(self) -> float:
        """Images in a second at this batch size, `windows` passes for each."""
        return self.batch_size / (self.seconds * self.windows)

    def to_plain(self) -> dict[str, Any]:
        """The level as JSON types."""
        return {
            "level": f"L{self.level}",
            **self.scores.to_plain(),
            "parameters": self.cost.parameters,
            "macs": self.cost.macs,
            "weight_bytes": self.cost.weight_bytes,
            "milliseconds": 1000 * self.seconds,
            "images_per_second": self.images_per_second,
            "peak_bytes": self.peak_bytes,
        }


@dataclass(frozen=True)
class Report:
    """All levels, at the input size at which they were timed, and the choice."""

    levels: tuple[Level, ...]
    size: tuple[int, ...]
    images: int
    choice: Choice

    def to_plain(self) -> dict[str, Any]:
        """The report as JSON types."""
        return {
            "images": self.images,
            "timed_at": list(self.size),
            "batch_size": self.levels[0].batch_size,
            "levels": [level.to_plain() for level in self.levels],
            "choice": self.choice.to_plain(),
        }


def measure_levels(
    model: nn.Module,
    pairs: Sequence[Pair],
    *,
    window: tuple[int, ...] | None = None,
    tolerance: float = 0.005,
    rounds: int = 15,
    batch_size: int = 1,
    progress: Callable[[int], object] = lambda done: None,
) -> Report:
    """Measure every level of `model`, which nestgen built, on `pairs`, and choose one.

    Quality comes from one pass of the whole network over the images, by windows where
    they are larger (see `window_of`). Time and memory are those of each level cut out,
    in turn, at the most frequent size of the images, or of one window of them.
    `progress` is called with what is done of `work(pairs, levels, rounds)`.
    """
    spec, device = spec_of(model), next(model.parameters()).device
    graph = NestGraph(spec)
    seen = window_of(graph, window)
    scores = evaluate(model, pairs, window=seen, progress=progress)
    choice = choose_level(
        {level: scores[f"L{level}"].iou for level in spec.heads}, tolerance
    )
    whole = fitted_size(_frequent_size(pairs), seen, graph.multiples)
    size = seen_at_once(whole, seen)
    x = torch.randn(batch_size, spec.in_channels, *size, device=device)
    alone = {level: prune(model, level).eval() for level in spec.heads}
    runs = {level: partial(network, x) for level, network in alone.items()}
    seconds = time_in_turn(runs, rounds, device=device, progress=progress)
    costs = level_costs(graph, size)
    levels = tuple(
        Level(
            level,
            scores[f"L{level}"],
            costs[level],
            median(seconds[level]),
            peak_bytes(alone[level], x),
            batch_size,
            count_windows(whole, seen),
        )
        for level in spec.heads
    )
    return Report(levels, size, len(pairs), choice)


def _frequent_size(pairs: Sequence[Pair]) -> tuple[int, ...]:
    sizes: Counter[tuple[int, ...]] = Counter()
    for pair in pairs:
        with open_picture(pair.image) as picture:
            sizes[picture.size] += 1
    return sizes.most_common(1)[0][0]
