"""How the encoder of a network is written."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass

from nestgen.arch.encoders import Form, misfit, provider
from nestgen.arch.graph import NestGraph, Node
from nestgen.codegen.expressions import Call, Expression, Text
from nestgen.errors import SpecError


def stage(graph: NestGraph, node: Node) -> Call:
    """The constructor of a stage of one of our own encoders.

    >>> from nestgen.arch.spec import NestSpec
    >>> graph = NestGraph(NestSpec(depth=2, encoder="resnet18"))
    >>> stage(graph, Node(2, 0)).arguments
    (64, 64, 2, (1, 1))
    """
    backbone, row = graph.backbone, node.i
    assert backbone is not None
    channels = (graph.in_channels(node), graph.width(node))
    if backbone.kind == "vgg":
        return Call("Stage", (*channels, backbone.count(row)))
    if backbone.is_stem(row):
        return Call("Stem", (*channels, graph.spec.stride(row)))
    pooled = (1,) * graph.spec.dims
    stride = pooled if backbone.pools(row) else graph.spec.stride(row)
    return Call("Stage", (*channels, backbone.count(row), stride))


@dataclass(frozen=True)
class Foreign:
    """What is written of a package's encoder.

    Attributes:
        doc: of its class, wrapped.
        create: the call that makes the package's model.
        channels_last: whether its stages are [N, H, W, C].
        needs: the package and the version for which it is written.
    """

    doc: tuple[str, ...]
    create: Call
    channels_last: bool
    needs: str


def foreign(graph: NestGraph) -> Foreign | None:
    """A package's encoder, as deep as it is needed; None where there is none.

    Raises `SpecError` for a spec that says something else of it than the package.
    """
    name, nodes = graph.spec.encoder, foreign_nodes(graph)
    if name is None or not nodes:
        return None
    wrong = misfit(name, graph.spec.model_dump())
    if wrong:
        raise SpecError(wrong)
    known, model = provider(name)
    form = known.form(model)
    ends = dict.fromkeys((nodes[0].label, nodes[-1].label))
    rows = " to ".join(ends)
    return Foreign(
        doc=tuple(textwrap.wrap(f"{rows}: the stages of timm's {model}.", 81)),
        create=_create(graph, model, form),
        channels_last=form.channels_last,
        needs=f"Needs timm, and was written for its version {form.version}.",
    )


def foreign_nodes(graph: NestGraph) -> list[Node]:
    """The nodes that a package's encoder computes, from the finest."""
    return [node for node in graph.nodes if graph.foreign(node)]


def _create(graph: NestGraph, model: str, form: Form) -> Call:
    options: list[tuple[str, Expression]] = [
        ("features_only", True),
        ("in_chans", graph.spec.in_channels),
        ("out_indices", tuple(range(len(foreign_nodes(graph))))),
    ]
    options += [
        (name, Text(value) if isinstance(value, str) else value)
        for name, value in form.options
    ]
    return Call("timm.create_model", (Text(model),), tuple(options))
