"""What nodes and levels cost, by formula: parameters, MACs, bytes. No torch."""

from __future__ import annotations

from dataclasses import dataclass, fields

from nestgen.arch.graph import NestGraph, Node
from nestgen.errors import SpecError

FLOAT = 4
INT64 = 8


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


def node_cost(graph: NestGraph, node: Node, size: tuple[int, int]) -> Cost:
    """The cost of X[i,j] with the up-sampling into it, at an input of `size` (H, W).

    Raises `SpecError` unless H and W are multiples of 2^depth.
    """
    pixels = _pixels(graph, node.i, size)
    width, block = graph.width(node), graph.spec.block
    cost = Cost(activation_bytes=FLOAT * width * pixels)
    for channels in (graph.in_channels(node), width):
        cost += _convolution(9 * channels * width, width * block.bias, pixels)
        cost += _norm(graph, width)
    for edge in graph.inputs(node):
        if edge.kind == "up" and graph.spec.up == "transpose":
            low = graph.width(edge.source)
            cost += _convolution(4 * low * width, width, pixels // 4)
    return cost


def head_cost(graph: NestGraph, size: tuple[int, int]) -> Cost:
    """The cost of one head, a 1x1 convolution with bias on X[0,k]."""
    pixels, classes = _pixels(graph, 0, size), graph.spec.classes
    cost = _convolution(graph.spec.widths[0] * classes, classes, pixels)
    return cost + Cost(activation_bytes=FLOAT * classes * pixels)


def graph_cost(graph: NestGraph, size: tuple[int, int]) -> Cost:
    """The cost of a whole network at an input of `size` (H, W).

    >>> from nestgen.arch.spec import NestSpec
    >>> paper = NestGraph(NestSpec.preset("zhou2018", in_channels=1))
    >>> f"{graph_cost(paper, (96, 96)).parameters:,}"
    '9,041,700'
    >>> f"{graph_cost(paper.level(2), (96, 96)).parameters:,}"
    '511,105'
    """
    nodes = [node_cost(graph, node, size) for node in graph.nodes]
    heads = [head_cost(graph, size)] * len(graph.levels)
    return sum(nodes + heads, start=Cost())


def level_costs(graph: NestGraph, size: tuple[int, int]) -> dict[int, Cost]:
    """What each level costs with its own head alone, at an input of `size` (H, W).

    >>> from nestgen.arch.spec import NestSpec
    >>> costs = level_costs(NestGraph(NestSpec.preset("zhou2018")), (96, 96))
    >>> [f"{costs[k].macs / costs[4].macs:.2f}" for k in costs]
    ['0.12', '0.30', '0.59', '1.00']
    """
    costs = {node: node_cost(graph, node, size) for node in graph.nodes}
    head = head_cost(graph, size)
    return {
        k: sum((costs[node] for node in graph.needed(k)), start=head)
        for k in graph.levels
    }


def default_size(depth: int) -> tuple[int, int]:
    """256 x 256, or the smallest square that a deeper network takes.

    >>> default_size(4), default_size(10)
    ((256, 256), (1024, 1024))
    """
    side = max(256, 2**depth)
    return side, side


def _pixels(graph: NestGraph, row: int, size: tuple[int, int]) -> int:
    multiple = 2**graph.depth
    if any(side < 1 or side % multiple for side in size):
        text = "x".join(str(side) for side in size)
        raise SpecError(f"size: {text} is not allowed, multiples of {multiple}")
    return (size[0] >> row) * (size[1] >> row)


def _convolution(weights: int, biases: int, pixels: int) -> Cost:
    parameters = weights + biases
    return Cost(parameters, weights * pixels, weight_bytes=FLOAT * parameters)


def _norm(graph: NestGraph, width: int) -> Cost:
    """Scale and shift; batch norm keeps a mean, a variance and a counter besides."""
    if graph.spec.block.norm == "none":
        return Cost()
    statistics = 2 * FLOAT * width + INT64 if graph.spec.block.norm == "batch" else 0
    return Cost(parameters=2 * width, weight_bytes=2 * FLOAT * width + statistics)
