"""The same network as nestgen writes it, with the weights of the one that was found."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from nestgen.arch.spec import NestSpec
from nestgen.codegen.load import build
from nestgen.errors import ModuleError
from nestgen.foreign.beside import apart
from nestgen.lifting.cells import Cells
from nestgen.lifting.grid import Grid, grid
from nestgen.lifting.kinds import bounds, even, normalises
from nestgen.lifting.parts import Part, parts
from nestgen.lifting.record import IMAGE, Operation, record
from nestgen.lifting.scales import Scale
from nestgen.lifting.segments import segments
from nestgen.surgery.kept import output_tensors
from nestgen.surgery.modes import eval_mode

_BATCH = 3
"""Images at once: what is normalised over a batch is not over each image."""

_VALUES = ((1, 0), (0.005, 0), (20, 0), (200, 0), (1, 5), (1, -5))
"""By how much random values are scaled and shifted."""


@dataclass(frozen=True)
class Twin:
    """A network that nestgen wrote, and how far it is from the one that was found.

    Attributes:
        spec: what it is.
        model: with its weights.
        difference: the largest of the levels, 0 where all bits are equal.
    """

    spec: NestSpec
    model: nn.Module
    difference: float


def twin(module: nn.Module, example: Tensor, found: Grid, spec: NestSpec) -> Twin:
    """The network of `spec` with the weights of `module`, whose grid was `found`.

    What nestgen writes is looked at in the same way, so that weights go from part to
    part, in the order in which they are used there. Both have to do the same operations
    on the way to their levels, but for those that values tell (see `even`), and are run
    on the example and on random batches, small and large values, of another size where
    `module` takes one. Raises `ModuleError` where the parts do not fit, an operation is
    left over or a level differs by more than rounding.
    """
    model = build(spec).to(example).eval()
    done = record(model, example)
    ours = grid(Cells(segments(done)))
    if ours is None or ours.inputs != found.inputs:
        raise ModuleError("what nestgen would write has other edges")
    tensors = model.state_dict()
    pairs = _pairs(parts(ours), parts(found), ours, found)
    with torch.no_grad():
        for one, other in pairs:
            for name, value in _values(one, other, found):
                _copy(tensors[name], value, name)
    _require_matched(ours, found)
    return Twin(spec, model, _difference(module, model, example, found, ours))


def _pairs(
    ours: Mapping[str, Part], theirs: Mapping[str, Part], one: Grid, other: Grid
) -> Iterator[tuple[Operation, Operation]]:
    """Operations with weights, in the order in which each part has them."""
    for name in {**ours, **theirs}:
        a = _reading(one, ours.get(name))
        b = _reading(other, theirs.get(name))
        if [x.name for x in a] != [x.name for x in b]:
            raise ModuleError(
                f"{name} is {_listed(b)}, what nestgen would write is {_listed(a)}"
            )
        yield from zip(a, b, strict=True)


def _listed(operations: list[Operation]) -> str:
    return ", ".join(x.name for x in operations)[:120] or "without weights"


def _reading(grid: Grid, part: Part | None) -> list[Operation]:
    steps = (grid.network.operations[n] for n in (part.numbers if part else ()))
    return [step for step in steps if step.reads or normalises(step)]


def _require_matched(ours: Grid, theirs: Grid) -> None:
    """Raise `ModuleError` for an operation that one network does more often."""
    a, b = Counter(_uneven(ours)), Counter(_uneven(theirs))
    for name in b - a:
        raise ModuleError(f"{name} is left over, what nestgen would write has no such")
    for name in a - b:
        raise ModuleError(f"{name} is lacking, what nestgen would write has it")


def _uneven(grid: Grid) -> Iterator[str]:
    """The operations that levels come of and that are told by name, with bounds."""
    done = grid.network.pieces.done
    needed = {done.outputs[name] for name, level in grid.outputs.items() if level}
    for number in range(len(done.operations) - 1, IMAGE, -1):
        operation = done.operations[number]
        if number in needed:
            needed.update(operation.inputs)
            if not even(operation):
                yield _told(operation)


def _told(operation: Operation) -> str:
    """Its name; those that bound values are one, told by their bounds."""
    found = bounds(operation)
    return operation.name if found is None else "clamp({:g}, {:g})".format(*found)


def _values(
    one: Operation, other: Operation, found: Grid
) -> Iterator[tuple[str, Tensor | None]]:
    """Our tensors and theirs; None where they have none, so what changes nothing."""
    tensors = found.network.pieces.done.tensors
    for ours, theirs in zip(one.values, other.values, strict=False):
        if _names(ours):
            yield ours[0], tensors[theirs[0]] if _names(theirs) else None


def _names(value: Any) -> bool:
    return isinstance(value, tuple) and bool(value) and isinstance(value[0], str)


def _copy(target: Tensor, value: Tensor | None, name: str) -> None:
    if value is None:
        target.fill_(int(name.endswith("weight")))
    elif value.shape != target.shape:
        raise ModuleError(
            f"a weight is {list(value.shape)}, what nestgen would write has "
            f"{list(target.shape)} in {name}"
        )
    else:
        target.copy_(value)


def _difference(
    module: nn.Module, model: nn.Module, example: Tensor, theirs: Grid, ours: Grid
) -> float:
    largest = 0.0
    with eval_mode(module, model), torch.inference_mode():
        others = _others(module, example, theirs)
        for x in itertools.chain([example.clone()], others):
            # ours first: a module may write into its input
            a = _by_level(output_tensors(model(x)), ours)
            b = _by_level(output_tensors(module(x)), theirs)
            for level in a.keys() & b.keys():
                largest = max(largest, _level_apart(a[level], b[level], level))
    return largest


def _others(module: nn.Module, example: Tensor, found: Grid) -> Iterator[Tensor]:
    """Random images of the first shape that `module` takes: at best of another size."""
    _, channels, *sides = example.shape
    other = [*_other_sides(sides, found.scales[-1])]
    shapes = [(_BATCH, channels, *other), (_BATCH, channels, *sides), example.shape]
    chance = torch.Generator().manual_seed(0)
    shape = next(x for x in shapes if _takes(module, example.new_zeros(x)))
    for scale, shift in _VALUES:
        yield (scale * torch.randn(shape, generator=chance) + shift).to(example)


def _other_sides(sides: list[int], deepest: Scale) -> Iterator[int]:
    """Sides that all differ, of a few pixels in the deepest row.

    >>> from fractions import Fraction
    >>> list(_other_sides([64, 24], (Fraction(1, 8), Fraction(1, 8))))
    [16, 40]
    """
    for axis, (side, scale) in enumerate(zip(sides, deepest, strict=True)):
        few = (pixels * round(1 / scale) for pixels in (2 + axis, 5))
        yield next(other for other in few if other != side)


def _takes(module: nn.Module, x: Tensor) -> bool:
    try:
        module(x)
    except Exception:  # whatever someone else's code raises
        return False
    return True


def _by_level(outputs: Mapping[str, Tensor], grid: Grid) -> dict[int, Tensor]:
    return {
        level: outputs[name]
        for name, level in grid.outputs.items()
        if level is not None
    }


def _level_apart(one: Tensor, other: Tensor, level: int) -> float:
    if one.shape != other.shape:
        raise ModuleError(f"L{level} is {list(other.shape)}, ours {list(one.shape)}")
    difference, rounding = apart(one, other)
    if not rounding:
        raise ModuleError(
            f"L{level} differs by {difference:.2g} from what nestgen would write"
        )
    return difference
