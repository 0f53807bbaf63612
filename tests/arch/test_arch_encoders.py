"""Encoders by name: published counts, what they decide of a spec, what is refused."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from nestgen.arch.cost import Cost, default_size, graph_cost, level_costs, node_cost
from nestgen.arch.encoders import ENCODERS, encoder
from nestgen.arch.graph import NestGraph, Node
from nestgen.arch.spec import NestSpec
from nestgen.arch.specfile import from_json, from_toml, to_json, to_toml
from nestgen.codegen.load import build
from nestgen.errors import SpecError

BARE = {"norm": "none", "bias": True}
COUNTS: list[tuple[str, dict[str, Any], int]] = [
    ("vgg11", BARE, 9_220_480),
    ("vgg13", BARE, 9_404_992),
    ("vgg16", BARE, 14_714_688),
    ("vgg19", BARE, 20_024_384),
    ("vgg16", {"bias": True}, 14_723_136),
    ("resnet18", {}, 11_176_512),
    ("resnet34", {}, 21_284_672),
    ("resnet50", {}, 23_508_032),
]


def whole(name: str, **fields: Any) -> NestSpec:
    """The deepest network on an encoder."""
    return NestSpec(encoder=name, depth=ENCODERS[name].deepest, widths=2, **fields)


def stages(graph: NestGraph) -> list[Node]:
    return [node for node in graph.nodes if graph.encoded(node)]


@pytest.mark.parametrize(("name", "block", "parameters"), COUNTS)
def test_parameters_are_the_published_ones(
    name: str, block: dict[str, Any], parameters: int
) -> None:
    """Of the convolutional part, without the classifier."""
    graph = NestGraph(whole(name, block=block))
    costs = [node_cost(graph, node, graph.multiples) for node in stages(graph)]
    assert sum(cost.parameters for cost in costs) == parameters
    with torch.device("meta"):
        model = build(graph.spec)
    found = [model.get_submodule(node.name) for node in stages(graph)]
    assert sum(p.numel() for stage in found for p in stage.parameters()) == parameters


@pytest.mark.parametrize("name", ENCODERS)
def test_the_spec_says_what_the_encoder_decides(name: str) -> None:
    spec = whole(name)
    known, graph = ENCODERS[name], NestGraph(spec)
    assert spec.encoder_row == known.first
    assert tuple(graph.width(node) for node in stages(graph)) == known.widths
    assert spec.strides == 2
    assert from_json(to_json(spec)) == from_toml(to_toml(spec)) == spec
    assert spec.replace() == spec


def test_a_residual_network_has_a_row_of_its_own_above() -> None:
    graph = NestGraph(NestSpec(encoder="resnet18", depth=3))
    assert graph.width(Node(0, 0)) == 16
    assert graph.inputs(Node(1, 0)) == ()
    assert graph.in_channels(Node(1, 0)) == graph.in_channels(Node(0, 0)) == 3
    assert Node(1, 0) in graph.needed(1)
    assert NestGraph(NestSpec(encoder="vgg11", depth=3)).inputs(Node(1, 0)) != ()


def test_the_cut_drops_the_deeper_stages() -> None:
    graph = NestGraph(NestSpec(encoder="resnet34", depth=5))
    small = graph.level(2)
    assert [node.name for node in stages(small)] == ["x1_0", "x2_0"]
    assert small.spec.encoder_row == 1
    costs = level_costs(graph, (64, 64))
    assert costs[2] == graph_cost(small, (64, 64))
    assert costs[2].parameters < costs[5].parameters / 50


def test_widths_and_strides_are_the_users() -> None:
    spec = NestSpec(
        encoder="resnet18",
        depth=2,
        dims=3,
        strides=[[1, 2, 2], 2],
        node_widths={"x1_0": 8},
    )
    assert dict(spec.node_widths) == {"x1_0": 8}
    assert NestGraph(spec).scale(2) == (2, 4, 4)


WRONG: list[tuple[dict[str, Any], str]] = [
    (
        {"encoder": "resnet35"},
        "encoder: 'resnet35' is not allowed, one of vgg11, vgg13",
    ),
    ({"encoder": "timm:"}, "encoder: 'timm:' is not allowed"),
    ({"encoder": "hub:resnet18"}, "encoder: 'hub:resnet18' is not allowed, one of"),
    ({"encoder": "timm:a b"}, "encoder: 'timm:a b' is not allowed, match pattern"),
    (
        {"encoder": "vgg11", "depth": 5},
        "encoder: 'vgg11' is not allowed, it reaches row 4 and the depth is 5",
    ),
    ({"encoder": "vgg11", "encoder_row": 1}, "encoder_row: 1 is not allowed, 0"),
    ({"encoder_row": 0}, "encoder_row: 0 is not allowed without an encoder"),
    (
        {"encoder": "resnet50", "block": {"norm": "group", "groups": 128}},
        "block.groups: 128 is not allowed, a divisor of every width; 16 is one",
    ),
    (
        {
            "encoder": "resnet18",
            "family": "custom",
            "depth": 1,
            "edges": [["x0_0", "x1_0"], ["x1_0", "x0_1"], ["x0_1", "x1_0"]],
        },
        "is a cycle",
    ),
    (
        {
            "encoder": "resnet18",
            "family": "custom",
            "depth": 2,
            "edges": [
                ["x0_0", "x1_0"],
                ["x1_0", "x0_1"],
                ["x1_0", "x2_0"],
                ["x1_0", "x1_1"],
                ["x1_1", "x2_0"],
                ["x1_1", "x0_2"],
            ],
        },
        "edges: x1_1 -> x2_0 is not allowed, the encoder computes x2_0",
    ),
]


@pytest.mark.parametrize(("fields", "message"), WRONG)
def test_what_is_wrong_is_said_in_one_line(
    fields: dict[str, Any], message: str
) -> None:
    with pytest.raises(SpecError) as caught:
        NestSpec(**fields)
    assert message in str(caught.value)
    assert str(caught.value).isprintable()


@st.composite
def encoded(draw: st.DrawFn) -> NestSpec:
    """Networks on narrow encoders of our own."""
    name = draw(st.sampled_from(sorted(ENCODERS)))
    groups, dims = draw(st.integers(1, 2)), draw(st.sampled_from([1, 2, 3]))
    depth = draw(st.integers(1, ENCODERS[name].deepest))
    wide = st.integers(1, 3).map(lambda times: 4 * groups * times)
    stride = st.sampled_from([2, 3]) | st.tuples(*[st.sampled_from([2, 3])] * dims)
    return NestSpec(
        encoder=name,
        depth=depth,
        dims=dims,
        widths=2 * groups,
        family=draw(st.sampled_from(["unet", "unet-e", "unet+", "unet++", "unet3+"])),
        node_widths={node: draw(wide) for node in encoder(name).names(depth)},
        strides=draw(st.tuples(*[stride] * depth)),
        kernel_sizes=draw(st.sampled_from([1, 3, [5, *[3] * depth]])),
        up="nearest",
        in_channels=draw(st.integers(1, 4)),
        block={
            "norm": draw(st.sampled_from(["batch", "group", "layer", "none"])),
            "bias": draw(st.booleans()),
            "groups": groups,
        },
    )


def counted(spec: NestSpec, size: tuple[int, ...]) -> Cost:
    """What torch counts of parameters, MACs and bytes, on the meta device."""
    with torch.device("meta"):
        model, x = build(spec).eval(), torch.empty(1, spec.in_channels, *size)
    with FlopCounterMode(display=False) as flops, torch.no_grad():
        model(x)
    return Cost(
        parameters=sum(p.numel() for p in model.parameters()),
        macs=flops.get_total_flops() // 2,
        weight_bytes=sum(tensor.nbytes for tensor in model.state_dict().values()),
    )


@settings(max_examples=30, deadline=None, phases=[Phase.generate])
@given(spec=encoded())
def test_cost_is_what_torch_counts(spec: NestSpec) -> None:
    graph = NestGraph(spec)
    cost, found = graph_cost(graph, graph.multiples), counted(spec, graph.multiples)
    assert (cost.parameters, cost.macs, cost.weight_bytes) == (
        found.parameters,
        found.macs,
        found.weight_bytes,
    )


def test_the_whole_default_network_is_counted() -> None:
    spec = NestSpec(encoder="resnet50", depth=5)
    size = default_size(NestGraph(spec))
    assert graph_cost(NestGraph(spec), size).macs == counted(spec, size).macs


def test_shapes_are_those_of_the_graph() -> None:
    """What each stage makes, for odd strides too."""
    spec = NestSpec(encoder="resnet18", depth=3, strides=[2, 3, [2, 3]], widths=2)
    graph, shapes = NestGraph(spec), {}
    model = build(spec).eval()

    def note(name: str) -> Any:
        def hook(module: nn.Module, inputs: Any, output: torch.Tensor) -> None:
            shapes[name] = tuple(output.shape)

        return hook

    for node in stages(graph):
        model.get_submodule(node.name).register_forward_hook(note(node.name))
    size = tuple(2 * by for by in graph.multiples)
    model(torch.zeros(1, 3, *size))
    assert shapes == {
        node.name: (1, graph.width(node), *graph.size_at(node.i, size))
        for node in stages(graph)
    }


def test_another_encoder_brings_its_own_widths() -> None:
    one = NestSpec(depth=3, widths=8, encoder="resnet18", node_widths={"x0_3": 5})
    other = NestSpec(depth=3, widths=8, encoder="resnet50", node_widths={"x0_3": 5})
    assert one.replace(encoder="resnet50") == other
    bare = NestSpec(depth=3, widths=8, node_widths={"x0_3": 5})
    assert one.replace(encoder=None) == bare
    assert one.replace(classes=3).encoder == "resnet18"


def test_a_file_cannot_name_an_encoder_that_is_none() -> None:
    with pytest.raises(SpecError, match=r"^encoder: 'vgg17' is not allowed"):
        NestSpec(depth=2, encoder="vgg17", encoder_row=1)
    with pytest.raises(SpecError, match="is not allowed with 3 axes"):
        NestSpec(depth=2, dims=3, encoder="timm:resnet18", encoder_row=1)


@pytest.mark.parametrize(
    ("widths", "message"),
    [
        ({"1_0": 5}, "'1_0' is not allowed, a node of the network"),
        ({"x" + "9" * 5000 + "_0": 17}, "node_widths"),
        ({"x0_9": 16}, "'x0_9' is not allowed"),
        ([("x0_0", 4), ("x0_0", 5)], "'x0_0' is given twice"),
    ],
)
def test_a_width_goes_to_one_node(widths: Any, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        NestSpec(depth=2, node_widths=widths)
