"""The original beside ours: the same weights, the same inputs, the same outputs."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from nestgen.arch.spec import NestSpec
from nestgen.codegen.load import spec_of
from nestgen.errors import WeightsError, in_a_line
from nestgen.foreign.weights import Weights
from nestgen.surgery.inputs import random_inputs
from nestgen.surgery.modes import eval_mode
from nestgen.surgery.outside import load_class

TOLERANCE = 1e-6
"""Of the largest logit, or of one where all are smaller."""


@dataclass(frozen=True)
class Comparison:
    """How far two networks are apart.

    Attributes:
        original: where the original is.
        levels: whose logits were compared.
        inputs: the shapes of the inputs.
        difference: the largest, 0 where all bits are equal.
    """

    original: str
    levels: tuple[int, ...]
    inputs: tuple[tuple[int, ...], ...]
    difference: float

    @property
    def statement(self) -> str:
        """What was seen, in one line."""
        levels = ", ".join(f"L{level}" for level in self.levels)
        how = f"within {self.difference:.2g}" if self.difference else "bit for bit"
        return f"{levels} == {self.original}, {how}, on {len(self.inputs)} inputs"


def absent(original: str | None) -> str | None:
    """Why there is nothing to compare with, if that is so.

    >>> absent("no_such_package.nets:Net")
    'no_such_package is not installed'
    >>> absent("torch.nn:Conv2d")
    """
    if original is None:
        return "the original is no package; --original names its file and class"
    package = original.split(".")[0].split(":")[0]
    missing = importlib.util.find_spec(package) is None
    return f"{package} is not installed" if missing else None


def compare(model: nn.Module, weights: Weights, original: str) -> Comparison:
    """Run the class `original` with `weights` beside `model`, which took them over.

    `original` is `module:Class` or `file.py:Class`; it is imported, so executed.
    Raises `WeightsError` if it cannot be, does not take the weights, or differs.
    """
    spec = spec_of(model)
    inputs = random_inputs(spec, model)
    arguments = weights.layout.arguments(spec, frozenset(weights.tensors))
    expected = _run_original(original, arguments, weights.tensors, inputs)
    difference = 0.0
    with eval_mode(model), torch.inference_mode():
        for x, outputs in zip(inputs, expected, strict=True):
            ours, theirs = _by_level(model(x), spec), _by_level(outputs, spec)
            most = max(
                _level_apart(level, original, ours, theirs) for level in spec.heads
            )
            difference = max(difference, most)
    shapes = tuple(tuple(x.shape) for x in inputs)
    return Comparison(original, spec.heads, shapes, difference)


def _run_original(
    where: str,
    arguments: Mapping[str, Any],
    tensors: Mapping[str, Tensor],
    inputs: list[Tensor],
) -> list[Any]:
    """What the class at `where` gives for the inputs, with the tensors in it."""
    try:
        made: nn.Module = load_class(where)(**arguments)
        made.load_state_dict(dict(tensors), strict=True)
        with torch.inference_mode():
            return [made.eval()(x) for x in inputs]
    except Exception as error:
        # whatever someone else's code raises
        line = in_a_line(error)
        raise WeightsError(f"{where}: cannot be run beside it ({line})") from error


def _by_level(outputs: Any, spec: NestSpec) -> dict[int, Any]:
    """Logits by level; originals list theirs from L1 on, or have those of the last."""
    if isinstance(outputs, dict):
        return {level: outputs.get(f"L{level}") for level in spec.heads}
    listed = outputs if isinstance(outputs, (list, tuple)) else [outputs]
    return {spec.depth - n: logits for n, logits in enumerate(reversed(listed))}


def _level_apart(
    level: int, original: str, one: Mapping[int, Tensor], other: Mapping[int, Any]
) -> float:
    """The largest difference of two logits; `WeightsError` where it is no rounding."""
    if getattr(other.get(level), "shape", None) != one[level].shape:
        raise WeightsError(f"{original}: has no L{level} like ours")
    difference, rounding = apart(one[level], other[level])
    if not rounding:
        raise WeightsError(
            f"L{level} differs from that of {original} by up to {difference:.2g}; "
            "options say what tensors cannot tell"
        )
    return difference


def apart(one: Tensor, other: Tensor) -> tuple[float, bool]:
    """The largest difference of two tensors, and whether it is but rounding.

    >>> apart(torch.ones(2), torch.tensor([1.0, 2.0]))
    (1.0, False)
    """
    difference = (one.double() - other.double()).abs().max().item()
    scale = max(1.0, other.abs().max().item())
    return difference, difference <= TOLERANCE * scale
