"""The proof of a fused network: it rounds hardly worse than the network does."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from nestgen.errors import ModuleError
from nestgen.fusion.fused import Fused
from nestgen.surgery.kept import Inputs, Kept, output_tensors, run
from nestgen.surgery.outside import told
from nestgen.surgery.whole import Shapes, Whole

MOST = 2.0
"""How many times as badly as the network the fused one may round."""


@dataclass(frozen=True)
class Proof:
    """What was compared, and how far both were from float64.

    Attributes:
        error: of the fused network, as a share of the unfused one's; the most of all
            outputs and inputs.
        inputs: the shapes on which both were compared.
    """

    error: float
    inputs: Shapes


def prove(fused: Fused, asked: Whole) -> Proof:
    """Run both on all inputs for which the graph is known to hold, and the float64 one.

    An output in float64 has no better reference. Its own error is taken to be that of
    the network in float32, times the ratio of both precisions; the reference may be off
    by as much.

    Raises `ModuleError` where `fused` gives another shape or dtype, or is off by more
    than `MOST` times as much as the network.
    """
    precise, coarse = (
        copy.deepcopy(asked.kept).to(dtype) for dtype in (torch.float64, torch.float32)
    )
    worst, shapes = 0.0, []
    for inputs, theirs in zip(asked.tried, asked.expected, strict=True):
        if not fused.takes(*inputs):
            continue
        given = run(fused, inputs)
        _require_constants(fused, given, asked, inputs)
        exact = _run_in(torch.float64, precise, inputs)
        wide = any(other.dtype == torch.float64 for other in theirs)
        rough = _run_in(torch.float32, coarse, inputs) if wide else theirs
        for name, ours, other, *both in zip(
            asked.kept.names, output_tensors(given).values(), theirs, rough, exact,
            strict=True,
        ):  # fmt: skip
            if (ours.shape, ours.dtype) != (other.shape, other.dtype):
                raise ModuleError(
                    f"output {name} is {ours.dtype} {list(ours.shape)} once it is "
                    f"fused, not {other.dtype} {list(other.shape)}"
                )
            worst = max(worst, _share(name, ours, *both))
        shapes.append(tuple(inputs[0].shape))
    return Proof(worst, tuple(shapes))


def _require_constants(fused: Fused, given: Any, asked: Whole, inputs: Inputs) -> None:
    """Raise where what it returns beside tensors depends on the input."""
    if not fused.has_constants:
        return
    both = (given, run(asked.kept.inside, inputs))
    ours, theirs = (
        [leaf for leaf in tree_leaves(one) if not hasattr(leaf, "shape")]
        for one in both
    )
    if ours != theirs:
        raise ModuleError(
            f"{asked.kind} cannot be fused: beside tensors it returns what depends on "
            "its input"
        )


def _run_in(dtype: torch.dtype, twin: Kept, inputs: Inputs) -> tuple[Tensor, ...]:
    """What the network gives where all that it has is of `dtype`."""
    with told(f"the network cannot be compared, it does not run in {dtype}"):
        found: tuple[Tensor, ...] = run(
            twin, tuple(x.to(dtype) if x.is_floating_point() else x for x in inputs)
        )
    return found


def _share(name: str, ours: Tensor, rough: Tensor, exact: Tensor) -> float:
    """How far `ours` is off, as a share of how far the network is.

    `rough` shows the latter, in the dtype of `ours` or in a coarser one.
    """
    off, allowed, least = _distance(ours, exact), _distance(rough, exact), 1.0
    if ours.is_floating_point():
        precision = torch.finfo(ours.dtype).eps
        allowed *= precision / torch.finfo(rough.dtype).eps
        least = precision / 2 * float(exact.double().nan_to_num(0, 0, 0).norm())
    if ours.dtype != rough.dtype:
        off = max(0.0, off - allowed)
    own = max(allowed, least)
    share = 0.0 if off == 0 else off / own if own else math.inf
    if not share <= MOST:
        raise ModuleError(
            f"output {name} rounds {share:.3g} times as badly once it is fused"
        )
    return share


def _distance(y: Tensor, exact: Tensor) -> float:
    """The norm of the difference; of what is counted, how many differ."""
    if not y.is_floating_point():
        return float((y != exact).sum())
    known = exact.isfinite()
    if not torch.equal(y.isfinite(), known):
        return math.inf
    return float((y[known].double() - exact[known].double()).norm())
