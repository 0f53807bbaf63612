"""Every level of a trained network, measured: quality, size, time, memory."""

from __future__ import annotations

import filecmp
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn

from nestgen.arch.choices import Mode
from nestgen.arch.cost import Cost, graph_cost
from nestgen.arch.graph import NestGraph
from nestgen.arch.heads import Heads, answering, heads_name
from nestgen.codegen.load import spec_of
from nestgen.errors import DataError, SettingsError
from nestgen.imaging.pairs import Pair
from nestgen.imaging.picture import open_picture
from nestgen.surgery.cut import prune
from nestgen.training.choice import Choice, Difference, choose_level, compare
from nestgen.training.evaluate import evaluate
from nestgen.training.metrics import Scores
from nestgen.training.outputs import joint_probabilities
from nestgen.training.rule import LIMITS, Rule
from nestgen.training.timing import peak_bytes, time_in_turn
from nestgen.training.window import (
    count_windows,
    fitted_size,
    seen_at_once,
    window_of,
)


@dataclass(frozen=True)
class Level:
    """What one level, or the mean of several, is worth, and what it costs alone."""

    heads: Heads
    scores: Scores
    cost: Cost
    seconds: float
    peak_bytes: int
    batch_size: int
    windows: int = 1

    @property
    def name(self) -> str:
        """What it is called: L2, or L1-3 for the mean of three."""
        return heads_name(self.heads)

    @property
    def images_per_second(self) -> float:
        """Images in a second at this batch size, `windows` passes for each."""
        return self.batch_size / (self.seconds * self.windows)

    def to_plain(self) -> dict[str, Any]:
        """The level as JSON types."""
        classes = range(1, self.scores.counts.shape[1] + 1)
        return {
            "level": self.name,
            **self.scores.to_plain(),
            "by_class": [self.scores.of_class(k).to_plain() for k in classes],
            "parameters": self.cost.parameters,
            "macs": self.cost.macs,
            "weight_bytes": self.cost.weight_bytes,
            "milliseconds": 1000 * self.seconds,
            "images_per_second": self.images_per_second,
            "peak_bytes": self.peak_bytes,
        }


@dataclass(frozen=True)
class Report:
    """All levels, at the input size at which they were timed, and the choice.

    Attributes:
        levels: from the cheapest, with their scores on the images that are reported.
        size: of the input at which they were timed.
        images: that are reported.
        rule: by which the choice was made.
        choice: among those of the levels that the rule allows.
        held_out: the differences on the reported images, where these are others than
            those by which the level was chosen.
    """

    levels: tuple[Level, ...]
    size: tuple[int, ...]
    images: int
    rule: Rule
    choice: Choice
    held_out: dict[str, Difference] | None = None

    @property
    def differences(self) -> dict[str, Difference]:
        """Those on the reported images."""
        return self.choice.differences if self.held_out is None else self.held_out

    @property
    def candidates(self) -> list[Level]:
        """Those among which the rule's mode chooses, were there no limits."""
        heads = sorted({head for level in self.levels for head in level.heads})
        groups = groups_of(heads, self.rule.mode)
        return [level for level in self.levels if level.heads in groups]

    @property
    def beyond_limits(self) -> tuple[str, float] | None:
        """The best on the reported images, if it is beyond the limits, and by how much
        its score is above that of the chosen."""
        best = max(self.candidates, key=self.score)
        if best.name in self.choice.differences:
            return None
        return best.name, self.score(best) - self.score(self.chosen)

    @property
    def chosen(self) -> Level:
        """The level that was chosen."""
        return self.level(self.choice.level)

    def level(self, name: str) -> Level:
        """The level of that name."""
        return next(level for level in self.levels if level.name == name)

    def score(self, level: Level) -> float:
        """The mean score of a level, by the rule's metric, on the reported images."""
        return float(self.rule.score(level.scores).mean())

    def to_plain(self) -> dict[str, Any]:
        """The report as JSON types."""
        plain = {
            "images": self.images,
            "timed_at": list(self.size),
            "batch_size": self.levels[0].batch_size,
            "levels": [
                {**level.to_plain(), "score": self.score(level)}
                for level in self.levels
            ],
            "score": self.rule.score_name,
            "beyond_limits": self.beyond_limits,
            "choice": self.choice.to_plain(),
        }
        if self.held_out is not None:
            found = self.held_out[self.choice.level]
            verdict = found.verdict(self.rule.margin)
            plain["held_out"] = found.to_plain() | {"verdict": verdict}
        return plain


