"""The classes that a generated file defines beside the network's own."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from dataclasses import dataclass

from nestgen.arch.blocks import BLOCKS, single
from nestgen.arch.graph import NestGraph
from nestgen.arch.layers import Layer, Named
from nestgen.arch.spec import NestSpec
from nestgen.codegen.expressions import Call, Code, Expression, expression
from nestgen.codegen.modules import activation, kernel, layer, sized


@dataclass(frozen=True)
class Module:
    """A line of `__init__`."""

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
        ones: as many as there are axes.
        kernel: the size and the padding of its convolutions.
        blur: whether a pixel shuffle is smoothed.
    """

    template: str
    name: str
    doc: tuple[str, ...]
    modules: tuple[Module, ...]
    sizes: Code
    sized: bool
    ones: tuple[int, ...]
    kernel: tuple[Expression, Expression]
    blur: bool

    def chain(self, names: str, argument: str) -> Code:
        """Calls of those of the modules `names` that it has, the first innermost."""
        has = {module.name for module in self.modules}
        inner: Expression = argument
        for name in names.split():
            if name in has:
                inner = Call(f"self.{name}", (inner,))
        return expression(inner)

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
    if graph.full_scale:
        doc = "One convolution, norm, activation: on an edge, and where edges meet."
        yield _part(spec, "single", "Single", doc, single(*_ARGUMENTS))
    rule = BLOCKS[block.kind]
    layers = rule.layers(*_ARGUMENTS, block.expansion)
    stem = f"block_{block.kind.replace('-', '_')}"
    yield _part(spec, stem, "Node", f"H(inputs): {rule.doc}.", layers)
    if spec.up.startswith("pixel-shuffle"):
        yield _part(spec, "pixel_shuffle", "PixelShuffle")
    if spec.skip == "se":
        yield _part(spec, "squeeze_excite", "SqueezeExcite")
    if spec.skip == "gate":
        yield _part(spec, "gate", "Gate")


_ARGUMENTS = (Named("in_channels"), Named("channels"))


def _part(
    spec: NestSpec,
    stem: str,
    name: str,
    doc: str = "",
    layers: list[Layer] | None = None,
) -> Part:
    return Part(
        template=f"{stem}.py.jinja",
        name=name,
        doc=tuple(textwrap.wrap(doc, 81)),
        modules=tuple(_modules(spec, layers or [])),
        sizes=Code(f"tuple[{', '.join(['int'] * spec.dims)}]"),
        sized=sized(spec),
        ones=(1,) * spec.dims,
        kernel=kernel(spec),
        blur=spec.up == "pixel-shuffle-blur",
    )


def _modules(spec: NestSpec, layers: list[Layer]) -> Iterator[Module]:
    block = spec.block
    for made in layers:
        if not (made.name.startswith("norm") and block.norm == "none"):
            yield Module(made.name, layer(spec, made))
    yield Module("act", activation(spec))
    if block.dropout:
        yield Module("dropout", Call("nn.Dropout", (), (("p", block.dropout),)))
    if block.drop_path and BLOCKS[block.kind].residual:
        yield Module("drop_path", Call("nn.Dropout", (), (("p", block.drop_path),)))
