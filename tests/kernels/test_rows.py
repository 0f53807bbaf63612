"""The kernel by rows, under Triton's interpreter, against float64."""

from __future__ import annotations

import sys
from dataclasses import replace

import pytest
import torch

from nestgen.kernels.call import Output
from nestgen.kernels.configurations import Configuration, Gpu, rows_configurations
from nestgen.kernels.fused_conv import fused_conv
from nestgen.kernels.layout import empty_channels_last
from tests.kernels.calls import Case, assert_exact

pytest.importorskip("triton")
pytestmark = pytest.mark.usefixtures("poisoned")

TWO = Configuration(2, 4, 16, 16)
FOUR = Configuration(4, 4, 16, 16)
"""Several tiles on an image that is quickly interpreted."""


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("configuration", [TWO, FOUR], ids=["two", "four"])
@pytest.mark.parametrize(
    "case",
    [
        Case("none", (7, 6), skips=(3, 17, 16), channels=18),
        Case("nearest", (5, 7), skips=(3, 2), low=17, batch=2, slope=0.1),
    ],
    ids=lambda case: case.up,
)
def test_inputs_of_any_width_and_images_of_any_size(
    case: Case, configuration: Configuration, dtype: torch.dtype
) -> None:
    call = case.call(dtype)
    assert_exact(call, fused_conv(call, "rows", configuration))


@pytest.mark.parametrize("up", ["none", "nearest"])
@pytest.mark.parametrize(
    "outputs",
    [("pooled",), ("logits", "features"), ("features", "pooled", "logits")],
    ids="-".join,
)
def test_what_is_made_of_the_features(up: str, outputs: tuple[Output, ...]) -> None:
    call = Case(up, (7, 6), outputs=outputs, slope=0.5).call()  # type: ignore[arg-type]
    for configuration in (TWO, FOUR):
        assert_exact(call, fused_conv(call, "rows", configuration))


@pytest.mark.parametrize("size", [(1, 1), (1, 5), (5, 1), (2, 2), (3, 3)])
@pytest.mark.parametrize("bias", ["none", "vector", "borders"])
def test_borders(size: tuple[int, int], bias: str) -> None:
    call = Case("nearest", size, bias=bias, slope=1.0).call()
    assert_exact(call, fused_conv(call, "rows", FOUR))


def test_no_skips() -> None:
    call = Case("nearest", (4, 6), skips=()).call()
    assert_exact(call, fused_conv(call, "rows", TWO))


def test_skips_lie_anywhere_in_memory() -> None:
    call = Case(skips=(2, 2, 2)).call()
    slots = empty_channels_last(call.weight, 3, 2, 5, 7)
    slots.copy_(torch.cat(list(call.skips)))
    backwards = [slots[slot : slot + 1] for slot in (2, 0, 2)]
    call = replace(call, skips=backwards)
    assert_exact(call, fused_conv(call, "rows", FOUR))


@pytest.mark.parametrize("channels", [8, 40, 128])
@pytest.mark.parametrize("outputs", [("features",), ("logits",)])
def test_every_shipped_configuration(
    channels: int, outputs: tuple[Output, ...]
) -> None:
    call = Case(size=(3, 3), channels=channels, outputs=outputs).call()
    shipped = rows_configurations(call, Gpu(90, sys.maxsize))
    assert len(shipped) > 1
    for configuration in shipped:
        assert_exact(call, fused_conv(call, "rows", configuration))


def test_other_calls_are_refused() -> None:
    call = Case("phases", (4, 4)).call()
    with pytest.raises(ValueError, match="'rows' cannot run this: up='phases', only"):
        fused_conv(call, "rows")
    call = Case(channels=129, outputs=("logits",)).call()
    with pytest.raises(ValueError, match="'rows' cannot run this: logits of 129"):
        fused_conv(call, "rows")


def test_blocks_that_are_none_are_refused() -> None:
    call = Case(channels=17, outputs=("logits",)).call()
    with pytest.raises(ValueError, match="block_co=16 is not allowed, at least the 17"):
        fused_conv(call, "rows", Configuration(4, 4, 16, 16))
    with pytest.raises(ValueError, match="block_h=1 is not allowed, an even number"):
        fused_conv(call, "rows", Configuration(1, 4, 32, 16))


def test_an_empty_batch() -> None:
    call = Case(batch=0).call()
    assert fused_conv(call, "rows")[0].shape == (0, 4, 5, 7)
