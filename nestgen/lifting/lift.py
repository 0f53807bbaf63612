"""The grid of somebody else's network: which operations form which X[i,j]."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor, nn

from nestgen.arch.graph import NestGraph
from nestgen.arch.spec import NestSpec
from nestgen.drawing.blocks import Blocks
from nestgen.errors import ModuleError, SpecError
from nestgen.lifting.blocks import candidates, require_ours
from nestgen.lifting.carry import Twin, twin
from nestgen.lifting.cells import Cells
from nestgen.lifting.family import described
from nestgen.lifting.grid import Grid, grid
from nestgen.lifting.outline import outline, segment_parts
from nestgen.lifting.parts import Part, parts
from nestgen.lifting.record import record
from nestgen.lifting.segments import segments

_LEVEL = re.compile(r"L[1-9][0-9]?")


@dataclass(frozen=True)
class Lifted:
    """What was found in a module.

    Attributes:
        name: of its class.
        graph: its nodes, edges, rows, widths and heads; None if it is no nested U-Net.
            What a block computes its spec does not say.
        spec: of the network that nestgen writes with the same outputs, where there is
            one; see `model`.
        why: what is lacking, in one line; "" where nothing is.
        blocks: its operations by resolution, whatever it is; `nestgen.draw` draws them.
        parts: by their names: the nodes, `x0_1`; the edges, `x1_0 -> x0_1`; the heads;
            of what is no nested U-Net, its blocks, `b0`.
        outputs: the level of each output of the module; None for one that is none.
        stem: how much coarser than the image row 0 is, on each axis.
        model: the network of `spec` with the module's weights, in eval mode.
        difference: by how much its levels differ at most, 0.0 where all bits are equal.
    """

    name: str
    graph: NestGraph | None
    spec: NestSpec | None
    why: str
    blocks: Blocks
    parts: dict[str, Part]
    outputs: dict[str, int | None]
    stem: tuple[int, ...] = ()
    model: nn.Module | None = None
    difference: float | None = None

    @property
    def modules(self) -> dict[str, tuple[str, ...]]:
        """The paths of the modules that are called in each part."""
        return {name: part.modules for name, part in self.parts.items()}

    @property
    def levels(self) -> dict[str, str]:
        """The name of the output that each level is, the first of several."""
        found: dict[str, str] = {}
        for name, level in self.outputs.items():
            if level is not None:
                found.setdefault(f"L{level}", name)
        return found

    @property
    def statement(self) -> str:
        """What is proven of the spec, or why there is none, in one line."""
        if self.difference is None:
            return self.why
        how = f"within {self.difference:.2g}" if self.difference else "bit for bit"
        return f"the network of the spec == {self.name}, {how}, with the same weights"

    def to_plain(self) -> dict[str, Any]:
        """As JSON types."""
        graph, spec = self.graph, self.spec
        plain = (
            None if spec is None else spec.model_dump(mode="json", exclude_none=True)
        )
        return {
            "name": self.name,
            "label": graph and graph.spec.label,
            "edges": [[edge.source.name, edge.target.name] for edge in graph.edges]
            if graph
            else None,
            "parts": [part.to_plain() for part in self.parts.values()],
            "outputs": {
                name: f"L{level}" if level else None
                for name, level in self.outputs.items()
            },
            "stem": list(self.stem),
            "spec": plain,
            "difference": self.difference,
            "why": self.why,
        }


def lift(module: nn.Module, example: Tensor) -> Lifted:
    """Find the grid of `module`, by what it does with an `example` [N, C, *sides].

    Its operations are followed in eval mode; no name says anything. A node begins where
    results of other resolutions come together, or where the encoder goes on to the next
    row, and ends where more than one reads it. What weighs skips, adds to its own input
    or normalises is inside of a node or an edge. The example should have sides that the
    strides divide. `module` and `example` stay as they are.

    What is said of the spec is said of eval mode: dropout and drop path, which do
    nothing there, are not told, and 0 in the spec. Every operation on the way to a
    level is one of the spec's or does nothing; both networks give the same for the
    example and for random batches, of another size where `module` takes one.

    Raises `ModuleError` for a module that does not run on the example, or convolves
    nothing of it.

    >>> import torch
    >>> from nestgen.codegen.load import build
    >>> spec = NestSpec(depth=2, widths=2)
    >>> lifted = lift(build(spec), torch.zeros(1, 3, 16, 16))
    >>> lifted.spec == spec, lifted.difference
    (True, 0.0)
    >>> lifted.modules["x0_1"], lifted.outputs
    (('x0_1',), {'L1': 1, 'L2': 2})
    """
    done, name = record(module, example), type(module).__name__
    pieces = segments(done)
    if not pieces.all:
        raise ModuleError(f"{name}: no weights of its own convolve the image")
    plain = Lifted(
        name=name,
        graph=None,
        spec=None,
        why="no nested U-Net: nothing that was up-sampled meets what it came of",
        blocks=outline(pieces, name),
        parts=segment_parts(pieces),
        outputs=dict.fromkeys(done.outputs),
    )
    found = grid(Cells(pieces))
    if found is None:
        return plain
    try:
        spec = described(found)
    except ModuleError as error:
        return replace(plain, why=f"no nested U-Net that a spec describes: {error}")
    whole = parts(found)
    nested = replace(
        plain,
        graph=NestGraph(spec),
        parts=whole,
        outputs=found.outputs,
        stem=found.stem,
        why="",
    )
    try:
        same = _same(module, example, found, whole, spec)
    except (ModuleError, SpecError) as error:
        return replace(nested, why=f"no spec: {error}")
    return replace(
        nested,
        graph=NestGraph(same.spec),
        spec=same.spec,
        model=same.model,
        difference=same.difference,
    )


def level_outputs(module: nn.Module, example: Tensor) -> dict[str, str]:
    """The name of the output of `module` that each level is, the first of several.

    Raises `ModuleError` for what is no nested U-Net.

    >>> import torch
    >>> from nestgen.codegen.load import build
    >>> level_outputs(build(NestSpec(depth=1)), torch.zeros(1, 3, 16, 16))
    {'L1': '0'}
    """
    lifted = lift(module, example)
    if lifted.graph is None:
        raise ModuleError(f"{lifted.name}: {lifted.why}")
    return lifted.levels


def named_outputs(
    module: nn.Module, example: Tensor, keep: Iterable[str]
) -> tuple[str, ...]:
    """`keep` with outputs' names for levels: "L2" where nothing else is called so.

    Raises `ModuleError` for a level that no output is.

    >>> import torch
    >>> from nestgen.codegen.load import build
    >>> spec = NestSpec(family="unet", depth=2, widths=2)
    >>> named_outputs(build(spec), torch.zeros(1, 3, 16, 16), ["L2", "x0_0"])
    ('0', 'x0_0')
    """
    names = tuple(keep)
    if not any(map(_LEVEL.fullmatch, names)):
        return names
    lifted = lift(module, example)
    own = (*lifted.outputs, *(path for path, _ in module.named_modules()))
    known = {**lifted.levels, **{name: name for name in own}}
    for name in names:
        if _LEVEL.fullmatch(name) and name not in known:
            has = ", ".join(f"{k} is output {at}" for k, at in lifted.levels.items())
            raise ModuleError(
                f"keep: {name} is no output's level or name in {lifted.name}: "
                f"{has or lifted.why}"
            )
    return tuple(known.get(name, name) for name in names)


def _same(
    module: nn.Module,
    example: Tensor,
    found: Grid,
    whole: dict[str, Part],
    spec: NestSpec,
) -> Twin:
    """The network that nestgen writes with the same outputs."""
    require_ours(found)
    problems = []
    for candidate in candidates(found, whole, spec):
        try:
            return twin(module, example, found, candidate)
        except ModuleError as error:
            problems.append(str(error))
    first, *_ = [*problems, "no block of nestgen's has the convolutions of its nodes"]
    raise ModuleError(first)
