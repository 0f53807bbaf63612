"""Grids of networks that nestgen did not write, whatever their modules are called."""

from __future__ import annotations

import copy
import random
from types import ModuleType
from typing import Any

import pytest
import torch
from monai.networks import nets
from torch import Tensor, fx, nn

from nestgen.arch.families import FAMILIES, inputs_by_rule
from nestgen.arch.graph import NestGraph
from nestgen.arch.spec import NestSpec
from nestgen.codegen.load import build
from nestgen.errors import ModuleError
from nestgen.lifting.lift import Lifted, level_outputs, lift

WIDTHS = (2, 2, 4, 4, 8, 2)


def shaken(module: nn.Module) -> nn.Module:
    """`module` with weights and statistics that are nowhere neutral."""
    torch.manual_seed(1)
    with torch.no_grad():
        for tensor in module.state_dict().values():
            if tensor.is_floating_point():
                tensor.add_(0.1 * torch.rand_like(tensor))
    return module


def lifted_from(module: nn.Module, *shape: int) -> Lifted:
    torch.manual_seed(0)
    return lift(shaken(module), torch.randn(shape))


def graph_of(lifted: Lifted) -> NestGraph:
    assert lifted.graph is not None, lifted.why
    return lifted.graph


PORTS = {
    "shallow-first": ("up-last", {"0": 1, "1": 2, "2": 3}),
    "deepest-first": (
        "up-first",
        {"seg.0": 3, "seg.1.0": 2, "seg.1.1": 1, "bottom": None},
    ),
    "pads-odd": ("up-last", {"0": 1, "1": 2}),
    "mean-too": ("up-last", {"0": None, "1.0": 1, "1.1": 2, "1.2": 3}),
    "by-name": ("up-first-newest", {"0": 3}),
}
"""The order of the concatenation and the levels of the outputs."""

WITHOUT_SPEC = {
    "pads-odd": "no spec: L1 differs",
    "mean-too": "no spec: x0_0 is sub, div, convolution",
    "by-name": "no spec: a weight is [1, 4, 3, 3]",
}
"""What adds inside of its blocks; standardises the image; has a head that is wider."""


@pytest.mark.parametrize("name", PORTS)
def test_networks_in_the_styles_of_others(ports: ModuleType, name: str) -> None:
    make, shape = ports.PORTS[name]
    lifted = lifted_from(make(), *shape)
    spec = graph_of(lifted).spec
    assert (spec.family, (spec.concat, lifted.outputs)) == ("unet++", PORTS[name])
    assert lifted.why.startswith(WITHOUT_SPEC.get(name, ""))
    assert (lifted.spec is None) == (name in WITHOUT_SPEC)
    assert lifted.difference == (None if name in WITHOUT_SPEC else 0.0)


@pytest.mark.parametrize("heads", [True, False])
def test_the_style_of_4uiiurz1(style: ModuleType, heads: bool) -> None:
    network = style.SmallNestedUNet(2, deep_supervision=heads)
    lifted = lifted_from(network, 1, 3, 32, 32)
    spec = graph_of(lifted).spec
    assert (spec.family, spec.depth, spec.concat) == ("unet++", 4, "up-last")
    assert spec.heads == ((1, 2, 3, 4) if heads else (4,))
    assert lifted.difference == 0.0
    assert lifted.modules["x2_1"] == ("conv2_1",)
    assert lifted.modules["x3_0 -> x2_1"] == ("up",)
    assert lifted.modules["L4"] == (("final4",) if heads else ("final",))


def test_all_parameters_are_counted_once(style: ModuleType) -> None:
    network = style.SmallNestedUNet(1, deep_supervision=True)
    lifted = lifted_from(network, 1, 3, 32, 32)
    counted = sum(part.parameters for part in lifted.parts.values())
    assert counted == sum(x.numel() for x in network.parameters())


def test_a_plain_u_net(style: ModuleType) -> None:
    lifted = lifted_from(style.SmallUNet(1), 1, 3, 32, 32)
    assert graph_of(lifted).spec.family == "unet"
    assert lifted.difference == 0.0


MONAI: dict[str, tuple[Any, tuple[int, ...], str, int, bool]] = {
    "UNet++": (
        lambda: nets.BasicUNetPlusPlus(2, 1, 2, WIDTHS),
        (1, 1, 32, 32),
        "unet++",
        4,
        True,
    ),
    "UNet++ with heads": (
        lambda: nets.BasicUNetPlusPlus(
            2, 1, 2, WIDTHS, deep_supervision=True, upsample="nontrainable"
        ),
        (1, 1, 32, 32),
        "unet++",
        4,
        True,
    ),
    "U-Net": (
        lambda: nets.BasicUNet(2, 1, 2, WIDTHS, upsample="pixelshuffle"),
        (1, 1, 32, 32),
        "unet",
        4,
        True,
    ),
    "U-Net, volumes": (
        lambda: nets.BasicUNet(3, 1, 2, WIDTHS),
        (1, 1, 32, 32, 32),
        "unet",
        4,
        True,
    ),
    "nnU-Net": (
        lambda: nets.DynUNet(
            3,
            1,
            2,
            [3, 3, 3],
            [1, (1, 2, 2), 2],
            [(1, 2, 2), 2],
            filters=[2, 3, 4],
            deep_supervision=True,
            res_block=True,
        ),
        (1, 1, 8, 16, 16),
        "unet",
        2,
        False,
    ),
    "with attention": (
        lambda: nets.AttentionUnet(2, 1, 2, (2, 3, 4), (2, 2)),
        (1, 1, 16, 16),
        "unet",
        2,
        False,
    ),
    "residual units": (
        lambda: nets.UNet(2, 1, 2, (2, 3, 4, 5), (2, 2, 2), num_res_units=2),
        (1, 1, 32, 32),
        "unet",
        2,
        False,
    ),
    "added": (lambda: nets.SegResNet(2, 8, 1, 2), (1, 1, 32, 32), "unet", 3, False),
}


