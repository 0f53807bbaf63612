"""What quality costs: every fixed level, rules and an oracle on the same images."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from statistics import median
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from nestgen.arch.graph import NestGraph
from nestgen.codegen.load import spec_of
from nestgen.imaging.pairs import Pair
from nestgen.inference.anytime import Calibration, grow
from nestgen.inference.calibrate import stops
from nestgen.inference.look import AT_ONCE, Seen
from nestgen.surgery.cut import prune
from nestgen.surgery.modes import eval_mode
from nestgen.training.data import Whole, whole_images
from nestgen.training.timing import time_in_turn
from nestgen.training.window import window_of

Kind = Literal["fixed", "rule", "oracle"]


@dataclass(frozen=True)
class Way:
    """One way to decide how far to go, on a set of images.

    Attributes:
        name: "L1", that level's cut; of a rule; "oracle", which stops each image at the
            smallest level whose IoU is not below the last level's.
        kind: "fixed", "rule" or "oracle".
        iou: the mean over the images.
        loss: the last level's mean IoU minus this.
        macs: multiply-accumulates of an image, on average.
        milliseconds: of an image, in batches: the median of several rounds.
        stopped: how many images stopped at each level.
    """

    name: str
    kind: Kind
    iou: float
    loss: float
    macs: float
    milliseconds: float
    stopped: dict[str, int]

    def to_plain(self) -> dict[str, Any]:
        """As JSON types."""
        return asdict(self)


def compare_ways(
    model: nn.Module,
    pairs: Sequence[Pair],
    seen: Seen,
    rules: Mapping[str, Calibration],
    *,
    window: tuple[int, ...] | None = None,
    rounds: int = 5,
    progress: Callable[[int], object] = lambda images: None,
) -> list[Way]:
    """Each fixed level, the rules by name and the oracle on `pairs`, which are `seen`.

    Timed are the networks, on batches that are on the device, and what a rule does
    with their logits; all ways take turns, round by round, batch by batch.
    """
    fixed = {name: np.full(len(seen), at) for at, name in enumerate(seen.levels)}
    ruled = {name: stops(rule, seen) for name, rule in rules.items()}
    places = {**fixed, **ruled, "oracle": oracle(seen)}
    batches = whole_images(
        pairs,
        range(len(pairs)),
        spec_of(model),
        window_of(NestGraph(spec_of(model)), window),
        AT_ONCE,
    )
    seconds = _seconds(model, batches, rules, places["oracle"], rounds, progress)
    each, best = np.arange(len(seen)), float(seen.iou[:, -1].mean())
    ways = []
    for name, place in places.items():
        iou = float(seen.iou[each, place].mean())
        kind: Kind = "fixed" if name in fixed else "rule" if name in rules else "oracle"
        macs = seen.alone if kind == "fixed" else seen.macs
        counts = np.bincount(place, minlength=len(fixed)).tolist()
        ways.append(
            Way(
                name=name,
                kind=kind,
                iou=iou,
                loss=best - iou,
                macs=float(macs[each, place].mean()),
                milliseconds=1000 * seconds[name] / len(seen),
                stopped=dict(zip(seen.levels, counts, strict=True)),
            )
        )
    return ways


def as_good(ways: Sequence[Way]) -> list[str]:
    """The fixed levels whose IoU is no less than the rule's and whose cost no more.

    >>> told = {"loss": 0.0, "milliseconds": 1.0, "stopped": {}}
    >>> fixed = [Way("L1", "fixed", 0.7, macs=1, **told)]
    >>> fixed += [Way("L2", "fixed", 0.8, macs=2, **told)]
    >>> as_good([*fixed, Way("rule", "rule", 0.79, macs=3, **told)])
    ['L2']
    """
    rule = next(way for way in ways if way.kind == "rule")
    return [
        way.name
        for way in ways
        if way.kind == "fixed" and way.iou >= rule.iou and way.macs <= rule.macs
    ]


def oracle(seen: Seen) -> NDArray[np.int64]:
    """The place of the smallest level that loses nothing against the last, [N]."""
    place: NDArray[np.int64] = (seen.iou >= seen.iou[:, -1:]).argmax(1)
    return place


def _seconds(
    model: nn.Module,
    batches: Iterable[Whole],
    rules: Mapping[str, Calibration],
    known: NDArray[np.int64],
    rounds: int,
    progress: Callable[[int], object],
) -> dict[str, float]:
    """By way, the sum over the batches of the median seconds of a pass."""
    spec = spec_of(model)
    heads = np.array(spec.heads)
    cuts = {f"L{level}": prune(model, level).eval() for level in spec.heads}
    taken = dict.fromkeys([*cuts, *rules, "oracle"], 0.0)
    with eval_mode(model), torch.inference_mode():
        for batch in batches:
            x = batch.images.to(next(model.parameters()))
            told = heads[known[list(batch.indices)]]
            runs: dict[str, Callable[[], object]] = {
                name: partial(cut, x) for name, cut in cuts.items()
            }
            for name, rule in rules.items():
                runs[name] = partial(grow, model, x, rule.enough)
            runs["oracle"] = partial(_knowing, model, told, x)
            for name, seconds in time_in_turn(runs, rounds, device=x.device).items():
                taken[name] += median(seconds)
            progress(len(batch.indices))
    return taken


def _knowing(
    model: nn.Module, levels: NDArray[np.int64], x: Tensor
) -> NDArray[np.int64]:
    """Grow where it is known at which level each image of the batch stops."""
    left = levels

    def enough(level: int, logits: Tensor, before: Tensor | None) -> NDArray[np.bool_]:
        nonlocal left
        done: NDArray[np.bool_] = left <= level
        left = left[~done]
        return done

    return grow(model, x, enough)[0]
