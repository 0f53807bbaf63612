"""The proof of a fused network: it rounds hardly worse than the network does."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from contextlib import redirect_stderr
from dataclasses import dataclass
from io import StringIO
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
_SHAKE = 2.0**-24
"""What weights are changed by, at most, to see what their own rounding does."""

Tensors = tuple[Tensor, ...]


@dataclass(frozen=True)
class Proof:
    """What was compared, and how far both were from float64.

    Attributes:
        error: of the fused network, as a share of the unfused one's; the most of all
            outputs.
        inputs: the shapes on which both were compared.
    """

    error: float
    inputs: Shapes


def prove(fused: Fused, asked: Whole) -> Proof:
    """Run both on all inputs for which the graph is known to hold, and the float64 one.

    The network's own error, of each output over all inputs, is the larger one of two:
    how far it is from its twin in float64, and how far that is from itself where each
    of its weights is rounded once more, since on a few numbers a network may round well
    by chance. For an output in float64 the first is the network's in float32, times the
    ratio of both precisions, and its reference may be off by as much.

    Raises `ModuleError` where `fused` does not run, gives another shape or dtype, is
    not finite where the network is, or is off by more than `MOST` times as much.
    """
    exact = copy.deepcopy(asked.kept).double()
    twins = [exact, _shaken(exact, 0), _shaken(exact, 1)]
    coarse = copy.deepcopy(asked.kept).float()
    errors = [_Error(name) for name in asked.kept.names]
    shapes = []
    for inputs, theirs in zip(asked.tried, asked.expected, strict=True):
        if not fused.takes(*inputs):
            continue
        # torch.fx prints the lines that raise
        quiet = redirect_stderr(StringIO())
        with told(f"{asked.kind} does not run once it is fused"), quiet:
            given = run(fused, inputs)
        _require_constants(fused, given, asked, inputs)
        wide = any(other.dtype == torch.float64 for other in theirs)
        rough = _run_in(torch.float32, coarse, inputs) if wide else theirs
        doubled = [_run_in(torch.float64, twin, inputs) for twin in twins]
        found = output_tensors(given).values()
        for error, *ours in zip(errors, found, theirs, rough, *doubled, strict=True):
            error.add(*ours)
        shapes.append(tuple(inputs[0].shape))
    return Proof(max(error.share() for error in errors), tuple(shapes))


@dataclass
class _Error:
    """Of an output, as sums of squares over all inputs; of what is counted, how many.

    Attributes:
        name: of the output.
        ours: of the fused network.
        own: of the network.
        shaken: of the network in float64 with other weights.
        least: what rounding each number once may do.
        estimated: whether `own` was, so that the reference may be off as much.
    """

    name: str
    ours: float = 0.0
    own: float = 0.0
    shaken: float = 0.0
    least: float = 0.0
    estimated: bool = False

    def add(
        self,
        ours: Tensor,
        theirs: Tensor,
        rough: Tensor,
        exact: Tensor,
        *shaken: Tensor,
    ) -> None:
        """What one more input shows."""
        if (ours.shape, ours.dtype) != (theirs.shape, theirs.dtype):
            raise ModuleError(
                f"output {self.name} is {ours.dtype} {list(ours.shape)} once it is "
                f"fused, not {theirs.dtype} {list(theirs.shape)}"
            )
        if not ours.is_floating_point():
            distances = [float((y != exact).sum()) for y in (ours, theirs, *shaken)]
            scales, least = (1.0, 1.0), 1.0
        else:
            known = exact.isfinite() & theirs.isfinite()
            if not ours[known].isfinite().all():
                raise ModuleError(
                    f"output {self.name} is not finite once it is fused, where the "
                    "network's is"
                )
            distances = [_square(y, exact, known) for y in (ours, rough, *shaken)]
            precision = torch.finfo(ours.dtype).eps / 2
            own = 2 * precision / torch.finfo(rough.dtype).eps
            scales = (own**2, (precision / _SHAKE) ** 2)
            least = precision**2 * float(exact[known].double().square().sum())
        self.ours += distances[0]
        self.own += distances[1] * scales[0]
        self.shaken += max(distances[2:]) * scales[1]
        self.least += least
        self.estimated |= ours.dtype != rough.dtype

    def share(self) -> float:
        """How far ours is off, as a share of how far the network is."""
        own = math.sqrt(max(self.own, self.shaken, self.least))
        off = math.sqrt(self.ours) - self.estimated * own
        share = 0.0 if off <= 0 else off / own if own else math.inf
        if not share <= MOST:
            raise ModuleError(
                f"output {self.name} rounds {share:.3g} times as badly once it is fused"
            )
        return share


def _square(y: Tensor, exact: Tensor, known: Tensor) -> float:
    """The square of the distance, where both the exact and the whole are finite.

    And `y` is: what overflows in float32, or where weights are shaken, excuses nothing.
    """
    known = known & y.isfinite()
    return float((y[known].double() - exact[known].double()).square().sum())


def _shaken(exact: Kept, seed: int) -> Kept:
    """A twin, each of whose numbers is changed by chance as rounding may change it."""
    twin, chance = copy.deepcopy(exact), torch.Generator().manual_seed(seed)
    for tensor in twin.state_dict().values():
        if tensor.is_floating_point():
            drawn = torch.rand(tensor.shape, generator=chance, dtype=torch.float64)
            tensor.mul_((1 + _SHAKE * (2 * drawn - 1)).to(tensor))
    return twin


def _require_constants(fused: Fused, given: Any, asked: Whole, inputs: Inputs) -> None:
    """Raise where what it returns beside tensors depends on the input."""
    if not fused.has_constants:
        return
    ours, theirs = map(_constants, (given, run(asked.kept.inside, inputs)))
    if ours != theirs:
        raise ModuleError(
            f"{asked.kind} cannot be fused: beside tensors it returns what depends on "
            "its input"
        )


def _constants(given: Any) -> Sequence[Any]:
    return [leaf for leaf in tree_leaves(given) if not hasattr(leaf, "shape")]


def _run_in(dtype: torch.dtype, twin: Kept, inputs: Inputs) -> Tensors:
    """What the network gives where all that it has is of `dtype`."""
    with told(f"the network cannot be compared, it does not run in {dtype}"):
        found: Tensors = run(
            twin, tuple(x.to(dtype) if x.is_floating_point() else x for x in inputs)
        )
    return found
