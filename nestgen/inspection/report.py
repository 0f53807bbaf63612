"""The report on a network: what it is, node by node, level by level, and its memory."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from nestgen.arch.cost import (
    Cost,
    default_size,
    fitting_size,
    level_costs,
    node_cost,
)
from nestgen.arch.field import Field, head_fields, node_fields
from nestgen.arch.graph import NestGraph
from nestgen.arch.memory import Memory, memory
from nestgen.arch.spec import NestSpec
from nestgen.errors import SpecError
from nestgen.inspection.files import File, read_file


@dataclass(frozen=True)
class NodeRow:
    """X[i,j] with what stands on the edges into it, for one input.

    Attributes:
        name: as in code.
        shape: channels, then the sides of its row.
        cost: parameters, MACs, bytes.
        field: what of the input a pixel of it sees, None in a network with a backbone.
    """

    name: str
    shape: tuple[int, ...]
    cost: Cost
    field: Field | None

    def to_plain(self) -> dict[str, Any]:
        """As JSON types."""
        return {
            "node": self.name,
            "shape": list(self.shape),
            **asdict(self.cost),
            "field": _plain(self.field),
        }


@dataclass(frozen=True)
class LevelRow:
    """A level as it stands alone, with its own head.

    Attributes:
        level: its number.
        nodes: how many it needs.
        cost: for one input.
        field: what of the input its logits see, None in a network with a backbone.
        memory: at the report's size and batch, None with a backbone too.
    """

    level: int
    nodes: int
    cost: Cost
    field: Field | None
    memory: Memory | None

    def to_plain(self) -> dict[str, Any]:
        """As JSON types."""
        return {
            "level": f"L{self.level}",
            "nodes": self.nodes,
            **asdict(self.cost),
            "field": _plain(self.field),
            "memory": _plain(self.memory),
        }


@dataclass(frozen=True)
class Report:
    """What a network is and costs, at inputs of `size`, `batch_size` at a time.

    `file` is where it was read from, None for one that was given as it is.
    """

    spec: NestSpec
    file: File | None
    size: tuple[int, ...]
    batch_size: int
    nodes: tuple[NodeRow, ...]
    levels: tuple[LevelRow, ...]
    memory: Memory | None

    def to_plain(self) -> dict[str, Any]:
        """The report as JSON types."""
        return {
            "label": self.spec.label,
            "file": None if self.file is None else self.file.to_plain(),
            "spec": self.spec.model_dump(mode="json", exclude_none=True),
            "size": list(self.size),
            "batch_size": self.batch_size,
            "nodes": [node.to_plain() for node in self.nodes],
            "levels": [level.to_plain() for level in self.levels],
            "memory": _plain(self.memory),
        }


def inspect(
    thing: Any, size: int | Sequence[int] | None = None, batch_size: int = 1
) -> Report:
    """What `thing` is and costs: a spec, a graph, a network that nestgen built, or the
    path of a spec, a checkpoint or a generated source, none of which is run.

    `size` is one side for all axes or one for each, which fit unpadded; left out, it is
    that of `nestgen build`. Raises `SpecError` or `CheckpointError`.

    >>> report = inspect(NestSpec(depth=2, in_channels=1), size=64)
    >>> report.nodes[-1].name, report.nodes[-1].shape, report.nodes[-1].field.pixels
    ('x0_2', (16, 64, 64), (44, 44))
    >>> [level.cost.parameters for level in report.levels]
    [25521, 128417]
    """
    spec, file = _described(thing)
    graph = NestGraph(spec)
    sides = (size,) if isinstance(size, int) else tuple(size or ())
    whole = fitting_size(graph, sides) if sides else default_size(graph)
    return Report(
        spec=spec,
        file=file,
        size=whole,
        batch_size=batch_size,
        nodes=tuple(_nodes(graph, whole)),
        levels=tuple(_levels(graph, whole, batch_size)),
        memory=_memory(graph, whole, batch_size),
    )


def _plain(part: Field | Memory | None) -> dict[str, Any] | None:
    return None if part is None else part.to_plain()


def _memory(graph: NestGraph, size: tuple[int, ...], batch_size: int) -> Memory | None:
    return memory(graph, size, batch_size) if graph.has_formulas else None


def _described(thing: Any) -> tuple[NestSpec, File | None]:
    if isinstance(thing, (str, os.PathLike)):
        return read_file(thing)
    spec = thing if isinstance(thing, NestSpec) else getattr(thing, "spec", None)
    if not isinstance(spec, NestSpec):
        raise SpecError(
            f"{type(thing).__name__}: has no spec; a NestSpec, a NestGraph, a network "
            "that nestgen built, or a file has"
        )
    return spec, None


def _nodes(graph: NestGraph, size: tuple[int, ...]) -> list[NodeRow]:
    fields = node_fields(graph) if graph.has_formulas else {}
    return [
        NodeRow(
            name=node.name,
            shape=(graph.width(node), *graph.size_at(node.i, size)),
            cost=node_cost(graph, node, size),
            field=fields.get(node),
        )
        for node in graph.nodes
    ]


def _levels(graph: NestGraph, size: tuple[int, ...], batch_size: int) -> list[LevelRow]:
    fields = head_fields(graph) if graph.has_formulas else {}
    costs = level_costs(graph, size)
    return [
        LevelRow(
            level=level,
            nodes=len(graph.needed(level)),
            cost=costs[level],
            field=fields.get(level),
            memory=_memory(graph.level(level), size, batch_size),
        )
        for level in graph.levels
    ]
