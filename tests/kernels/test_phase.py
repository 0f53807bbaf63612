"""The kernel by phases, under Triton's interpreter, against float64."""

from __future__ import annotations

import sys
from dataclasses import replace

import pytest
import torch

from nestgen.kernels.call import Output
from nestgen.kernels.configurations import Configuration, Gpu, phase_configurations
from nestgen.kernels.fused_conv import fused_conv
from nestgen.kernels.layout import empty_channels_last
from tests.kernels.calls import Case, assert_exact

pytest.importorskip("triton")
pytestmark = pytest.mark.usefixtures("poisoned")

SMALL = Configuration(8, 8, 16, 16)
"""Several tiles on an image that is quickly interpreted."""


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_inputs_of_any_width_and_images_of_any_size(dtype: torch.dtype) -> None:
    case = Case("phases", (10, 6), skips=(3, 17), low=18, channels=18)
    call = case.call(dtype)
    assert_exact(call, fused_conv(call, "phase", SMALL))


@pytest.mark.parametrize(
    "outputs",
    [("pooled",), ("logits", "features"), ("features", "pooled", "logits")],
    ids="-".join,
)
def test_what_is_made_of_the_features(outputs: tuple[Output, ...]) -> None:
    call = Case("phases", (6, 10), outputs=outputs, slope=0.5, batch=2).call()
    assert_exact(call, fused_conv(call, "phase", SMALL))


@pytest.mark.parametrize("size", [(2, 2), (2, 6), (6, 2)])
@pytest.mark.parametrize("bias", ["none", "vector", "borders"])
def test_borders(size: tuple[int, int], bias: str) -> None:
    call = Case("phases", size, bias=bias, slope=1.0).call()
    assert_exact(call, fused_conv(call, "phase", SMALL))


def test_no_skips() -> None:
    call = Case("phases", (4, 6), skips=()).call()
    assert_exact(call, fused_conv(call, "phase", SMALL))


def test_skips_lie_anywhere_in_memory() -> None:
    call = Case("phases", (4, 4), skips=(2, 2, 2)).call()
    slots = empty_channels_last(call.weight, 3, 2, 4, 4)
    slots.copy_(torch.cat(list(call.skips)))
    backwards = [slots[slot : slot + 1] for slot in (2, 0, 2)]
    call = replace(call, skips=backwards)
    assert_exact(call, fused_conv(call, "phase", SMALL))


@pytest.mark.parametrize("channels", [8, 40, 128])
@pytest.mark.parametrize("outputs", [("features",), ("logits",)])
def test_every_shipped_configuration(
    channels: int, outputs: tuple[Output, ...]
) -> None:
    call = Case("phases", (4, 4), channels=channels, outputs=outputs).call()
    shipped = phase_configurations(call, Gpu(90, sys.maxsize))
    assert shipped
    for configuration in shipped:
        assert_exact(call, fused_conv(call, "phase", configuration))


def test_other_calls_are_refused() -> None:
    call = Case("nearest", (4, 4)).call()
    with pytest.raises(ValueError, match="'phase' cannot run this: up='nearest', only"):
        fused_conv(call, "phase")
    call = Case("phases", (4, 4), channels=129, outputs=("logits",)).call()
    with pytest.raises(ValueError, match="'phase' cannot run this: logits of 129"):
        fused_conv(call, "phase")


def test_blocks_that_are_none_are_refused() -> None:
    call = Case("phases", (4, 4), channels=17, outputs=("logits",)).call()
    with pytest.raises(ValueError, match="block_co=16 is not allowed, at least the 17"):
        fused_conv(call, "phase", Configuration(4, 4, 16, 16))
    with pytest.raises(ValueError, match="block_h=1 is not allowed, an even number"):
        fused_conv(call, "phase", Configuration(1, 4, 32, 16))


def test_an_empty_batch() -> None:
    call = Case("phases", (4, 6), batch=0).call()
    assert fused_conv(call, "phase")[0].shape == (0, 4, 4, 6)
