"""The finished objects that the templates print: every decision is taken here."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from dataclasses import dataclass

from nestgen.arch.choices import Norm, Up
from nestgen.arch.graph import Edge, NestGraph, Node
from nestgen.arch.specfile import to_toml
from nestgen.codegen.environment import WIDTH

Path = tuple[str, tuple[str, ...]]
"""A tensor's name and the modules of the network that it passes through."""


@dataclass(frozen=True)
class Step:
    """One node: what it is made of, and the line of `forward` that computes it."""

    name: str
    in_channels: int
    width: int
    inputs: tuple[Path, ...]
    shape: str
    up: str | None = None
    up_channels: int = 0


@dataclass(frozen=True)
class Diagonal:
    """The nodes with one i+j: with them, the level of that number is complete."""

    title: str
    steps: tuple[Step, ...]


@dataclass(frozen=True)
class Head:
    """A level's output."""

    level: str
    name: str
    node: str


@dataclass(frozen=True)
class Plan:
    """All that the template of a network prints."""

    class_name: str
    description: tuple[str, ...]
    spec_lines: tuple[str, ...]
    norm: Norm
    activation: str
    dropout: float
    bias: bool
    groups: int
    node_doc: str
    chains: tuple[tuple[str, ...], ...]
    in_channels: int
    classes: int
    width: int
    up: Up
    diagonals: tuple[Diagonal, ...]
    heads: tuple[Head, ...]
    side: int


def plan(graph: NestGraph) -> Plan:
    """What the file of `graph` says, down to each line of `forward`."""
    spec, block = graph.spec, graph.spec.block
    return Plan(
        class_name=spec.class_name,
        description=tuple(_description(graph)),
        spec_lines=tuple(_spec_lines(graph)),
        norm=block.norm,
        activation=block.activation,
        dropout=block.dropout,
        bias=block.bias,
        groups=block.groups,
        node_doc=_node_doc(graph),
        chains=_chains(graph),
        in_channels=spec.in_channels,
        classes=spec.classes,
        width=spec.widths[0],
        up=spec.up,
        diagonals=_diagonals(graph),
        heads=tuple(Head(f"L{k}", f"head_L{k}", f"x0_{k}") for k in graph.levels),
        side=2 ** (graph.depth + 1),
    )


def _description(graph: NestGraph) -> list[str]:
    """The opening of the file's docstring, wrapped."""
    spec = graph.spec
    logits = f"logits [N, {spec.classes}, H, W]"
    kept = [f"L{k}" for k in graph.levels]
    output = (
        f"a dict of {logits} by level, from {kept[0]} to {kept[-1]}"
        if len(kept) > 1
        else f"{logits} of level {kept[0]}"
    )
    prose = (
        f"Input: [N, {spec.in_channels}, H, W], where H and W are multiples of "
        f"{2**graph.depth}. Output: {output}."
    )
    title = [spec.title, ""] if spec.title else []
    return [f"{spec.label}.", "", *title, *textwrap.wrap(prose, 80)]


def _spec_lines(graph: NestGraph) -> Iterator[str]:
    """The spec as TOML; a long array goes on in the next line, as TOML allows."""
    for line in to_toml(graph.spec).rstrip().split("\n"):
        yield from textwrap.wrap(line, WIDTH) if line.endswith("]") else [line]


def _node_doc(graph: NestGraph) -> str:
    block = graph.spec.block
    parts = ["3x3 convolution", f"{block.norm} norm", block.activation, "dropout"]
    has = [True, block.norm != "none", True, block.dropout > 0]
    return ", ".join(part for part, there in zip(parts, has, strict=True) if there)


def _chains(graph: NestGraph) -> tuple[tuple[str, ...], ...]:
    """The modules that a node's input passes through, a tuple for each convolution."""
    block = graph.spec.block
    dropout = ("dropout",) if block.dropout else ()
    return tuple(
        (f"conv{n}", *((f"norm{n}",) if block.norm != "none" else ()), "act", *dropout)
        for n in (1, 2)
    )


def _diagonals(graph: NestGraph) -> tuple[Diagonal, ...]:
    made = []
    for diagonal in range(graph.depth + 1):
        nodes = [node for node in graph.nodes if sum(node) == diagonal]
        names = ", ".join(f"X[{node.i},{node.j}]" for node in nodes)
        title = "\n".join(textwrap.wrap(names, 78))
        made.append(Diagonal(title, tuple(_step(graph, node) for node in nodes)))
    return tuple(made)


def _step(graph: NestGraph, node: Node) -> Step:
    edges = graph.inputs(node)
    learned = graph.spec.up == "transpose" and node.j > 0
    return Step(
        name=node.name,
        in_channels=graph.in_channels(node),
        width=graph.width(node),
        inputs=tuple(_path(graph, edge) for edge in edges) or (("x", ()),),
        shape=_shape(graph, node),
        up=_up_name(graph, node) if learned else None,
        up_channels=graph.spec.widths[node.i + 1] if learned else 0,
    )


def _path(graph: NestGraph, edge: Edge) -> Path:
    passes = {"down": ("down",), "up": (_up_name(graph, edge.target),), "skip": ()}
    return edge.source.name, passes[edge.kind]


def _up_name(graph: NestGraph, target: Node) -> str:
    """Transposed convolutions are one for each target; an interpolation is shared."""
    own = graph.spec.up == "transpose"
    return f"up{target.i}_{target.j}" if own else "up"


def _shape(graph: NestGraph, node: Node) -> str:
    scale = f"/{2**node.i}" if node.i else ""
    return f"[N, {graph.width(node)}, H{scale}, W{scale}]"
