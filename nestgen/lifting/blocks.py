"""What the blocks and edges of a network are, in the words of a spec."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any

from nestgen.arch.blocks import BLOCKS
from nestgen.arch.choices import LINEAR, BlockKind
from nestgen.arch.graph import NestGraph
from nestgen.arch.layers import Convolution
from nestgen.arch.spec import NestSpec
from nestgen.errors import ModuleError, SpecError
from nestgen.lifting.grid import Grid
from nestgen.lifting.kinds import bounds, switches
from nestgen.lifting.parts import Part
from nestgen.lifting.record import Operation

_ACTIVATIONS = {"gelu", "silu", "mish", "hardswish"}
"""Whose names are ATen's."""

_BOUNDED: dict[tuple[float, float] | None, str] = {
    (0, math.inf): "relu",
    (0, 6): "relu6",
}
"""By the bounds between which they keep values."""


def candidates(
    grid: Grid, parts: Mapping[str, Part], spec: NestSpec
) -> Iterator[NestSpec]:
    """The specs of networks that could compute the same as the one of `grid`.

    `spec` is that of its nodes and edges. Only running both can tell. Raises
    `SpecError` where its edges are none of nestgen's.
    """
    nodes = [*_in_nodes(grid, parts)]
    convolutions = [x for x in nodes if x.name == "convolution"]
    block = {
        **_norm(nodes),
        **_activation(nodes),
        "bias": any(x.values[2] is not None for x in convolutions),
    }
    kernels = [*_kernels(grid, parts)]
    plain = _arriving(grid, spec.replace(kernel_sizes=kernels, **_up(grid, spec)))
    for kind, skip in itertools.product(_kinds(grid, parts), _skips(grid, parts)):
        whole = {**block, **_expansion(grid, parts, kind), "kind": kind}
        with suppress(SpecError):
            yield plain.replace(skip=skip, block=whole)


def _in_nodes(grid: Grid, parts: Mapping[str, Part]) -> Iterator[Operation]:
    for node in grid.cells:
        yield from _steps(grid, parts[node.name].numbers)


def _steps(grid: Grid, numbers: Iterable[int]) -> list[Operation]:
    return [grid.network.operations[n] for n in numbers]


def _norm(nodes: list[Operation]) -> dict[str, Any]:
    """The norm; batch norm without statistics of its own is that of an instance."""
    for operation in nodes:
        if "batch_norm" in operation.name:
            return {"norm": "instance" if operation.values[3] is None else "batch"}
        if operation.name == "native_group_norm":
            return {"norm": "group", "groups": operation.values[6]}
        if operation.name == "native_layer_norm":
            return {"norm": "layer"}
    return {"norm": "none"}


def _activation(nodes: list[Operation]) -> dict[str, Any]:
    for operation in nodes:
        if operation.name == "elu":
            return {"activation": "selu" if operation.values[2:] else "elu"}
        if operation.name == "leaky_relu":
            slope = operation.values[1] if operation.values[1:] else 0.01
            return {"activation": "leaky_relu", "slope": slope}
        if operation.name in _ACTIVATIONS:
            return {"activation": operation.name}
        if bounds(operation) in _BOUNDED:
            return {"activation": _BOUNDED[bounds(operation)]}
    return {}


def _kernels(grid: Grid, parts: Mapping[str, Part]) -> Iterator[list[int]]:
    """The largest kernel in the nodes of each row."""
    for row in range(len(grid.scales)):
        numbers = (parts[node.name].numbers for node in grid.cells if node.i == row)
        steps = _steps(grid, itertools.chain(*numbers))
        found = [x.weight[2:] for x in steps if x.name == "convolution"]
        yield list(max(found, key=math.prod, default=(3,) * len(grid.scales[0])))


def _up(grid: Grid, spec: NestSpec) -> dict[str, Any]:
    for edge in grid.edges:
        steps = _steps(grid, grid.way(edge).numbers) if edge.kind == "up" else []
        for operation in steps:
            if operation.name == "convolution" and operation.values[6]:
                return {"up": "transpose"}
            if operation.name.startswith("upsample_nearest"):
                return {"up": "nearest"}
            if operation.name.startswith("upsample"):
                aligned = "-aligned" if operation.values[2] else ""
                return {"up": f"{LINEAR[spec.dims]}{aligned}"}
        if steps:
            blurred = any("avg_pool" in operation.name for operation in steps)
            return {"up": "pixel-shuffle-blur" if blurred else "pixel-shuffle"}
    return {}


def _arriving(grid: Grid, spec: NestSpec) -> NestSpec:
    """`spec` with what comes up into each row, where that is not the usual."""
    if grid.full_scale:
        return spec
    graph = NestGraph(spec)
    found: dict[int, int] = {}
    for edge in (edge for edge in grid.edges if edge.kind == "up"):
        numbers = grid.way(edge).numbers or grid.cells[edge.source].numbers
        width = grid.network.operations[numbers[-1]].shape[1]
        if found.setdefault(edge.target.i, width) != width:
            raise SpecError("up_widths: different ones in a row")
    ups = [edge for edge in graph.edges if edge.kind == "up"]
    if all(graph.channels(edge) == found[edge.target.i] for edge in ups):
        return spec
    rows = range(spec.depth)
    return spec.replace(up_widths=[found.get(i, spec.widths[i]) for i in rows])


def _kinds(grid: Grid, parts: Mapping[str, Part]) -> list[BlockKind]:
    """The blocks with as many convolutions as the first node has."""
    first = next(iter(grid.cells))
    steps = _steps(grid, parts[first.name].numbers)
    count = sum(x.name == "convolution" for x in steps)
    return [
        kind
        for kind, rule in BLOCKS.items()
        if sum(isinstance(x, Convolution) for x in rule.layers(1, 1, 1)) == count
    ]


def _expansion(
    grid: Grid, parts: Mapping[str, Part], kind: BlockKind
) -> dict[str, Any]:
    """How much wider the first node is inside than its result, where blocks can be."""
    if kind not in ("inverted", "convnext"):
        return {}
    first = next(iter(grid.cells))
    steps = _steps(grid, parts[first.name].numbers)
    widest = max(x.shape[1] for x in steps if x.name == "convolution")
    return {"expansion": max(1, widest // grid.width(first))}


def _skips(grid: Grid, parts: Mapping[str, Part]) -> list[str]:
    """What may stand on the skips: something that multiplies, or nothing."""
    ways = (grid.way(edge).numbers for edge in grid.edges if edge.kind == "skip")
    weighed = any(x.name == "mul" for x in _steps(grid, itertools.chain(*ways)))
    return ["se", "gate"] if weighed else ["plain"]


def require_ours(grid: Grid) -> None:
    """Raise `ModuleError` for what no network of nestgen's does."""
    if set(grid.stem) != {1}:
        finest = "x".join(map(str, grid.scales[0]))
        raise ModuleError(f"row 0 is at {finest} of the image, nestgen's at its size")
    if not grid.concatenates:
        raise ModuleError("its nodes add their inputs, nestgen's concatenate them")
    done = grid.network.pieces.done
    for output, number in done.outputs.items():
        operation = done.operations[number]
        while not operation.reads and len(operation.inputs) == 1:
            if switches(operation):
                raise ModuleError(
                    f"output {output} is {operation.name}, nestgen's are logits"
                )
            operation = done.operations[operation.inputs[0]]
