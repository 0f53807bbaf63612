"""The finished objects that the templates print: every decision is taken here."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

from nestgen.arch.choices import AXES, LEARNED_UPS, LINEAR
from nestgen.arch.graph import Edge, NestGraph, Node
from nestgen.arch.skips import gate_channels, squeezed
from nestgen.arch.specfile import to_toml
from nestgen.codegen.expressions import WIDTH, Call, Expression, names_in
from nestgen.codegen.modules import kernel, plain, resize, sized, upsample
from nestgen.codegen.names import between, edge_module, head_name, rows_name
from nestgen.codegen.parts import Module, Part, parts
from nestgen.codegen.stages import Foreign, foreign, foreign_nodes, stage


@dataclass(frozen=True)
class Line:
    """A line of `forward`: what is assigned, the shape that it has, and whether it is
    a list of as many as there are targets."""

    targets: tuple[str, ...]
    value: Call
    shape: str
    unpacks: bool = False


@dataclass(frozen=True)
class Diagonal:
    """The nodes with one i+j: with them, the level of that number is complete."""

    title: tuple[str, ...]
    lines: tuple[Line, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """What its lines assign."""
        return tuple(name for line in self.lines for name in line.targets)


@dataclass(frozen=True)
class Stage:
    """What a level adds to those before it.

    Attributes:
        level: its name.
        diagonals: the nodes that no level before it needs.
        logits: its head's.
        kept: the lines that leave, of what later levels read, the images that go on.
    """

    level: str
    diagonals: tuple[Diagonal, ...]
    logits: Expression
    kept: tuple[Line, ...]


@dataclass(frozen=True)
class Plan:
    """All that the template of a network prints."""

    class_name: str
    description: tuple[str, ...]
    spec_lines: tuple[str, ...]
    uses: tuple[str, ...]
    math: bool
    pad: bool
    least: int
    dims: int
    axes: tuple[int, ...]
    linear: str
    multiples: tuple[int, ...]
    parts: tuple[Part, ...]
    modules: tuple[Module, ...]
    stages: tuple[Stage, ...]
    encoder: Foreign | None
    example: tuple[int, ...]

    @property
    def grows(self) -> bool:
        """Whether it has several heads, and goes from one to the next."""
        return len(self.stages) > 1


def plan(graph: NestGraph) -> Plan:
    """What the file of `graph` says, down to each line of `forward`."""
    spec = graph.spec
    return Plan(
        class_name=spec.class_name,
        description=tuple(_description(graph)),
        spec_lines=tuple(_spec_lines(graph)),
        uses=tuple(sorted({"Tensor", "nn"} | ({"fx"} if spec.pad else set()))),
        math=spec.up.startswith("pixel-shuffle"),
        pad=spec.pad,
        least=graph.least,
        dims=spec.dims,
        axes=tuple(range(2, 2 + spec.dims)),
        linear=LINEAR[spec.dims],
        multiples=graph.multiples,
        parts=parts(graph),
        modules=tuple(_modules(graph)),
        stages=_stages(graph),
        encoder=foreign(graph),
        example=(1, spec.in_channels, *(2 * by for by in graph.multiples)),
    )


def _description(graph: NestGraph) -> list[str]:
    """The opening of the file's docstring, wrapped."""
    spec, axes = graph.spec, AXES[graph.spec.dims]
    logits = f"logits [N, {spec.classes}, {', '.join(axes)}]"
    kept = [f"L{k}" for k in graph.levels]
    output = (
        f"a dict of {logits} by level, from {kept[0]} to {kept[-1]}"
        if len(kept) > 1
        else f"{logits} of level {kept[0]}"
    )
    multiples = plain(graph.multiples)
    sides = f"{' and '.join(axes)} are" if len(axes) > 1 else f"{axes[0]} is"
    size = (
        f"of any size, padded to multiples of {multiples} and cropped again"
        if spec.pad
        else f"where {sides} a multiple of {multiples}"
    )
    prose = (
        f"Input: [N, {spec.in_channels}, {', '.join(axes)}] {size}. Output: {output}."
    )
    title = [spec.title, ""] if spec.title else []
    return [f"{spec.label}.", "", *title, *textwrap.wrap(prose, 80)]


