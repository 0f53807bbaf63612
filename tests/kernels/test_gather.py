"""The portable kernel, under Triton's interpreter, against float64."""

from __future__ import annotations

import sys
from dataclasses import replace

import pytest
import torch

from nestgen.kernels.call import Output
from nestgen.kernels.configurations import (
    Configuration,
    Gpu,
    gather_configurations,
    shared_bytes,
)
from nestgen.kernels.fused_conv import fused_conv
from nestgen.kernels.layout import empty_channels_last
from tests.kernels.calls import Case, assert_exact

pytest.importorskip("triton")
pytestmark = pytest.mark.usefixtures("poisoned")

SMALL = Configuration(4, 4, 16, 16)
"""Several tiles on an image that is quickly interpreted."""


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize(
    "case",
    [
        Case("none", (5, 4), skips=(3, 17, 17), channels=18),
        Case("nearest", (3, 7), low=17, batch=2, slope=0.1),
        Case("phases", (4, 10), low=17, batch=2),
    ],
    ids=lambda case: case.up,
)
def test_inputs_of_any_width_and_images_of_any_size(
    case: Case, dtype: torch.dtype
) -> None:
    call = case.call(dtype)
    assert_exact(call, fused_conv(call, "gather", SMALL))


@pytest.mark.parametrize("up", ["none", "nearest", "phases"])
@pytest.mark.parametrize(
    "outputs",
    [
        ("pooled",),
        ("logits",),
        ("logits", "features"),
        ("features", "pooled", "logits"),
    ],
    ids="-".join,
)
def test_what_is_made_of_the_features(up: str, outputs: tuple[Output, ...]) -> None:
    size = (6, 4) if up == "phases" else (5, 7)
    call = Case(up, size, outputs=outputs, slope=0.5).call()  # type: ignore[arg-type]
    assert_exact(call, fused_conv(call, "gather", SMALL))


@pytest.mark.parametrize("size", [(1, 1), (1, 5), (5, 1), (2, 2), (3, 3)])
@pytest.mark.parametrize("bias", ["none", "vector", "borders"])
def test_borders(size: tuple[int, int], bias: str) -> None:
    call = Case("nearest", size, bias=bias, slope=1.0).call()
    assert_exact(call, fused_conv(call, "gather", SMALL))


@pytest.mark.parametrize("up", ["nearest", "phases"])
def test_no_skips(up: str) -> None:
    call = Case(up, (4, 6), skips=()).call()  # type: ignore[arg-type]
    assert_exact(call, fused_conv(call, "gather", SMALL))


def test_skips_lie_anywhere_in_memory() -> None:
    call = Case(skips=(2, 2, 2)).call()
    slots = empty_channels_last(call.weight, 3, 2, 5, 7)
    slots.copy_(torch.cat(list(call.skips)))
    backwards = [slots[slot : slot + 1] for slot in (2, 0, 2)]
    call = replace(call, skips=backwards)
    assert_exact(call, fused_conv(call, "gather", SMALL))


@pytest.mark.parametrize("channels", [8, 40, 128])
@pytest.mark.parametrize("outputs", [("features",), ("logits",)])
def test_every_shipped_configuration(
    channels: int, outputs: tuple[Output, ...]
) -> None:
    call = Case(channels=channels, outputs=outputs).call()
    shipped = gather_configurations(call, Gpu(90, sys.maxsize))
    assert len(shipped) > 1
    for configuration in shipped:
        assert_exact(call, fused_conv(call, "gather", configuration))


def test_configurations_fit_in_shared_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    call = Case(skips=(64,), channels=128).call()
    everything = gather_configurations(call)
    name = "nestgen.kernels.configurations.shared_limit"
    monkeypatch.setattr(name, lambda device: 64 * 1024)
    fitting = gather_configurations(call)
    assert 0 < len(fitting) < len(everything)
    assert all(shared_bytes(one, 4) <= 64 * 1024 for one in fitting)


def test_what_is_no_number_stays_none() -> None:
    call = Case(outputs=("features", "pooled"), bias="vector").call()
    assert call.bias is not None
    call.bias[0] = float("nan")
    call.bias[1] = float("-inf")
    for image in fused_conv(call, "gather", SMALL):
        assert image[:, 0].isnan().all()
        assert (image[:, 1] == 0).all()
        assert not image[:, 2:].isnan().any()


def test_a_head_of_more_channels_than_fit_is_refused() -> None:
    call = Case(channels=129, outputs=("logits",)).call()
    with pytest.raises(ValueError, match="'gather' cannot run this: logits of 129"):
        fused_conv(call, "gather")


def test_an_empty_batch() -> None:
    call = Case(batch=0).call()
    assert fused_conv(call, "gather")[0].shape == (0, 4, 5, 7)