class Joint(nn.Module):
    """A network of several heads, whose answer is the mean of their probabilities."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        """Probabilities [N, classes, *size] of images [N, C, *size]."""
        return joint_probabilities(list(self.model(x).values()))


def groups_of(heads: Sequence[int], mode: Mode) -> list[Heads]:
    """What is chosen among: each level, or the mean of all levels up to it.

    >>> groups_of([1, 2, 3], "accurate")
    [(1,), (1, 2), (1, 2, 3)]
    """
    return [answering(heads[: place + 1], mode) for place in range(len(heads))]


def measured_groups(heads: Sequence[int], mode: Mode) -> list[Heads]:
    """What is measured: each level, and what is chosen among.

    >>> measured_groups([1, 2, 3], "accurate")
    [(1,), (2,), (3,), (1, 2), (1, 2, 3)]
    """
    return list(dict.fromkeys([*groups_of(heads, "fast"), *groups_of(heads, mode)]))


def measure_levels(
    model: nn.Module,
    pairs: Sequence[Pair],
    *,
    rule: Rule | None = None,
    held_out: Sequence[Pair] | None = None,
    window: tuple[int, ...] | None = None,
    rounds: int = 15,
    batch_size: int = 1,
    progress: Callable[[int], object] = lambda done: None,
) -> Report:
    """Measure every level of `model`, which nestgen built, on `pairs`, and choose one.

    Quality comes from one pass of the whole network over the images, by windows where
    they are larger (see `window_of`). Time and memory are those of each level cut out,
    in turn, at the most frequent size of the images, or of one window of them. The
    choice is made by the `rule` on `pairs`; where images are `held_out`, the report is
    about those. `progress` is called with the number of images and of passes done: one
    pass in each of `rounds` and in `timing.WARM_UP` more, for all `measured_groups`.

    Raises `SettingsError` where no level is within the rule's limits, `DataError` for
    an image on both sides.
    """
    rule = rule or Rule()
    spec, device = spec_of(model), next(model.parameters()).device
    rule.check_classes(spec.classes)
    require_apart(pairs, held_out or [])
    graph = NestGraph(spec)
    seen = window_of(graph, window)
    whole = fitted_size(_frequent_size(pairs), seen, graph.multiples)
    size = seen_at_once(whole, seen)
    x = torch.randn(batch_size, spec.in_channels, *size, device=device)
    groups = measured_groups(spec.heads, rule.mode)

    def scores_on(images: Sequence[Pair]) -> dict[str, Scores]:
        return evaluate(
            model,
            images,
            groups=groups,
            metric=rule.own,
            window=seen,
            progress=progress,
        )

    scores = scores_on(pairs)
    reported = scores if held_out is None else scores_on(held_out)
    alone = {group: _alone(model, group) for group in groups}
    runs = {group: partial(network, x) for group, network in alone.items()}
    seconds = time_in_turn(runs, rounds, device=device, progress=progress)
    levels = [
        Level(
            group,
            reported[heads_name(group)],
            graph_cost(graph.cut(group), size),
            median(seconds[group]),
            peak_bytes(alone[group], x),
            batch_size,
            count_windows(whole, seen),
        )
        for group in groups
    ]
    levels.sort(key=lambda level: (level.cost.macs, level.cost.parameters))
    allowed = _allowed(levels, groups_of(spec.heads, rule.mode), rule)
    test = {name: rule.score(scores[name]) for name in allowed}
    choice = choose_level(test, rule.margin, rule.confidence)
    later = None
    if held_out is not None:
        test = {name: rule.score(reported[name]) for name in allowed}
        later = compare(test, rule.confidence)
    images = len(pairs if held_out is None else held_out)
    return Report(tuple(levels), size, images, rule, choice, later)


def require_apart(pairs: Sequence[Pair], others: Sequence[Pair]) -> None:
    """Raise `DataError` for an image that is in both, also as a copy of its file.

    >>> require_apart([], [])
    """
    by_size: defaultdict[int, list[Path]] = defaultdict(list)
    for pair in pairs:
        by_size[pair.image.stat().st_size].append(pair.image)
    for pair in others:
        for known in by_size.get(pair.image.stat().st_size, ()):
            if filecmp.cmp(known, pair.image, shallow=False):
                raise DataError(
                    f"{pair.image}: is {known}, and so among the images by which the "
                    "choice is made, too"
                )


def _alone(model: nn.Module, group: Heads) -> nn.Module:
    small = prune(model, group).eval()
    return small if len(group) == 1 else Joint(small).eval()


def _allowed(levels: Sequence[Level], groups: Sequence[Heads], rule: Rule) -> list[str]:
    """The names of those of the groups that are within the rule's limits."""
    rows = {level.name: level.to_plain() for level in levels if level.heads in groups}
    for limit, what in LIMITS.items():
        most = getattr(rule, limit)
        if most is None:
            continue
        least = min(row[what] for row in rows.values())
        rows = {name: row for name, row in rows.items() if row[what] <= most}
        if not rows:
            raise SettingsError(
                f"{limit}: {most:,.15g} is not allowed, the least that a level has is "
                f"{least:,.15g}"
            )
    return list(rows)


def _frequent_size(pairs: Sequence[Pair]) -> tuple[int, ...]:
    sizes: Counter[tuple[int, ...]] = Counter()
    for pair in pairs:
        with open_picture(pair.image) as picture:
            sizes[picture.size] += 1
    return sizes.most_common(1)[0][0]