def _spec_lines(graph: NestGraph) -> Iterator[str]:
    """The spec as TOML; a long array goes on in the next line, as TOML allows."""
    for line in to_toml(graph.spec).rstrip().split("\n"):
        yield from textwrap.wrap(line, WIDTH) if line.endswith("]") else [line]


def _modules(graph: NestGraph) -> Iterator[Module]:
    """The lines of `__init__`: what rows share, then node by node, then the heads."""
    shared: dict[str, Call] = {}
    for edge in sorted(graph.edges, key=lambda edge: edge.kind):
        rows = rows_name(graph, edge)
        if rows:
            shared.setdefault(rows, resize(graph, edge))
    yield from (Module(name, value) for name, value in shared.items())
    if foreign_nodes(graph):
        yield Module("encoder", Call("Encoder"))
    for node in graph.nodes:
        if graph.foreign(node):
            continue
        for edge in graph.inputs(node):
            name = edge_module(graph, edge)
            if name:
                yield Module(name, _on_edge(graph, edge))
        yield Module(node.name, _node(graph, node))
    for level in graph.levels:
        yield Module(head_name(level), _head(graph, level))
        row = graph.head(level).i
        name = between("up", row, 0)
        if row and name not in shared:
            shared[name] = upsample(graph.spec.up, plain(graph.scale(row)))
            yield Module(name, shared[name])


def _node(graph: NestGraph, node: Node) -> Call:
    if graph.encoded(node):
        return stage(graph, node)
    joins = graph.full_scale and node.j > 0
    channels = (graph.in_channels(node), graph.width(node))
    return _sized(graph, Call("Single" if joins else "Node", channels), node.i)


def _sized(graph: NestGraph, made: Call, row: int) -> Call:
    """`made`, told the kernel size of its row where rows differ."""
    if not sized(graph.spec):
        return made
    return Call(made.function, (*made.arguments, graph.spec.kernel_size(row)))


def _on_edge(graph: NestGraph, edge: Edge) -> Call:
    """The constructor of what is learned on the way of an edge."""
    spec, row = graph.spec, edge.target.i
    i, c = graph.width(edge.source), graph.channels(edge)
    if graph.full_scale:
        return _sized(graph, Call("Single", (i, c)), row)
    if edge.kind == "skip" and spec.skip == "se":
        return Call("SqueezeExcite", (c, squeezed(c)))
    scale = graph.scale(row + 1, row) if row < graph.depth else ()
    if edge.kind == "skip":
        below = graph.width(graph.below(edge.target))
        return Call("Gate", (c, below, gate_channels(c), scale))
    if spec.up == "transpose":
        sizes = (("kernel_size", plain(scale)), ("stride", plain(scale)))
        return Call(f"nn.ConvTranspose{spec.dims}d", (i, c), sizes)
    if spec.up in LEARNED_UPS:
        return _sized(graph, Call("PixelShuffle", (i, c, scale)), row)
    return Call(f"nn.Conv{spec.dims}d", (i, c), (("kernel_size", 1),))


def _head(graph: NestGraph, level: int) -> Call:
    spec, node = graph.spec, graph.head(level)
    size, padding = kernel(spec) if graph.full_scale else (1, 0)
    if size == "kernel_size":
        size = spec.kernel_size(node.i)
    keywords = (("kernel_size", size), *((("padding", padding),) if padding else ()))
    channels = (graph.width(node), spec.classes)
    return Call(f"nn.Conv{spec.dims}d", channels, keywords)


