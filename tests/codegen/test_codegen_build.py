"""`build`: the generated file is the network, and torch's tools can read it."""

from __future__ import annotations

import copy
import inspect
import io
import math
import traceback
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from nestgen.arch.graph import NestGraph
from nestgen.arch.spec import NestSpec
from nestgen.codegen.load import build, load_class
from nestgen.codegen.source import source

Specs = dict[str, NestSpec]
FAMILIES: Any = ["unet-e", "unet+", "unet++"]
TRACED = [
    NestSpec(depth=1, widths=2),
    NestSpec(depth=3, widths=2, block={"dropout": 0.5, "activation": "silu"}),
    NestSpec(family="unet", depth=2, widths=2, up="bilinear-aligned", concat="up-last"),
    NestSpec(
        family="unet-e", depth=3, widths=2, up="nearest", block={"norm": "instance"}
    ),
    NestSpec(family="unet+", depth=3, widths=4, up="bilinear", heads=[1, 3]),
]


def narrow(depth: int, **fields: Any) -> NestSpec:
    return NestSpec(depth=depth, widths=[3] * (depth + 1), **fields)


def by_level(outputs: Any) -> dict[str, Tensor]:
    return dict(outputs) if isinstance(outputs, dict) else {"L": outputs}


def assert_same_bits(found: Any, expected: Any) -> None:
    found, expected = by_level(found), by_level(expected)
    assert list(found) == list(expected)
    for level in expected:
        assert torch.equal(found[level], expected[level]), level


def test_state_dict_is_that_of_the_golden_file(
    golden_name: str, golden_specs: Specs, load_golden: Callable[[str], ModuleType]
) -> None:
    spec = golden_specs[golden_name]
    with torch.device("meta"):
        ours = build(spec).state_dict()
        file = getattr(load_golden(golden_name), spec.class_name)().state_dict()
    assert {name: t.shape for name, t in ours.items()} == {
        name: t.shape for name, t in file.items()
    }
    assert list(ours) == list(file)


def test_outputs_are_keyed_by_level() -> None:
    x = torch.zeros(2, 5, 8, 16)
    many = build(narrow(3, in_channels=5, classes=4, heads=[1, 3]))(x)
    assert {level: tuple(y.shape) for level, y in many.items()} == {
        "L1": (2, 4, 8, 16),
        "L3": (2, 4, 8, 16),
    }
    one = build(narrow(3, in_channels=5, heads=[3]))(x)
    assert tuple(one.shape) == (2, 1, 8, 16)


def test_each_spec_has_one_class() -> None:
    spec = narrow(2)
    assert load_class(spec) is load_class(narrow(2))
    assert load_class(spec) is not load_class(narrow(2, classes=2))
    assert build(spec).spec == spec
    assert build(spec) is not build(spec)


def test_the_text_is_seen_by_python() -> None:
    spec = narrow(2, title="seen")
    shown = inspect.getsource(load_class(spec))
    assert shown.strip() in source(spec)
    assert inspect.getsource(inspect.getmodule(load_class(spec))) == source(spec)  # type: ignore[arg-type]
    with pytest.raises(RuntimeError) as caught:
        build(spec)(torch.zeros(1, 2, 4, 4))
    lines = "".join(traceback.format_exception(caught.value))
    assert "x0_0 = self.x0_0(fitted)  # [N, 3, H, W]" in lines
    assert "<nestgen unetpp_d2_" in lines


def test_weights_are_drawn_as_he_says() -> None:
    """The deviation of n normal numbers has one of 1 / sqrt(2 n), relatively."""
    torch.manual_seed(0)
    model = build(NestSpec(depth=3, widths=16, block={"bias": True}))
    for module in model.modules():
        if not isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
            continue
        weight = module.weight.detach()
        expected = math.sqrt(2 / weight[0].numel())
        sigmas = (weight.std() / expected - 1) * math.sqrt(2 * weight.numel())
        assert abs(sigmas) < 5
        assert abs(weight.mean() / expected) * math.sqrt(weight.numel()) < 5
        assert module.bias is not None
        assert not module.bias.any()


def test_the_same_seed_draws_the_same_weights() -> None:
    drawn = []
    for _ in range(2):
        torch.manual_seed(3)
        drawn.append(build(narrow(2)).state_dict())
    assert all(torch.equal(drawn[0][name], drawn[1][name]) for name in drawn[0])


def test_copies_and_saved_states_are_whole() -> None:
    model, x = build(narrow(2)).eval(), torch.randn(1, 3, 8, 8)
    twin = copy.deepcopy(model)
    assert twin.spec == model.spec
    assert_same_bits(twin(x), model(x))
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    file.seek(0)
    other = build(narrow(2)).eval()
    other.load_state_dict(torch.load(file, weights_only=True))
    assert_same_bits(other(x), model(x))


def idle_nodes(spec: NestSpec) -> set[str]:
    """The nodes of which some parameter gets no gradient from any head."""
    torch.manual_seed(0)
    model = build(spec)
    outputs = by_level(model(torch.randn(2, 3, 2**spec.depth * 2, 2**spec.depth * 2)))
    total = torch.stack([y.square().mean() for y in outputs.values()]).sum()
    total.backward()  # type: ignore[no-untyped-call]
    return {
        name.split(".")[0]
        for name, parameter in model.named_parameters()
        if parameter.grad is None or not parameter.grad.any()
    }


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("depth", [1, 3, 4])
def test_deep_supervision_reaches_every_parameter(family: Any, depth: int) -> None:
    spec = NestSpec(family=family, depth=depth, widths=8)
    assert idle_nodes(spec) == set()


@pytest.mark.parametrize("depth", [2, 3, 4])
def test_the_ensemble_without_it_leaves_its_inner_decoders(depth: int) -> None:
    spec = NestSpec(family="unet-e", depth=depth, widths=8, heads=[depth])
    graph = NestGraph(spec)
    idle = {node.name for node in set(graph.nodes) - graph.needed(spec.depth)}
    found = {name for name in idle_nodes(spec) if name.startswith("x")}
    assert found == idle
    assert len(idle) == depth * (depth - 1) // 2
    assert idle_nodes(NestGraph(spec).level(depth).spec) == set()


@pytest.mark.parametrize("spec", TRACED, ids=lambda spec: spec.stem)
def test_fx_reads_it(spec: NestSpec) -> None:
    model, x = build(spec).eval(), torch.randn(2, 3, 16, 32)
    with torch.no_grad():
        assert_same_bits(torch.fx.symbolic_trace(model)(x), model(x))


@pytest.mark.parametrize("spec", TRACED[1:4], ids=lambda spec: spec.stem)
def test_export_reads_it(spec: NestSpec) -> None:
    model, x = build(spec).eval(), torch.randn(2, 3, 16, 32)
    with torch.no_grad():
        exported = torch.export.export(model, (x,), strict=False)
        assert_same_bits(exported.module()(x), model(x))


def test_compile_reads_it_in_one_graph() -> None:
    graphs = []

    def count(module: torch.fx.GraphModule, inputs: Any) -> Callable[..., Any]:
        graphs.append(module)
        return module.forward

    model, x = build(TRACED[1]).eval(), torch.randn(1, 3, 16, 16)
    with torch.no_grad():
        compiled = torch.compile(model, backend=count, fullgraph=True)
        assert_same_bits(compiled(x), model(x))
    assert len(graphs) == 1
