"""The classes that a generated file defines beside the network's own."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, replace

from nestgen.arch.blocks import BLOCKS, SINGLE_WIRING, single
from nestgen.arch.encoders import RESIDUALS, Backbone, convolved, shortcut, stem
from nestgen.arch.graph import NestGraph
from nestgen.arch.layers import Layer, Named
from nestgen.arch.spec import NestSpec
from nestgen.codegen.expressions import (
    WIDTH,
    Call,
    Code,
    Expression,
    Infix,
    expression,
    identifier,
)
from nestgen.codegen.modules import activation, kernel, layer, sized


@dataclass(frozen=True)
class Module:
    """A line of `__init__`, or of a block's `forward`: a name, and what it becomes."""

    name: str
    value: Expression


@dataclass(frozen=True)
class Part:
    """A class of the generated file.

    Attributes:
        template: prints it.
        name: of the class.
        doc: its docstring, wrapped.
        modules: what it is made of.
        sizes: the type of a size, one number for each axis.
        sized: whether it is told its kernel size.
        told: the argument, beside channels, that it is told.
        ones: as many as there are axes.
        kernel: the size and the padding of its convolutions.
        blur: whether a pixel shuffle is smoothed.
        lines: of its `forward`, where it is a block.
    """

    template: str
    name: str
    doc: tuple[str, ...]
    modules: tuple[Module, ...]
    sizes: Code
    sized: bool
    told: str
    ones: tuple[int, ...]
    kernel: tuple[Expression, Expression]
    blur: bool
    lines: tuple[Module, ...] = ()

    def chain(self, names: str, argument: str) -> Code:
        """Calls of those of the modules `names` that it has, the first innermost."""
        return expression(_chain(names, argument, self.modules))

    def init(self, *arguments: str) -> Code:
        """`__init__` with its channels, numbers, and what it is told, as ruff would
        break it."""
        names = ("in_channels", "channels", *arguments)
        typed = [f"{identifier(name)}: int" for name in names]
        typed += [f"{identifier(self.told)}: {self.sizes}"] if self.told else []
        inside = f"self, {', '.join(typed)}"
        line = f"    def __init__({inside}) -> None:"
        if len(line) > WIDTH:
            line = f"    def __init__(\n        {inside}\n    ) -> None:"
        return Code(line)

    def has(self, name: str) -> bool:
        """Whether it is made of a module `name`."""
        return any(module.name == name for module in self.modules)


def parts(graph: NestGraph) -> tuple[Part, ...]:
    """The classes that the network of `graph` needs, in the order of the file."""
    return tuple(_parts(graph))


def _parts(graph: NestGraph) -> Iterator[Part]:
    spec, block = graph.spec, graph.spec.block
    if spec.dims == 1:
        yield _part(spec, "max_pool", "MaxPool1d")
    if block.norm == "layer":
        yield _part(spec, "channel_norm", "ChannelNorm")
    if block.standardise:
        yield _part(spec, "standard_conv", f"StandardConv{spec.dims}d")
    if block.drop_path:
        yield _part(spec, "drop_path", "DropPath")
    if graph.full_scale:
        doc = "One convolution, norm, activation: on an edge, and where edges meet."
        yield _block(spec, "Single", doc, single(*_ARGUMENTS), SINGLE_WIRING)
    if graph.backbone:
        yield from _stages(graph, graph.backbone)
    rule = BLOCKS[block.kind]
    layers = rule.layers(*_ARGUMENTS, block.expansion)
    yield _block(spec, "Node", f"H(inputs): {rule.doc}.", layers, rule.wiring)
    if spec.up.startswith("pixel-shuffle"):
        yield _part(spec, "pixel_shuffle", "PixelShuffle")
    if spec.skip == "se":
        yield _part(spec, "squeeze_excite", "SqueezeExcite")
    if spec.skip == "gate":
        yield _part(spec, "gate", "Gate")


def _stages(graph: NestGraph, backbone: Backbone) -> Iterator[Part]:
    """The classes of which an encoder of our own is made."""
    spec, arguments = graph.spec, _ARGUMENTS
    whole = f"A stage of {backbone.title}."
    if backbone.kind == "vgg":
        doc = "Convolution, norm, activation: the layer of a VGG."
        yield _part(spec, "layer", "Layer", doc, convolved(*arguments), told="")
        yield _part(spec, "stage_vgg", "Stage", whole, told="")
        return
    doc = "The first layer of a ResNet: convolution, norm, activation."
    yield _part(spec, "layer", "Stem", doc, stem(*arguments), told="stride")
    if graph.depth == 1:
        return
    doc = "Convolution and norm: what a block that changes its input adds to."
    layers = shortcut(*arguments)
    yield _part(spec, "projection", "Projection", doc, layers, told="stride", act=False)
    doc = "The block of a ResNet (He et al., 2016, fig. 5)."
    layers = RESIDUALS[backbone.kind](*arguments, "inner")
    template = f"residual_{backbone.kind}"
    yield _part(spec, template, "Residual", doc, layers, told="stride")
    yield _part(spec, "stage_resnet", "Stage", whole, told="stride")


_ARGUMENTS = (Named("in_channels"), Named("channels"))


def _part(
    spec: NestSpec,
    stem: str,
    name: str,
    doc: str = "",
    layers: list[Layer] | None = None,
    *,
    told: str | None = None,
    act: bool = True,
) -> Part:
    """`told` is, unless something else is said, the kernel size where rows differ."""
    usual = "kernel_size" if sized(spec) else ""
    return Part(
        template=f"{stem}.py.jinja",
        name=name,
        doc=tuple(textwrap.wrap(doc, 81)),
        modules=tuple(_modules(spec, name, layers or [], act)),
        sizes=Code(f"tuple[{', '.join(['int'] * spec.dims)}]"),
        sized=sized(spec),
        told=usual if told is None else told,
        ones=(1,) * spec.dims,
        kernel=kernel(spec),
        blur=spec.up == "pixel-shuffle-blur",
    )


def _block(
    spec: NestSpec, name: str, doc: str, layers: list[Layer], wiring: tuple[str, ...]
) -> Part:
    """A class whose `forward` is what the wiring of a block says."""
    part = _part(spec, "node", name, doc, layers)
    return replace(part, lines=tuple(_wired(wiring, part.modules)))


def _wired(wiring: tuple[str, ...], modules: tuple[Module, ...]) -> Iterator[Module]:
    """The lines of `forward`, but for those that change nothing."""
    for line in wiring:
        target, _, rest = line.partition(" = ")
        read, _, chain = rest.partition(":")
        left, _, right = read.partition(" + ")
        value = _chain(chain, Infix(left, "+", right) if right else left, modules)
        if value != target:
            yield Module(target, value)


def _chain(names: str, argument: Expression, modules: tuple[Module, ...]) -> Expression:
    """Calls of those of the modules `names` that there are, the first innermost."""
    has = {module.name for module in modules}
    for name in names.split():
        if name == "gain":
            argument = Infix("self.gain", "*", str(argument))
        elif name in has:
            argument = Call(f"self.{name}", (argument,))
    return argument


def _modules(
    spec: NestSpec, name: str, layers: list[Layer], act: bool
) -> Iterator[Module]:
    block = spec.block
    for made in layers:
        if not (made.name.startswith("norm") and block.norm == "none"):
            yield Module(made.name, layer(spec, made))
    if not act:
        return
    yield Module("act", activation(spec))
    if block.dropout:
        yield Module("dropout", Call("nn.Dropout", (), (("p", block.dropout),)))
    if block.drop_path and name == "Node":
        yield Module("drop_path", Call("DropPath", (block.drop_path,)))
