"""The columns of a node's weights: which of its input channels come over which edge."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from nestgen.arch.block import Block
from nestgen.arch.blocks import BLOCKS
from nestgen.arch.graph import NestGraph, Node
from nestgen.arch.layers import Convolution, Layer, Named, Normalisation, is_dense

IMAGE = "the image"
"""What X[0,0] reads."""

_IN, _OUT = Named("in_channels"), Named("channels")

Places = dict[str, slice]
"""Where the channels of each source are in a node's input."""


def places(graph: NestGraph, node: Node) -> Places:
    """The sources of X[i,j] by name, in order, and the channels that they bring.

    >>> from nestgen.arch.spec import NestSpec
    >>> places(NestGraph(NestSpec(depth=2, widths=4)), Node(0, 2))
    {'x1_1': slice(0, 4, None), 'x0_0': slice(4, 8, None), 'x0_1': slice(8, 12, None)}
    """
    if node == (0, 0):
        return {IMAGE: slice(0, graph.in_channels(node))}
    found, start = {}, 0
    for edge in graph.inputs(node):
        found[edge.source.name] = slice(start, start + graph.channels(edge))
        start += graph.channels(edge)
    return found


def reading_axes(block: Block) -> dict[str, int]:
    """The tensors of a node that go by its input's channels, and on which axis.

    >>> reading_axes(Block(kind="double"))
    {'conv1.weight': 1}
    >>> reading_axes(Block(kind="separable"))
    {'depthwise1.weight': 0, 'depthwise1.bias': 0, 'pointwise1.weight': 1}
    """
    axes: dict[str, int] = {}
    for layer in _layers(block):
        axes |= _layer_axes(layer)
    return axes


def mixes_inputs(block: Block) -> bool:
    """Whether a channel with weight zero still has a part in what a node computes.

    It has where a norm takes several of its input's channels together, or where a
    convolution's weights are standardised.

    >>> mixes_inputs(Block(norm="group")), mixes_inputs(Block(standardise=True))
    (False, True)
    """
    return any(_layer_axes(layer) and _mixes(layer, block) for layer in _layers(block))


def _mixes(layer: Layer, block: Block) -> bool:
    if isinstance(layer, Convolution):
        return block.standardise and is_dense(layer)
    return isinstance(layer, Normalisation) and block.norm in ("group", "layer")


def _layers(block: Block) -> list[Layer]:
    return BLOCKS[block.kind].layers(_IN, _OUT, block.expansion)


def _layer_axes(layer: Layer) -> dict[str, int]:
    name = layer.name
    if isinstance(layer, Convolution) and layer.inputs == _IN:
        dense = {f"{name}.weight": 1}
        return {f"{name}.weight": 0, f"{name}.bias": 0} if layer.depthwise else dense
    if isinstance(layer, Normalisation) and layer.channels == _IN:
        parts = ("weight", "bias", "running_mean", "running_var")
        return {f"{name}.{part}": 0 for part in parts}
    return {}


def carry(
    mine: Tensor, theirs: Tensor, axis: int, to: Mapping[str, slice], of: Places
) -> Tensor:
    """`theirs` in the shape of `mine`: each source's channels in their new place.

    On axis 1, where channels are summed up, sources that `theirs` has not read get
    zeros; on axis 0, where each stands by itself, they stay as they are in `mine`.

    >>> row = torch.tensor([[1.0, 2.0]])
    >>> to, of = {"up": slice(0, 1), "new": slice(1, 2)}, {"up": slice(1, 2)}
    >>> carry(torch.ones(1, 2), row, 1, to, of)
    tensor([[2., 0.]])
    """
    made = torch.zeros_like(mine) if axis else mine.clone()
    for source in to.keys() & of.keys():
        length = to[source].stop - to[source].start
        part = theirs.narrow(axis, of[source].start, length)
        made.narrow(axis, to[source].start, length).copy_(part)
    return made
