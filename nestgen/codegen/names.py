"""What the modules of a generated network are called."""

from __future__ import annotations

from nestgen.arch.choices import LEARNED_UPS
from nestgen.arch.graph import Edge, NestGraph


def head_name(level: int) -> str:
    """
    >>> head_name(2)
    'head_L2'
    """
    return f"head_L{level}"


def rows_name(graph: NestGraph, edge: Edge) -> str | None:
    """Of what pools or interpolates from row to row: shared by all edges that can.

    None where nothing does, or a stride or a learned up-sampling in its place.

    >>> from nestgen.arch.graph import Node
    >>> from nestgen.arch.spec import NestSpec
    >>> graph = NestGraph(NestSpec(depth=2, up="nearest"))
    >>> rows_name(graph, Edge(Node(1, 0), Node(0, 1)))
    'up'
    """
    if edge.kind == "skip" or (edge.kind == "up" and graph.spec.up in LEARNED_UPS):
        return None
    if graph.encoded(edge.target):
        backbone = graph.backbone
        if backbone is None or not backbone.pools(edge.target.i):
            return None
        if backbone.kind != "vgg":
            return "pool"
    steps = {graph.spec.stride(row) for row in range(1, graph.depth + 1)}
    if len(steps) == 1 and not graph.full_scale:
        return edge.kind
    return between(edge.kind, edge.source.i, edge.target.i)


def between(kind: str, source: int, target: int) -> str:
    """Of what pools or interpolates from one row to another alone.

    >>> between("up", 2, 0)
    'up_2_0'
    """
    return f"{kind}_{source}_{target}"


def edge_module(graph: NestGraph, edge: Edge) -> str | None:
    """Of what is learned on the way of `edge`; None where nothing is.

    >>> from nestgen.arch.graph import Node
    >>> from nestgen.arch.spec import NestSpec
    >>> edge_module(NestGraph(NestSpec(depth=2)), Edge(Node(1, 0), Node(0, 1)))
    'up0_1'
    """
    spec, (i, j), source = graph.spec, edge.target, edge.source
    if graph.full_scale and j:
        return f"from{source.i}_{source.j}_to{i}_{j}"
    if edge.kind == "skip" and spec.skip != "plain":
        return f"skip{i}_{source.j}_{j}"
    if edge.kind != "up":
        return None
    ups = [other for other in graph.inputs(edge.target) if other.kind == "up"]
    name = f"{i}_{j}" if len(ups) == 1 else f"{source.i}_{source.j}_to{i}_{j}"
    if spec.up in LEARNED_UPS:
        return f"up{name}"
    return f"narrow{name}" if graph.channels(edge) != graph.width(source) else None
