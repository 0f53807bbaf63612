"""An up-sampling and its convolution in one are both, at the borders too."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nestgen.arch.spec import NestSpec
from nestgen.codegen.load import build
from nestgen.errors import SettingsError
from nestgen.fusion.choose import RUNTIMES
from nestgen.fusion.composed import Doubled, Interpolated, Transposed
from nestgen.fusion.fuse import fuse
from nestgen.kernels.upcat_conv_reference import up2x

Lived = Callable[[nn.Module], nn.Module]
SIZES = [(1, 1), (1, 4), (5, 3)]


def drawn(*shape: int, seed: int = 0) -> Tensor:
    chance = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=chance, dtype=torch.float64)


def composed(up: str, weight: Tensor) -> tuple[nn.Module, Callable[[Tensor], Tensor]]:
    """The module, and what it is: up-sampling, then the convolution."""
    of_up = (drawn(3, 2, 2, 2, seed=1), drawn(2, seed=2)) if up == "transpose" else ()
    module = {"nearest": Doubled, "bilinear": Interpolated, "transpose": Transposed}[up]
    return module(weight, *of_up), lambda low: F.conv2d(
        up2x(low, up, *of_up), weight, padding=1
    )


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("up", ["transpose", "nearest", "bilinear"])
def test_is_what_it_is_composed_of(up: str, size: tuple[int, int]) -> None:
    module, both = composed(up, drawn(4, 2 if up == "transpose" else 3, 3, 3))
    low = drawn(2, 3, *size, seed=3)
    torch.testing.assert_close(module(low), both(low), rtol=0, atol=1e-12)


@pytest.mark.parametrize("up", ["transpose", "nearest", "bilinear"])
def test_is_the_same_to_a_compiler_which_writes_nothing_in_place(up: str) -> None:
    module, both = composed(up, drawn(4, 2 if up == "transpose" else 3, 3, 3))
    low = drawn(2, 3, 4, 5, seed=3)
    program = torch.export.export(module, (low,))
    names = {str(node.target) for node in program.graph.nodes}
    assert not any(name.split(".")[1:2] == ["sub_"] for name in names)
    torch.testing.assert_close(program.module()(low), both(low), rtol=0, atol=1e-12)


@pytest.mark.parametrize("target", RUNTIMES)
@pytest.mark.parametrize("up", ["transpose", "nearest", "bilinear", "bilinear-aligned"])
def test_a_target_has_its_own_forms(up: str, target: str, lived: Lived) -> None:
    module = lived(build(NestSpec(depth=2, widths=2, up=up, heads=[2]))).double()
    fused = fuse(module, drawn(1, 3, 8, 12), target=target)
    x = drawn(3, 3, 13, 9)
    expected = module(x)
    torch.testing.assert_close(fused(x), expected, rtol=1e-10, atol=1e-10)
    rows = {row.name: row for row in fused.report.rows}
    choice = RUNTIMES[target].get(up)
    for name in ("x0_1.conv1", "x1_1.conv1", "x0_2.conv1"):
        done = ["norm folded"] if choice is None else ["norm folded", str(choice)]
        assert rows[name].done == done
    concatenated = sum(node.target is torch.cat for node in fused.inside.graph.nodes)
    assert concatenated == (3 if choice is None else 0 if choice.apart else 1)
    if up == "transpose":
        assert choice is not None
        gone = ["in x0_1.conv1"] if choice.form == "composed" else []
        assert rows["up0_1"].done == gone


@pytest.mark.parametrize("up", ["transpose", "bilinear"])
@pytest.mark.parametrize("target", RUNTIMES)
def test_what_is_up_sampled_may_be_concatenated_twice(
    up: str, target: str, does: type[nn.Module], lived: Lived
) -> None:
    def doubled(m: nn.Module, x: Tensor) -> Tensor:
        raised = m.up(m.down(x))  # type: ignore[operator]
        y: Tensor = m.conv(torch.cat([raised, x, raised], 1))  # type: ignore[operator]
        return y

    ups: dict[str, nn.Module] = {
        "transpose": nn.ConvTranspose2d(3, 3, 2, 2),
        "bilinear": nn.Upsample(scale_factor=2, mode="bilinear"),
    }
    conv, down = nn.Conv2d(9, 2, 3, padding=1), nn.MaxPool2d(2)
    module = lived(does(doubled, up=ups[up], conv=conv, down=down)).double()
    x = drawn(1, 3, 8, 12)
    fused = fuse(module, x, target=target)
    torch.testing.assert_close(fused(x), module(x), rtol=1e-10, atol=1e-10)
    (row,) = (row for row in fused.report.rows if row.name == "conv")
    assert row.left.count("what it up-samples is read elsewhere too") <= 1


def test_multiplies_less(lived: Lived) -> None:
    """By the formulas: 2.25 taps of 9 for what is doubled, at two channels of two."""
    from torch.utils.flop_counter import FlopCounterMode

    low, weight = torch.zeros(1, 16, 32, 32), torch.zeros(8, 16, 3, 3)
    counted = []
    for run in (Doubled(weight), lambda x: F.conv2d(up2x(x, "nearest"), weight)):
        with FlopCounterMode(display=False) as counter:
            run(low)
        counted.append(counter.get_total_flops())
    assert counted[0] / counted[1] == pytest.approx(2.25 / 9, rel=0.1)


def test_an_unknown_target_is_told() -> None:
    with pytest.raises(SettingsError, match="target: 'tpu' is not allowed, one of eag"):
        fuse(nn.Conv2d(1, 1, 3).eval(), torch.zeros(1, 1, 4, 4), target="tpu")


def test_images_are_channels_last_in_torch_alone(lived: Lived) -> None:
    module = lived(build(NestSpec(depth=1, widths=4)))
    x = torch.zeros(1, 3, 8, 8)
    for target, last in (("eager", True), ("onnxruntime", False)):
        fused = fuse(module, x, target=target)
        weights = [w for w in fused.inside.parameters() if w.ndim == 4]
        kept = [w for w in weights if min(w.shape[1:]) > 1]
        assert kept
        for weight in kept:
            is_last = weight.is_contiguous(memory_format=torch.channels_last)
            assert is_last is last
