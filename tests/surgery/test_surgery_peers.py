"""Networks of other packages are cut, and give their own bits without the package."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from nestgen.surgery.cut_any import cut_any
from nestgen.surgery.kept import Kept

timm = pytest.importorskip("timm")
nets = pytest.importorskip("monai.networks.nets")


def basic(dims: int) -> nn.Module:
    made: nn.Module = nets.BasicUNetPlusPlus(
        spatial_dims=dims,
        features=(4, 4, 8, 8, 8, 4),
        deep_supervision=True,
        in_channels=2,
    )
    return made


def dynamic() -> nn.Module:
    made: nn.Module = nets.DynUNet(
        2,
        2,
        3,
        [3, 3, 3, 3],
        [1, 2, 2, 2],
        [2, 2, 2],
        filters=[4, 8, 8, 8],
        deep_supervision=True,
        deep_supr_num=2,
    )
    return made


def same(module: nn.Module, keep: str, small: nn.Module, x: Tensor) -> bool:
    with torch.no_grad():
        (one,) = Kept(module.eval(), [keep], 1)(x)
        return torch.equal(one, small(x))


@pytest.mark.parametrize("level", [1, 4])
def test_basic_unetplusplus(level: int) -> None:
    """torch.fx loses its concatenations; its heads come the shallowest first."""
    module, keep = basic(2), str(level - 1)
    cut = cut_any(module, keep, torch.ones(1, 2, 32, 32))
    assert cut.way == "torch.export"
    assert "torch.fx" in cut.rejected
    assert same(module, keep, cut.module, torch.randn(2, 2, 64, 32))
    names = {name.split(".")[0] for name in cut.module.state_dict()}
    assert {name for name in names if "final" in name} == {f"final_conv_0_{level}"}
    encoder = {f"conv_{row}_0" for row in range(level + 1)}
    assert {name for name in names if name.startswith("conv")} == encoder


def test_basic_unetplusplus_of_volumes() -> None:
    module = basic(3)
    cut = cut_any(module, 1, torch.ones(1, 2, 32, 32, 32))
    assert same(module, "1", cut.module, torch.randn(2, 2, 32, 32, 32))


@pytest.mark.parametrize("keep", ["0", "deep_supervision_heads.0"])
def test_dynamic_unet(keep: str) -> None:
    """In eval mode it keeps its deeper heads to itself; their paths name them."""
    module = dynamic()
    cut = cut_any(module, keep, torch.ones(1, 2, 32, 48))
    assert same(module, keep, cut.module, torch.randn(2, 2, 64, 64))
    heads = {name.split(".")[0] for name in cut.module.state_dict() if "head" in name}
    assert heads == ({"deep_supervision_heads"} if keep != "0" else set())


@pytest.mark.parametrize("name", ["resnet18", "efficientnet_b0", "convnext_atto"])
def test_encoders(name: str) -> None:
    """Cut to a stage, an encoder has no parameter of the later ones."""
    module = timm.create_model(name, features_only=True)
    cut = cut_any(module, 1, torch.ones(1, 3, 64, 64))
    assert same(module, "1", cut.module, torch.randn(2, 3, 96, 64))
    whole, left = cut.before.parameters, cut.after.parameters
    assert 0 < left < whole / 3
