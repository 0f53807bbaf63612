"""Weights of MONAI's BasicUNetPlusPlus come over bit for bit, beside the original."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from nestgen import NestSpec, import_weights
from nestgen.codegen.load import spec_of
from nestgen.errors import WeightsError
from nestgen.foreign.beside import compare
from nestgen.foreign.layouts import find_layout
from nestgen.foreign.weights import read_weights

nets = pytest.importorskip("monai.networks.nets")

Trained = Callable[..., nn.Module]
LAYOUT = "monai-basicunetplusplus"
WIDER, HALVED = (2, 4, 8, 16, 32, 4), (4, 6, 10, 14, 16, 4)
"""Features whose last differs; features of which what comes up is half, not equal."""

GROUP, INSTANCE = {"norm": "group", "groups": 2}, {"norm": "instance"}
CASES: dict[str, tuple[int, dict[str, Any], dict[str, Any]]] = {
    "its defaults": (2, {}, {}),
    "one output": (2, {"deep_supervision": False}, {"heads": [4]}),
    "batch norm": (2, {"norm": "batch", "bias": False, "upsample": "nontrainable"}, {}),
    "group norm": (
        2,
        {"norm": ("group", {"num_groups": 2}), "upsample": "pixelshuffle"},
        {"block": GROUP},
    ),
    "no parameters in the norm": (
        2,
        {"norm": "instance"},
        {"block": {"norm": "instance"}},
    ),
    "no norm": (2, {"norm": None, "act": "elu"}, {"block": {"activation": "elu"}}),
    "relu": (2, {"act": "relu"}, {"block": {"activation": "relu"}}),
    "signals": (1, {"features": HALVED, "upsample": "nontrainable"}, {}),
    "volumes": (3, {"norm": "batch"}, {}),
    "volumes, shuffled": (3, {"features": HALVED, "upsample": "pixelshuffle"}, {}),
    "volumes, interpolated": (3, {"features": HALVED, "upsample": "nontrainable"}, {}),
}


@pytest.fixture
def saved(tmp_path: Path) -> Callable[[nn.Module], Path]:
    def write(model: nn.Module) -> Path:
        torch.save(model.state_dict(), tmp_path / "weights.pt")
        return tmp_path / "weights.pt"

    return write


def size(dims: int, batch: int = 2) -> tuple[int, ...]:
    """Of an input that neither network pads."""
    return (batch, 2, 32, 32, 32)[: 2 + dims]


@pytest.mark.parametrize("case", CASES)
def test_the_outputs_are_equal_level_by_level(
    case: str, trained: Trained, saved: Callable[[nn.Module], Path]
) -> None:
    dims, options, fields = CASES[case]
    options = {"features": WIDER, "deep_supervision": True, **options}
    torch.manual_seed(0)
    theirs = trained(nets.BasicUNetPlusPlus(dims, 2, 3, **options), *size(dims))
    ours = import_weights(saved(theirs), LAYOUT, **fields)
    x = torch.randn(size(dims, 1))
    outputs, listed = ours(x), theirs(x)
    if "heads" in fields:
        assert torch.equal(outputs, listed[0])
    else:
        for level, logits in enumerate(listed, start=1):
            assert torch.equal(outputs[f"L{level}"], logits), level


@pytest.mark.parametrize("upsample", ["deconv", "pixelshuffle", "nontrainable"])
@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("features", [WIDER, HALVED])
def test_parameters_are_those_of_the_original(
    dims: int, upsample: str, features: Any, saved: Callable[[nn.Module], Path]
) -> None:
    theirs = nets.BasicUNetPlusPlus(dims, features=features, upsample=upsample)
    ours = import_weights(saved(theirs), LAYOUT)
    counts = [sum(p.numel() for p in net.parameters()) for net in (ours, theirs)]
    assert counts[0] == counts[1]


def test_the_spec_is_read_off_the_tensors(saved: Callable[[nn.Module], Path]) -> None:
    theirs = nets.BasicUNetPlusPlus(3, 1, 4, HALVED, upsample="nontrainable")
    assert spec_of(import_weights(saved(theirs), LAYOUT)) == NestSpec(
        depth=4,
        dims=3,
        widths=HALVED[:5],
        up="trilinear-aligned",
        up_widths=(6, 5, 7, 8),
        in_channels=1,
        classes=4,
        concat="up-last",
        block={
            "norm": "instance",
            "activation": "leaky_relu",
            "slope": 0.1,
            "bias": True,
        },
    )


def test_the_original_is_built_from_the_spec(
    saved: Callable[[nn.Module], Path],
) -> None:
    file = saved(nets.BasicUNetPlusPlus(2, 2, 3, WIDER, upsample="pixelshuffle"))
    weights, ours = read_weights(file, LAYOUT), import_weights(file, LAYOUT)
    seen = compare(ours, weights, str(find_layout(LAYOUT).original))
    assert seen.difference == 0
    assert seen.statement == (
        "L1, L2, L3, L4 == monai.networks.nets:BasicUNetPlusPlus, bit for bit, "
        "on 4 inputs"
    )
    other = import_weights(file, LAYOUT, block={"activation": "hardswish"})
    with pytest.raises(
        WeightsError, match="activation: 'hardswish' is none of MONAI's"
    ):
        compare(other, weights, str(find_layout(LAYOUT).original))


def test_what_the_spec_cannot_say_is_refused_by_its_tensors(
    saved: Callable[[nn.Module], Path],
) -> None:
    theirs = nets.BasicUNetPlusPlus(2, 2, 3, WIDER, act="prelu")
    with pytest.raises(WeightsError, match=r"unknown conv_0_0.conv_0.adn.A.weight, "):
        import_weights(saved(theirs), LAYOUT)
