"""What nodes and levels cost, by formula: parameters, MACs, bytes. No torch."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, fields
from itertools import accumulate

from nestgen.arch.blocks import BLOCKS, single
from nestgen.arch.choices import LEARNED_UPS
from nestgen.arch.encoders import provider
from nestgen.arch.graph import Edge, NestGraph, Node
from nestgen.arch.layers import Convolution, Layer, Named, Normalisation
from nestgen.arch.operations import FLOAT, INT64
from nestgen.arch.skips import gate_channels, squeezed
from nestgen.errors import SpecError

USUAL_SIDE = {1: 4096, 2: 256, 3: 64}
"""Of the input whose cost is told unless another is asked for, by number of axes."""


@dataclass(frozen=True)
class Cost:
    """The price of a part of a network, for one image, in float32. Costs add up.

    Attributes:
        parameters: numbers that are learned.
        macs: multiply-accumulates of the convolutions in one forward pass.
        activation_bytes: of the part's outputs that other parts read, and the logits.
        weight_bytes: of its state dict: parameters and the norms' running statistics.
    """

    parameters: int = 0
    macs: int = 0
    activation_bytes: int = 0
    weight_bytes: int = 0

    def __add__(self, other: Cost) -> Cost:
        names = [field.name for field in fields(self)]
        return Cost(*(getattr(self, name) + getattr(other, name) for name in names))


def node_cost(graph: NestGraph, node: Node, size: tuple[int, ...]) -> Cost:
    """The cost of X[i,j] with what stands on the edges into it, at an input of `size`.

    Raises `SpecError` unless the sides are multiples of `graph.multiples`.
    """
    _check(graph, size)
    pixels = math.prod(graph.size_at(node.i, size))
    cost = Cost(activation_bytes=FLOAT * graph.width(node) * pixels)
    if graph.foreign(node):
        return cost + _foreign_cost(graph, node.i, size)
    cost += _layers_cost(graph, _layers(graph, node), node.i, pixels)
    return sum((edge_cost(graph, edge, size) for edge in graph.inputs(node)), cost)


def _layers(graph: NestGraph, node: Node) -> list[Layer]:
    i, c, block = graph.in_channels(node), graph.width(node), graph.spec.block
    if graph.encoded(node) and graph.backbone:
        return graph.backbone.layers(node.i, i, c)
    if graph.full_scale and node.j:
        return single(i, c)
    return BLOCKS[block.kind].layers(i, c, block.expansion)


def _foreign_cost(graph: NestGraph, row: int, size: tuple[int, ...]) -> Cost:
    """Of a stage of a package's encoder, as the package's provider counts it."""
    known, model = provider(str(graph.spec.encoder))
    whole = full_size(size, graph.spec.dims)
    price = known.price(model, graph.spec.in_channels, row, whole)
    return Cost(price.parameters, price.macs, 0, price.weight_bytes)


def edge_cost(graph: NestGraph, edge: Edge, size: tuple[int, ...]) -> Cost:
    """The cost of what is learned on the way of one edge."""
    i, c, row = graph.width(edge.source), graph.channels(edge), edge.target.i
    here = math.prod(graph.size_at(row, size))
    if graph.full_scale and edge.target.j:
        return _layers_cost(graph, single(i, c), row, here)
    if edge.kind == "up":
        return _up_cost(graph, edge, math.prod(graph.size_at(edge.source.i, size)))
    if edge.kind == "skip" and graph.spec.skip == "se":
        inner = squeezed(c)
        return _convolution(c * inner, inner, 1) + _convolution(inner * c, c, 1)
    if edge.kind == "skip" and graph.spec.skip == "gate":
        return _gate_cost(graph, edge, here)
    return Cost()


def head_cost(graph: NestGraph, level: int, size: tuple[int, ...]) -> Cost:
    """The cost of the head of `level`: a 1x1 convolution with bias on its node.

    Of UNet 3+ it is one of the row's kernel size, and its logits are up-sampled.
    """
    node, classes = graph.head(level), graph.spec.classes
    volume = math.prod(graph.spec.kernel_size(node.i)) if graph.full_scale else 1
    pixels = math.prod(graph.size_at(node.i, size))
    cost = _convolution(volume * graph.width(node) * classes, classes, pixels)
    return cost + Cost(activation_bytes=FLOAT * classes * math.prod(size))


def graph_cost(graph: NestGraph, size: tuple[int, ...]) -> Cost:
    """The cost of a whole network at an input of `size`.

    >>> from nestgen.arch.spec import NestSpec
    >>> paper = NestGraph(NestSpec.preset("zhou2018", in_channels=1))
    >>> f"{graph_cost(paper, (96, 96)).parameters:,}"
    '9,041,700'
    >>> f"{graph_cost(paper.level(2), (96, 96)).parameters:,}"
    '511,105'
    """
    nodes = [node_cost(graph, node, size) for node in graph.nodes]
    heads = [head_cost(graph, level, size) for level in graph.levels]
    return sum(nodes + heads, start=Cost())


def level_costs(graph: NestGraph, size: tuple[int, ...]) -> dict[int, Cost]:
    """What each level costs with its own head alone, at an input of `size`.

    >>> from nestgen.arch.spec import NestSpec
    >>> costs = level_costs(NestGraph(NestSpec.preset("zhou2018")), (96, 96))
    >>> [f"{costs[k].macs / costs[4].macs:.2f}" for k in costs]
    ['0.12', '0.30', '0.59', '1.00']
    """
    costs = {node: node_cost(graph, node, size) for node in graph.nodes}
    return {
        k: sum(
            (costs[node] for node in graph.needed(k)), start=head_cost(graph, k, size)
        )
        for k in graph.levels
    }


def grown_costs(graph: NestGraph, size: tuple[int, ...]) -> dict[int, Cost]:
    """What is computed until a network that goes from level to level is at each.

    >>> from nestgen.arch.spec import NestSpec
    >>> graph = NestGraph(NestSpec.preset("zhou2018"))
    >>> costs, whole = grown_costs(graph, (96, 96)), graph_cost(graph, (96, 96))
    >>> f"{costs[2].macs / whole.macs:.3f}", costs[4] == whole
    ('0.299', True)
    """
    made = [
        sum((node_cost(graph, node, size) for node in nodes), head_cost(graph, k, size))
        for k, nodes in graph.stages.items()
    ]
    return dict(zip(graph.stages, accumulate(made), strict=True))


def default_size(graph: NestGraph) -> tuple[int, ...]:
    """The usual size of an input, or the next that the network takes unpadded.

    >>> from nestgen.arch.spec import NestSpec
    >>> [default_size(NestGraph(NestSpec(depth=depth))) for depth in (4, 10)]
    [(256, 256), (1024, 1024)]
    """
    usual = USUAL_SIDE[graph.spec.dims]
    return tuple(max(graph.least, -(-usual // by)) * by for by in graph.multiples)


def fitting_size(graph: NestGraph, size: tuple[int, ...]) -> tuple[int, ...]:
    """A size as it was given, one number standing for all sides.

    Raises `SpecError` unless it is one that the network takes unpadded.
    """
    whole = full_size(size, graph.spec.dims)
    _check(graph, whole)
    return whole


def full_size(size: tuple[int, ...], dims: int, name: str = "size") -> tuple[int, ...]:
    """One number stands for all sides; `SpecError` for neither one nor `dims` of them.

    >>> full_size((64,), 3)
    (64, 64, 64)
    """
    whole = size * dims if len(size) == 1 else size
    if len(whole) != dims:
        text = "x".join(map(str, size))
        raise SpecError(f"{name}: {text} is not allowed, {dims} sides or one for all")
    return whole


def _check(graph: NestGraph, size: tuple[int, ...]) -> None:
    pairs = list(zip(full_size(size, graph.spec.dims), graph.multiples, strict=True))
    if any(side < graph.least * by or side % by for side, by in pairs):
        text, by = "x".join(map(str, size)), set(graph.multiples)
        allowed = by.pop() if len(by) == 1 else "x".join(map(str, graph.multiples))
        more = ", two of them or more" if graph.least > 1 else ""
        raise SpecError(f"size: {text} is not allowed, multiples of {allowed}{more}")


def _layers_cost(
    graph: NestGraph, layers: Iterable[Layer], row: int, pixels: int
) -> Cost:
    volume = math.prod(graph.spec.kernel_size(row))
    cost = Cost()
    for layer in layers:
        if isinstance(layer, Convolution):
            i, c = _number(layer.inputs), _number(layer.outputs)
            weights = c * (1 if layer.depthwise else i)
            own = layer.size**graph.spec.dims if layer.size else volume
            weights *= 1 if layer.pointwise else own
            biased = graph.spec.block.bias if layer.bias is None else layer.bias
            cost += _convolution(weights, c * biased, pixels)
        elif isinstance(layer, Normalisation):
            cost += _norm(graph, _number(layer.channels))
        else:
            cost += _numbers(_number(layer.channels))
    return cost


def _number(channels: int | Named) -> int:
    """Channels of a rule that was asked with numbers."""
    assert isinstance(channels, int)
    return channels


def _up_cost(graph: NestGraph, edge: Edge, below: int) -> Cost:
    """Of the way up from `below` pixels."""
    i, c, row = graph.width(edge.source), graph.channels(edge), edge.target.i
    spec, times = graph.spec, math.prod(graph.scale(edge.source.i, row))
    if spec.up == "transpose":
        return _convolution(times * i * c, c, below)
    if spec.up in LEARNED_UPS:
        volume = math.prod(spec.kernel_size(row))
        return _convolution(volume * i * c * times, c * times, below)
    return _convolution(i * c, c, below) if i != c else Cost()


def _gate_cost(graph: NestGraph, edge: Edge, here: int) -> Cost:
    """Of Oktay's gate: all of it at the resolution of the row below."""
    gating = graph.below(edge.target)
    times = math.prod(graph.scale(gating.i, edge.target.i))
    c, inner = graph.channels(edge), gate_channels(graph.channels(edge))
    parts = ((times * c * inner, 0), (graph.width(gating) * inner, inner), (inner, 1))
    costs = (_convolution(w, b, here // times) for w, b in parts)
    return sum(costs, start=Cost())


def _convolution(weights: int, biases: int, pixels: int) -> Cost:
    return _numbers(weights + biases) + Cost(macs=weights * pixels)


def _numbers(parameters: int) -> Cost:
    return Cost(parameters, weight_bytes=FLOAT * parameters)


def _norm(graph: NestGraph, width: int) -> Cost:
    """Scale and shift; batch norm keeps a mean, a variance and a counter besides."""
    if graph.spec.block.norm == "none":
        return Cost()
    statistics = 2 * FLOAT * width + INT64 if graph.spec.block.norm == "batch" else 0
    return _numbers(2 * width) + Cost(weight_bytes=statistics)
