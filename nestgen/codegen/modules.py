"""How the layers of a network are written: constructors of torch's modules."""

from __future__ import annotations

from nestgen.arch.graph import Edge, NestGraph
from nestgen.arch.layers import Convolution, Gain, Layer, Named, is_dense
from nestgen.arch.spec import NestSpec
from nestgen.codegen.expressions import Call, Expression, Text, Times

INPLACE = (("inplace", True),)
ACTIVATIONS: dict[str, Call] = {
    "relu": Call("nn.ReLU", (), INPLACE),
    "leaky_relu": Call("nn.LeakyReLU", (), INPLACE),
    "relu6": Call("nn.ReLU6", (), INPLACE),
    "elu": Call("nn.ELU", (), INPLACE),
    "selu": Call("nn.SELU", (), INPLACE),
    "gelu": Call("nn.GELU"),
    "silu": Call("nn.SiLU", (), INPLACE),
    "mish": Call("nn.Mish", (), INPLACE),
    "hardswish": Call("nn.Hardswish", (), INPLACE),
}


def activation(spec: NestSpec) -> Call:
    """The block's activation; in place only where what it reads is the block's own."""
    block = spec.block
    made = ACTIVATIONS[block.activation]
    keywords = () if block.kind == "double-preact" else made.keywords
    if block.activation == "leaky_relu":
        keywords = (("negative_slope", block.slope), *keywords)
    return Call(made.function, (), keywords)


def layer(spec: NestSpec, made: Layer) -> Expression:
    """The constructor of one layer of a block."""
    if isinstance(made, Convolution):
        return convolution(spec, made)
    channels = _channels(made.channels)
    if isinstance(made, Gain):
        shape = (channels, *(1,) * spec.dims)
        return Call("nn.Parameter", (Call("torch.full", (shape, 1e-6)),))
    return norm(spec, channels)


def norm(spec: NestSpec, channels: Expression) -> Call:
    """The block's norm."""
    block, dims = spec.block, f"{spec.dims}d"
    return {
        "batch": Call(f"nn.BatchNorm{dims}", (channels,)),
        "instance": Call(f"nn.InstanceNorm{dims}", (channels,), (("affine", True),)),
        "group": Call("nn.GroupNorm", (block.groups, channels)),
        "layer": Call("ChannelNorm", (channels,)),
    }[block.norm]


def convolution(spec: NestSpec, made: Convolution) -> Call:
    """A convolution that keeps the size, or divides it by its module's stride."""
    standard = spec.block.standardise and is_dense(made)
    name = f"StandardConv{spec.dims}d" if standard else f"nn.Conv{spec.dims}d"
    size, padding = (1, 0) if made.pointwise else kernel(spec)
    if made.size:
        size, padding = made.size, made.size // 2
    keywords: list[tuple[str, Expression]] = [("padding", padding)] if padding else []
    if made.strided:
        keywords.insert(0, ("stride", "stride"))
    if made.depthwise:
        keywords.append(("groups", _channels(made.inputs)))
    keywords.append(("bias", spec.block.bias if made.bias is None else made.bias))
    channels = (_channels(made.inputs), _channels(made.outputs))
    return Call(name, (*channels, size), tuple(keywords))


def kernel(spec: NestSpec) -> tuple[Expression, Expression]:
    """The kernel size and the padding of a node's convolutions.

    Where rows differ, the size is an argument of the node.

    >>> kernel(NestSpec(kernel_sizes=5))
    (5, 2)
    """
    if sized(spec):
        return "kernel_size", Text("same")
    size = spec.kernel_size(0)
    return plain(size), plain(tuple(side // 2 for side in size))


def sized(spec: NestSpec) -> bool:
    """Whether nodes are told their kernel size, since rows differ."""
    return len({spec.kernel_size(row) for row in range(spec.depth + 1)}) > 1


def plain(size: tuple[int, ...]) -> int | tuple[int, ...]:
    """One number for equal sides.

    >>> plain((2, 2)), plain((1, 2))
    (2, (1, 2))
    """
    return size[0] if len(set(size)) == 1 else size


def resize(graph: NestGraph, edge: Edge) -> Call:
    """What pools or interpolates from the row of an edge's source to its target's."""
    spec, (deep, high) = (
        graph.spec,
        sorted((edge.source.i, edge.target.i), reverse=True),
    )
    scale = plain(graph.scale(deep, high))
    strided = graph.backbone is not None and graph.backbone.kind != "vgg"
    if strided and graph.encoded(edge.target):
        return max_pool(spec, 3, ("stride", scale), ("padding", 1))
    if edge.kind == "down":
        return max_pool(spec, scale)
    return upsample(spec.up, scale)


def max_pool(spec: NestSpec, size: Expression, *more: tuple[str, Expression]) -> Call:
    """A pooling of windows of `size`."""
    name = "MaxPool1d" if spec.dims == 1 else f"nn.MaxPool{spec.dims}d"
    return Call(name, (), (("kernel_size", size), *more))


def upsample(up: str, scale: Expression) -> Call:
    """An interpolation by `scale`."""
    keywords: list[tuple[str, Expression]] = [("scale_factor", scale)]
    mode = up.removesuffix("-aligned")
    keywords.append(("mode", Text(mode)))
    if mode != "nearest":
        keywords.append(("align_corners", mode != up))
    return Call("nn.Upsample", (), tuple(keywords))


def _channels(channels: int | Named) -> Expression:
    if isinstance(channels, Named):
        one = channels.factor == 1
        return channels.name if one else Times(channels.factor, channels.name)
    return channels