@pytest.mark.parametrize("name", MONAI)
def test_networks_of_monai(name: str) -> None:
    make, shape, family, depth, written = MONAI[name]
    lifted = lifted_from(make(), *shape)
    graph = graph_of(lifted)
    assert (graph.spec.family, graph.depth) == (family, depth)
    rule = inputs_by_rule(FAMILIES[family].rule, depth)
    assert graph.spec.inputs.keys() <= rule.keys()
    assert all({*found} == {*rule[node]} for node, found in graph.spec.inputs.items())
    assert (lifted.spec is not None) == written, lifted.why
    assert lifted.difference == (0.0 if written else None)


def test_strides_of_one_axis_are_found() -> None:
    make, shape, *_ = MONAI["nnU-Net"]
    assert graph_of(lifted_from(make(), *shape)).spec.strides == ((1, 2, 2), 2)


def test_levels_have_the_names_of_outputs() -> None:
    levels = level_outputs(
        nets.BasicUNetPlusPlus(2, 1, 2, WIDTHS, deep_supervision=True),
        torch.randn(1, 1, 32, 32),
    )
    assert levels == {"L1": "0", "L2": "1", "L3": "2", "L4": "3"}


def test_the_mean_of_the_heads_is_no_level(ports: ModuleType) -> None:
    make, shape = ports.PORTS["mean-too"]
    levels = level_outputs(make(), torch.randn(shape))
    assert levels == {"L1": "1.0", "L2": "1.1", "L3": "1.2"}


def renamed(module: nn.Module, seed: int) -> tuple[nn.Module, dict[str, str]]:
    """The same network of modules with other names, registered in another order."""
    traced = fx.symbolic_trace(copy.deepcopy(module).eval())
    paths = sorted({str(n.target) for n in traced.graph.find_nodes(op="call_module")})
    chance = random.Random(seed)
    names = [f"m{chance.randrange(10**9)}" for _ in paths]
    chance.shuffle(paths)
    new = dict(zip(paths, names, strict=True))
    root = nn.Module()
    for path, name in new.items():
        root.add_module(name, traced.get_submodule(path))
    for node in traced.graph.find_nodes(op="call_module"):
        node.target = new[str(node.target)]
    return fx.GraphModule(root, traced.graph), new


@pytest.mark.parametrize("seed", range(3))
def test_names_and_their_order_say_nothing(style: ModuleType, seed: int) -> None:
    network = shaken(style.SmallNestedUNet(1, deep_supervision=True))
    x = torch.randn(1, 3, 32, 32)
    other, names = renamed(network, seed)
    one, two = lift(network, x), lift(other, x)
    assert one.spec == two.spec is not None
    assert one.outputs == two.outputs
    for part, found in one.modules.items():
        inner = {path for path in names if path.startswith(tuple(found))}
        assert {names[path] for path in inner} == {*two.modules[part]}


def test_the_module_stays_as_it_is(style: ModuleType) -> None:
    network = style.SmallUNet(1).train()
    before = copy.deepcopy(network.state_dict())
    lift(network, torch.randn(1, 3, 32, 32))
    after = network.state_dict()
    assert network.training
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert not any(x._forward_hooks or x._forward_pre_hooks for x in network.modules())


def test_what_does_not_run_is_told() -> None:
    with pytest.raises(
        ModuleError, match=r"does not run on the example \[1, 2, 8, 8\]"
    ):
        lift(nn.Conv2d(3, 4, 3), torch.randn(1, 2, 8, 8))


class Constant(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.ones(1)


def test_what_has_nothing_of_the_image_is_told() -> None:
    with pytest.raises(ModuleError, match="Constant: no output comes of the image"):
        lift(Constant(), torch.randn(1, 2, 8, 8))


@pytest.mark.parametrize("shape", [(3,), (3, 8), (1, 3, 4, 4, 4, 4)])
def test_an_example_is_an_image(shape: tuple[int, ...]) -> None:
    with pytest.raises(ModuleError, match="example: one tensor"):
        lift(nn.Conv2d(3, 4, 3), torch.randn(shape))


def test_what_convolves_nothing_is_told() -> None:
    with pytest.raises(ModuleError, match="ReLU: no weights of its own convolve"):
        lift(nn.ReLU(), torch.randn(1, 3, 8, 8))


def test_weights_may_be_computed_of_others() -> None:
    network = build(NestSpec(depth=1, widths=2))
    for inside in list(network.modules()):
        if isinstance(inside, nn.Conv2d):
            nn.utils.parametrizations.weight_norm(inside)
    assert graph_of(lift(network, torch.randn(1, 3, 16, 16))).spec.depth == 1
