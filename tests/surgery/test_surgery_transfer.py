"""The laws of the transfer: what is carried computes at first what it computed."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable
from typing import Any, get_args

import pytest
import torch
from torch import Tensor, nn

from nestgen import prune, transfer
from nestgen.arch.choices import BlockKind, Concat, Norm, Skip
from nestgen.arch.spec import NestSpec
from nestgen.codegen.load import build
from nestgen.errors import SpecError
from nestgen.surgery.transfer import Part, Transfer

Lived = Callable[[NestSpec], nn.Module]


def pair(lived: Lived, family: str = "unet", depth: int = 3, **fields: Any) -> Transfer:
    """A UNet++ that took over a network of `family`; both have lived, in float64."""
    one = NestSpec(family=family, depth=depth, widths=4, **fields)
    other = NestSpec(depth=depth, widths=4, **fields)
    source, target = (lived(spec).double().eval() for spec in (one, other))
    made = transfer(source, target)
    compare(source, made)
    return made


def compare(source: nn.Module, made: Transfer) -> None:
    """Every level that is said to be the source's gives the source's logits."""
    spec: Any = made.model.spec
    sizes = (2, spec.in_channels, *(2 ** (spec.depth + 1),) * spec.dims)
    x = torch.randn(sizes, generator=torch.Generator().manual_seed(0)).double()
    before, after = (by_level(net, x) for net in (source, made.model))
    for level in made.levels:
        torch.testing.assert_close(after[f"L{level}"], before[f"L{level}"])


def by_level(network: nn.Module, x: Tensor) -> dict[str, Tensor]:
    spec: Any = network.spec
    with torch.inference_mode():
        outputs = network(x)
    return outputs if isinstance(outputs, dict) else {f"L{spec.heads[-1]}": outputs}


def equal(one: nn.Module, other: nn.Module) -> bool:
    a, b = one.state_dict(), other.state_dict()
    return list(a) == list(b) and all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_a_unet_is_the_last_level_of_the_unetpp_that_took_it_over(
    depth: int, lived: Lived
) -> None:
    assert pair(lived, depth=depth).levels == (depth,)


@pytest.mark.parametrize("kind", get_args(BlockKind))
@pytest.mark.parametrize("norm", get_args(Norm))
def test_blocks_and_norms(kind: str, norm: str, lived: Lived) -> None:
    block = {"kind": kind, "norm": norm, "groups": 2, "bias": True}
    mixed = kind == "double-preact" and norm in ("group", "layer")
    levels = pair(lived, in_channels=4, block=block).levels
    assert levels == (() if mixed else (3,))


@pytest.mark.parametrize("kind", ["double", "double-preact", "residual"])
def test_standardised_weights(kind: str, lived: Lived) -> None:
    """Zeros beside weights change their mean and deviation."""
    assert pair(lived, block={"kind": kind, "standardise": True}).levels == ()


@pytest.mark.parametrize("skip", get_args(Skip))
@pytest.mark.parametrize("up", ["transpose", "bilinear", "pixel-shuffle-blur"])
@pytest.mark.parametrize("concat", get_args(Concat))
def test_edges(skip: str, up: str, concat: str, lived: Lived) -> None:
    fields = {"up": up, "concat": concat, "skip": skip}
    assert pair(lived, depth=2, **fields).levels == (2,)


@pytest.mark.parametrize("family", ["unet-e", "unet+", "unet++"])
def test_each_level_of_a_nest_is_carried(family: str, lived: Lived) -> None:
    assert pair(lived, family).levels == (1, 2, 3)


@pytest.mark.parametrize("dims", [1, 3])
def test_other_numbers_of_axes(dims: int, lived: Lived) -> None:
    assert pair(lived, depth=2, dims=dims).levels == (2,)


def test_another_order_of_the_inputs_changes_no_output(lived: Lived) -> None:
    for one, other in itertools.permutations(get_args(Concat), 2):
        source, target = (
            lived(NestSpec(depth=3, widths=2, concat=concat)).double().eval()
            for concat in (one, other)
        )
        made = transfer(source, target)
        compare(source, made)
        assert made.levels == (1, 2, 3)
        assert "left" not in {part.state for part in made.parts}
        assert not all(part.state == "copied" for part in made.parts)


def test_there_and_back_gives_the_same_tensors(lived: Lived) -> None:
    for kind in get_args(BlockKind):
        fields: Any = {"depth": 3, "widths": 4, "block": {"kind": kind}}
        unet = lived(NestSpec(family="unet", **fields))
        nested = transfer(unet, build(NestSpec(**fields))).model
        back = transfer(nested, build(NestSpec(family="unet", **fields)))
        assert equal(back.model, unet), kind
        assert back.levels == (), "what was dropped may have had a part"


def test_a_deeper_network_takes_over_a_shallower_one(lived: Lived) -> None:
    source = lived(NestSpec(depth=2, widths=2)).double().eval()
    made = transfer(source, build(NestSpec(depth=4, widths=2)).double().eval())
    compare(source, made)
    assert made.levels == (1, 2)
    kept, own = prune(made.model, [1, 2]).state_dict(), source.state_dict()
    assert kept.keys() == own.keys()
    assert all(torch.equal(kept[name], own[name]) for name in own)


def test_between_equal_networks_everything_is_copied(lived: Lived) -> None:
    spec = NestSpec(
        depth=2, widths=2, skip="gate", block={"norm": "group", "groups": 2}
    )
    made = transfer(lived(spec), build(spec))
    assert equal(made.model, lived(spec))
    assert {part.state for part in made.parts} == {"copied"}
    assert made.levels == (1, 2)


def test_source_and_target_stay_as_they_are(lived: Lived) -> None:
    source = lived(NestSpec(family="unet", depth=2, widths=2))
    target = build(NestSpec(depth=2, widths=2)).eval()
    target.x1_0.requires_grad_(False)
    kept = copy.deepcopy(source), copy.deepcopy(target)
    made = transfer(source, target).model
    assert equal(kept[0], source)
    assert equal(kept[1], target)
    assert not equal(made, target)
    assert not any(module.training for module in made.modules())
    frozen = {name for name, p in made.named_parameters() if not p.requires_grad}
    assert frozen == {n for n, p in made.named_parameters() if n.startswith("x1_0.")}


def parts(source: NestSpec, target: NestSpec) -> dict[str, Part]:
    made = transfer(build(source), build(target))
    return {part.name: part for part in made.parts}


def test_every_module_is_in_the_report_with_its_reason() -> None:
    fields: Any = {"depth": 2, "widths": 2, "in_channels": 1}
    found = parts(NestSpec(family="unet", **fields), NestSpec(**fields))
    assert {name: (part.state, part.why) for name, part in found.items()} == {
        "x0_0": ("copied", ""),
        "x1_0": ("copied", ""),
        "up0_1": ("left", "the source has none"),
        "x0_1": ("left", "the source has none"),
        "x2_0": ("copied", ""),
        "up1_1": ("copied", ""),
        "x1_1": ("copied", ""),
        "up0_2": ("copied", ""),
        "x0_2": ("reconciled", "zeros for x0_1"),
        "head_L1": ("left", "the source has none"),
        "head_L2": ("copied", ""),
    }
    back = parts(NestSpec(**fields), NestSpec(family="unet", **fields))
    assert back["x0_2"].why == "without x0_1"


@pytest.mark.parametrize(
    ("fields", "name", "why"),
    [
        ({"in_channels": 1}, "x0_0", "the image brings 1 channels there, 3 here"),
        ({"classes": 3}, "head_L1", "bias is [3] there, [1] here"),
        ({"widths": (2, 4, 16)}, "x2_0", "conv1.weight is [16, 4, 3, 3] there, [8,"),
        ({"up": "bilinear"}, "x0_1", "x1_0 brings 4 channels there, 2 here"),
        ({"up": "bilinear"}, "up0_1", "the source has none"),
        ({"block": {"kind": "residual"}}, "x0_0", "the source alone has norm3.bias"),
        ({"block": {"norm": "none"}}, "x0_0", "the target alone has norm1.bias"),
        ({"block": {"bias": True}}, "x0_0", "the source alone has conv1.bias"),
        ({"kernel_sizes": 5}, "x0_0", "conv1.weight is [2, 3, 5, 5] there, [2, 3, 3"),
        ({"family": "unet3+", "up": None}, "head_L1", "the source has none"),
    ],
)
def test_what_does_not_fit_is_left_as_it_was(
    fields: dict[str, Any], name: str, why: str
) -> None:
    common: dict[str, Any] = {"depth": 2, "widths": 2}
    given = {key: value for key, value in fields.items() if value is not None}
    found = parts(NestSpec(**{**common, **given}), NestSpec(**common))
    assert found[name].state == "left"
    assert why in found[name].why


def test_a_node_with_none_of_the_same_inputs_is_left() -> None:
    encoder = [("x0_0", "x1_0"), ("x1_0", "x2_0"), ("x2_0", "x1_1")]
    fields: Any = {"depth": 2, "family": "custom", "widths": 2, "heads": [2]}
    one, other = (
        NestSpec(
            edges=[*encoder, (source, "x0_1"), ("x1_1", "x0_2"), ("x0_1", "x0_2")],
            **fields,
        )
        for source in ("x1_0", "x0_0")
    )
    assert parts(one, other)["x0_1"].why == "it has none of the same inputs"


@pytest.mark.parametrize(
    "fields",
    [
        {"block": {"activation": "elu"}},
        {"up": "nearest"},
        {"strides": [2, 4]},
        {"block": {"norm": "instance"}},
    ],
)
def test_another_rule_without_tensors_carries_no_level(fields: dict[str, Any]) -> None:
    common: dict[str, Any] = {
        "depth": 2,
        "widths": 4,
        "up": "bilinear",
        "block": {"norm": "group", "groups": 2},
    }
    made = transfer(
        build(NestSpec(**common)), build(NestSpec(**common).replace(**fields))
    )
    assert {part.state for part in made.parts} == {"copied"}
    assert made.levels == ((1,) if "strides" in fields else ())


def test_a_level_needs_its_inputs_and_its_head() -> None:
    fields: Any = {"depth": 3, "widths": 2}
    nested = build(NestSpec(**fields))
    assert transfer(nested, build(NestSpec(family="unet-e", **fields))).levels == (1,)
    assert transfer(nested, build(NestSpec(classes=2, **fields))).levels == ()


def test_gates_look_at_the_first_that_comes_up(lived: Lived) -> None:
    encoder = [("x0_0", "x1_0"), ("x1_0", "x2_0"), ("x2_0", "x1_1")]
    fields: Any = {"depth": 2, "family": "custom", "widths": 2, "heads": [2]}
    ups, last = [("x1_0", "x0_2"), ("x1_1", "x0_2")], ("x0_0", "x0_2")
    for skip, levels in (("plain", (2,)), ("gate", ())):
        source, target = (
            lived(NestSpec(edges=[*encoder, *order, last], skip=skip, **fields))
            for order in (ups, ups[::-1])
        )
        made = transfer(source.double().eval(), target.double().eval())
        assert {part.state for part in made.parts} == {"copied", "reconciled"}
        assert made.levels == levels
        compare(source, made)


def test_dropout_is_no_other_rule() -> None:
    spec = NestSpec(depth=2, widths=2)
    made = transfer(build(spec), build(spec.replace(block={"dropout": 0.5})))
    assert made.levels == (1, 2)


def test_only_networks_of_nestgen_are_carried() -> None:
    with pytest.raises(SpecError, match="Linear has no spec"):
        transfer(nn.Linear(1, 1), build(NestSpec(depth=1, widths=2)))


@pytest.mark.parametrize("encoder", ["resnet18", "vgg11", "timm:resnet18"])
def test_an_encoder_is_carried_whole(encoder: str) -> None:
    """Its stages go by name; what the decoder's nodes read of them, by edge."""
    fields: dict[str, Any] = {"depth": 2, "widths": 4, "encoder": encoder}
    unet = build(NestSpec(family="unet", **fields)).eval()
    made = transfer(unet, build(NestSpec(**fields)).eval())
    x = torch.randn(1, 3, 32, 32)
    assert made.levels == (2,)
    with torch.inference_mode():
        torch.testing.assert_close(made.model(x)["L2"], unet(x))
