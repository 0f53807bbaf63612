"""The cut of networks on a backbone: without the deeper stages, the same bits."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from nestgen.arch.graph import NestGraph
from nestgen.arch.spec import NestSpec
from nestgen.checkpoint import load, save
from nestgen.codegen.load import build
from nestgen.errors import CutError
from nestgen.surgery.cut import prune
from nestgen.surgery.proof import prove
from nestgen.surgery.trace import cut_traced
from nestgen.training.optimizer import freeze_unsupervised

Lived = Callable[[NestSpec], nn.Module]

BACKBONES = [
    "vgg11",
    "resnet18",
    "resnet50",
    "timm:resnet18",
    "timm:resnet34",
    "timm:vgg11",
    "timm:vgg16_bn",
    "timm:convnext_atto",
    "timm:mobilenetv3_small_050",
    "timm:efficientnet_b0",
    "timm:efficientnet_lite0",
    "timm:tf_efficientnet_lite0",
    "timm:regnety_002",
    "timm:swinv2_tiny_window8_256",
    "timm:mobilevit_xxs",
    "timm:xception41",
]


def narrow(name: str, depth: int = 2) -> NestSpec:
    return NestSpec(encoder=name, depth=depth, widths=2)


def parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize("name", BACKBONES)
def test_three_ways_to_one_level(name: str, lived: Lived) -> None:
    whole = lived(narrow(name))
    small = prune(whole, 1)
    proof = prove(whole, small, [1])
    assert len(proof.inputs) == 4
    assert set(small.state_dict()) < set(whole.state_dict())
    assert proof.after.parameters == parameters(small) < proof.before.parameters
    assert proof.after.macs < proof.before.macs


@pytest.mark.parametrize("name", ["resnet18", "timm:resnet18", "timm:convnext_atto"])
def test_the_work_falls_with_the_stages(name: str, lived: Lived) -> None:
    """Not the weights alone: so many operations are left out too."""
    whole = lived(narrow(name, 3)).eval()
    x = torch.randn(1, 3, 32, 32)
    counts = []
    for model in (whole, prune(whole, 1)):
        with torch.profiler.profile() as seen, torch.inference_mode():
            model(x)
        names = [event.name for event in seen.events()]
        counts.append(names.count("aten::convolution"))
    assert counts[1] < counts[0] / 3


def test_a_cut_is_saved_loaded_and_cut_again(
    lived: Lived, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A Swin's tables, which are no part of a checkpoint, are there after it."""
    file = tmp_path_factory.mktemp("cut") / "cut.safetensors"
    whole = lived(narrow("timm:swinv2_tiny_window8_256", 3)).eval()
    save(prune(whole, [1, 2]), file)
    again = prune(load(file), 1)
    x = torch.randn(1, 3, 40, 64)
    padded = torch.zeros(1, 3, 64, 64)
    with torch.inference_mode():
        assert torch.equal(again.eval()(padded), whole(padded)["L1"])
        assert again(x).shape == (1, 1, 40, 64)


def test_a_stage_that_no_head_reads_is_frozen() -> None:
    """Exactly what gets no gradient: the deeper stages of the one encoder too."""
    spec = narrow("timm:resnet18", 3)
    torch.manual_seed(0)
    model = build(spec)
    model(torch.randn(2, 3, 32, 32))["L1"].square().sum().backward()
    idle = {name for name, p in model.named_parameters() if p.grad is None}
    assert any(name.startswith("encoder.") for name in idle)
    freeze_unsupervised(model, NestGraph(spec), [1])
    assert {name for name, p in model.named_parameters() if not p.requires_grad} == idle


class Deciding(nn.Module):
    """Reads one input or the other, by what it finds there."""

    def forward(self, one: Tensor, other: Tensor) -> Tensor:
        return one if one.sum() > 0 else other


def test_what_cannot_be_traced_is_said(lived: Lived) -> None:
    whole = lived(NestSpec(depth=2, widths=2))
    whole.x0_1 = Deciding()
    with pytest.raises(CutError, match=r"^torch.fx cannot read this UNetPlusPlus, so "):
        cut_traced(whole, [1])
