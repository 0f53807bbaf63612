"""Weights carried from one network into the matching nodes of another."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from nestgen.arch.graph import NestGraph, Node
from nestgen.codegen.load import spec_of
from nestgen.codegen.names import edge_module, head_name
from nestgen.surgery.columns import (
    Places,
    carry,
    mixes_inputs,
    places,
    reading_axes,
)


@dataclass(frozen=True)
class Part:
    """What became of one module of the target.

    Attributes:
        name: of the module: of a node, of what is learned on an edge, of a head.
        state: copied as it was, reconciled with other inputs, or left as it was.
        why: of the last two, in words.
        exact: whether it computes what it does in the source, given the same and
            anything finite over the edges that the source has not.
    """

    name: str
    state: Literal["copied", "reconciled", "left"]
    why: str = ""
    exact: bool = False


@dataclass(frozen=True)
class Transfer:
    """A network that begins with what another has learned.

    Attributes:
        model: the target with the source's weights.
        parts: its modules, in the order of the file.
        levels: those whose head gives what it gives in the source, up to rounding.
    """

    model: nn.Module
    parts: tuple[Part, ...]
    levels: tuple[int, ...]


def transfer(source: nn.Module, target: nn.Module) -> Transfer:
    """A copy of `target` with the weights of `source` wherever both have the module.

    Nodes go by their name, what is learned on edges by the edge, heads by their level.
    The columns of a node's first convolutions go by the edge that brings them: those
    that the source has not become zero, those that the target has not are dropped. So
    a UNet++ that took over a U-Net gives in its last head what the U-Net gave. Both
    networks stay as they are. Raises `SpecError` for networks without a spec.

    >>> from nestgen.arch.spec import NestSpec
    >>> from nestgen.codegen.load import build
    >>> unet = build(NestSpec(family="unet", depth=2, widths=2))
    >>> made = transfer(unet, build(NestSpec(depth=2, widths=2)))
    >>> made.levels, [part.name for part in made.parts if part.state == "left"]
    ((2,), ['up0_1', 'x0_1', 'head_L1'])
    >>> [part.why for part in made.parts if part.state == "reconciled"]
    ['zeros for x0_1']
    """
    graphs = NestGraph(spec_of(source)), NestGraph(spec_of(target))
    model = copy.deepcopy(target)
    theirs, mine = _by_module(source), _by_module(model)
    names, parts = _counterparts(*graphs, mine), []
    for name, tensors in mine.items():
        part, taken = _take(name, tensors, theirs.get(names.get(name, ""), {}), graphs)
        for inner, tensor in taken.items():
            tensors[inner].copy_(tensor)
        parts.append(part)
    return Transfer(model, tuple(parts), _same_levels(*graphs, parts))


Tensors = dict[str, Tensor]
Graphs = tuple[NestGraph, NestGraph]


def _by_module(network: nn.Module) -> dict[str, Tensors]:
    """The tensors by the module of the network that has them, then by their name."""
    found: dict[str, Tensors] = {}
    for name, tensor in network.state_dict().items():
        module, _, inner = name.partition(".")
        found.setdefault(module, {})[inner] = tensor
    return found


def _counterparts(
    source: NestGraph, target: NestGraph, modules: Mapping[str, object]
) -> dict[str, str]:
    """What modules of the target are called in the source, if it has them."""
    ours = {node.name for node in target.nodes}
    ours |= {str(edge_module(target, edge)) for edge in target.edges}
    ours |= {head_name(level) for level in target.levels}
    pairs = {name: name for name in modules if name not in ours}
    pairs |= {node.name: node.name for node in {*source.nodes} & {*target.nodes}}
    for edge in {*source.edges} & {*target.edges}:
        both = edge_module(target, edge), edge_module(source, edge)
        if both[0] and both[1]:
            pairs[both[0]] = both[1]
    for level in {*source.levels} & {*target.levels}:
        if source.head(level) == target.head(level):
            pairs[head_name(level)] = head_name(level)
    return pairs


def _take(
    name: str, mine: Tensors, theirs: Tensors, graphs: Graphs
) -> tuple[Part, Tensors]:
    """What becomes of a module, and the tensors that it takes over."""
    block = graphs[0].spec.block
    of, to = (_places(graph, name) for graph in graphs)
    axes = reading_axes(block) if of and to else {}
    why = _misfit(mine, theirs, axes) or _unlike(of, to)
    if why:
        return Part(name, "left", why), {}
    taken = {
        inner: carry(tensor, theirs[inner], axes[inner], to, of)
        if inner in axes
        else theirs[inner]
        for inner, tensor in mine.items()
    }
    if of == to:
        return Part(name, "copied", exact=True), taken
    exact = not (of.keys() - to.keys() or mixes_inputs(block))
    return Part(name, "reconciled", _changes(of, to), exact), taken


def _places(graph: NestGraph, name: str) -> Places:
    """Where a node of blocks has its sources; nothing for what is no such node."""
    node = {node.name: node for node in graph.nodes}.get(name)
    if node is None or graph.encoded(node) or (graph.full_scale and node.j > 0):
        return {}
    return places(graph, node)


def _misfit(mine: Tensors, theirs: Tensors, axes: Mapping[str, int]) -> str:
    """Why the tensors of a module are not those of the other, if so."""
    if not theirs:
        return "the source has none"
    for name in sorted({*mine, *theirs}):
        if name not in mine or name not in theirs:
            alone = "the source" if name in theirs else "the target"
            return f"{alone} alone has {name}"
        shapes = [list(tensors[name].shape) for tensors in (theirs, mine)]
        if name in axes:
            for shape in shapes:
                shape[axes[name]] = 0
        if shapes[0] != shapes[1]:
            there, here = (list(tensors[name].shape) for tensors in (theirs, mine))
            return f"{name} is {there} there, {here} here"
    return ""


def _unlike(of: Places, to: Places) -> str:
    """Why the inputs of a node are not comparable, if so."""
    shared = [source for source in to if source in of]
    for source in shared:
        there, here = (at[source].stop - at[source].start for at in (of, to))
        if there != here:
            return f"{source} brings {there} channels there, {here} here"
    return "" if shared or not to else "it has none of the same inputs"


def _changes(of: Places, to: Places) -> str:
    """How the inputs of a node differ, in words."""
    added, dropped = [n for n in to if n not in of], [n for n in of if n not in to]
    words = [f"zeros for {', '.join(added)}"] if added else []
    words += [f"without {', '.join(dropped)}"] if dropped else []
    return "; ".join(words) or "inputs in another order"


def _same_levels(
    source: NestGraph, target: NestGraph, parts: list[Part]
) -> tuple[int, ...]:
    """The levels of which everything that the source needs is exact in the target.

    What is learned on an edge is, where the nodes at both its ends are.
    """
    exact = {part.name for part in parts if part.exact}
    return tuple(
        level
        for level in source.levels
        if head_name(level) in exact
        and all(
            ("encoder" if source.foreign(node) else node.name) in exact
            and _rules(source, node) == _rules(target, node)
            for node in source.needed(level)
        )
    )


def _rules(graph: NestGraph, node: Node) -> tuple[object, ...]:
    """What has no tensors and decides what a node computes."""
    spec = graph.spec
    block = spec.block.model_copy(update={"dropout": 0.0, "drop_path": 0.0})
    strides = [spec.stride(row) for row in range(1, node.i + 1)]
    ups = [edge.source for edge in graph.inputs(node) if edge.kind == "up"]
    # a gate looks at the first of what comes up
    gating = ups[:1] if spec.skip == "gate" else []
    return block, spec.dims, spec.up, spec.skip, spec.encoder, strides, gating