def _stages(graph: NestGraph) -> tuple[Stage, ...]:
    made = {level: _diagonals(graph, nodes) for level, nodes in graph.stages.items()}
    if foreign_nodes(graph):
        first = graph.levels[0]
        made[first] = (_encoded(graph), *made[first])
    done: list[tuple[str, ...]] = [(_image(graph),)]
    stages = []
    for level, diagonals in made.items():
        done += [diagonal.names for diagonal in diagonals]
        later = [k for k in made if k > level]
        read = {graph.head(k).name for k in later}
        for line in (line for k in later for part in made[k] for line in part.lines):
            read |= names_in(line.value)
        kept = tuple(_kept(done, read))
        stages.append(Stage(f"L{level}", diagonals, _logits(graph, level), kept))
    return tuple(stages)


def _kept(done: list[tuple[str, ...]], read: set[str]) -> Iterator[Line]:
    """Of each diagonal what is read later, a few names a line."""
    for names in done:
        live = [name for name in names if name in read]
        for start in range(0, len(live), 4):
            few = tuple(live[start : start + 4])
            yield Line(few, Call("keep", ("rows", *few)), "", unpacks=True)


def _diagonals(graph: NestGraph, nodes: tuple[Node, ...]) -> tuple[Diagonal, ...]:
    made = []
    own = [node for node in nodes if not graph.foreign(node)]
    for _, group in groupby(own, key=sum):
        together = list(group)
        lines = tuple(_line(graph, node) for node in together)
        made.append(Diagonal(_title(together), lines))
    return tuple(made)


def _title(nodes: list[Node]) -> tuple[str, ...]:
    names = ", ".join(node.label for node in nodes)
    return tuple(textwrap.wrap(names, 78))


def _encoded(graph: NestGraph) -> Diagonal:
    """All that a package's encoder computes, in one line of `forward`."""
    nodes = foreign_nodes(graph)
    shapes = "; ".join(_shape(graph, node) for node in nodes)
    line = Line(
        targets=tuple(node.name for node in nodes),
        value=Call("self.encoder", (_image(graph),)),
        shape="",
        unpacks=True,
    )
    return Diagonal((*_title(nodes), *textwrap.wrap(shapes, 78)), (line,))


def _line(graph: NestGraph, node: Node) -> Line:
    inputs = [_arrives(graph, edge) for edge in graph.inputs(node)]
    return Line(
        targets=(node.name,),
        value=Call(f"self.{node.name}", tuple(inputs or [_image(graph)])),
        shape=_shape(graph, node),
    )


def _image(graph: NestGraph) -> str:
    """What the first node reads."""
    return "fitted" if graph.spec.pad else "x"


def _shape(graph: NestGraph, node: Node) -> str:
    axes = zip(AXES[graph.spec.dims], graph.scale(node.i), strict=True)
    sides = [axis if by == 1 else f"{axis}/{by}" for axis, by in axes]
    return f"[N, {', '.join([str(graph.width(node)), *sides])}]"


def _arrives(graph: NestGraph, edge: Edge) -> Expression:
    """What a node reads over an edge."""
    name = edge_module(graph, edge)
    source = edge.source.name
    if edge.kind == "skip" and graph.spec.skip == "gate":
        return Call(f"self.{name}", (source, graph.below(edge.target).name))
    rows = rows_name(graph, edge)
    steps = [rows] if rows else []
    if name:
        # a pointwise convolution costs less before an interpolation, and is the same
        steps.insert(0 if name.startswith("narrow") else len(steps), name)
    arriving: Expression = source
    for step in steps:
        arriving = Call(f"self.{step}", (arriving,))
    return arriving


def _logits(graph: NestGraph, level: int) -> Expression:
    node = graph.head(level)
    value = Call(f"self.{head_name(level)}", (node.name,))
    if node.i:
        value = Call(f"self.{between('up', node.i, 0)}", (value,))
    return Call("crop", (value, "x")) if graph.spec.pad else value
