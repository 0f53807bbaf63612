"""The same network as nestgen writes it, with the weights of the one that was found."""

from __future__ import annotations

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
from nestgen.lifting.parts import Part, parts
from nestgen.lifting.record import Operation, record
from nestgen.lifting.segments import segments
from nestgen.surgery.kept import output_tensors
from nestgen.surgery.modes import eval_mode


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
    part, in the order in which they are used there. Both are run on the example and on
    random values of its shape. Raises `ModuleError` where the parts do not fit or a
    level differs by more than rounding.
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
    return [step for step in steps if step.reads]


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
    chance = torch.Generator().manual_seed(0)
    other = torch.randn(example.shape, generator=chance).to(example)
    largest = 0.0
    with eval_mode(module, model), torch.inference_mode():
        for x in (example, other):
            a = _by_level(output_tensors(model(x)), ours)
            b = _by_level(output_tensors(module(x)), theirs)
            for level in a.keys() & b.keys():
                largest = max(largest, _level_apart(a[level], b[level], level))
    return largest


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
