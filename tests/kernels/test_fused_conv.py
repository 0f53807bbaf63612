"""One way to call every implementation, and one operator."""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from nestgen.kernels import availability, configurations
from nestgen.kernels.call import OUTPUTS, UPS, Call, Up
from nestgen.kernels.configurations import KERNELS, Gpu
from nestgen.kernels.fused_conv import IMPLEMENTATIONS, fused_conv
from tests.kernels.calls import Case, assert_exact

EVERYTHING = Case("phases", (4, 6), outputs=("logits", "features", "pooled"))


def arguments(call: Call, impl: str) -> tuple[Any, ...]:
    """Those of the operator."""
    head = call.head_weight, call.head_bias
    weights = call.weight, call.bias, call.low, call.low_weight
    of_call = call.up, call.slope, list(call.outputs)
    return (list(call.skips), *weights, *of_call, *head, impl)


@pytest.mark.parametrize("up", UPS)
def test_the_reference_gives_images_in_channels_last(up: Up) -> None:
    call = replace(EVERYTHING, up=up).call()
    outputs = fused_conv(call)
    assert_exact(call, outputs)
    for name, image in zip(call.outputs, outputs, strict=True):
        assert name in OUTPUTS
        assert image.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("impl", sorted(set(IMPLEMENTATIONS) - {"reference"}))
def test_a_gpu_for_which_nothing_is_shipped(
    impl: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("triton")
    monkeypatch.setattr(configurations, "gpu_of", lambda device: Gpu(0, 1024))
    call = Case("phases" if impl == "phase" else "none", (2, 4)).call()
    with pytest.raises(ValueError, match=f"impl='{impl}' cannot run this: nothing"):
        fused_conv(call, impl)


@pytest.mark.parametrize(
    "case",
    [
        EVERYTHING,
        replace(EVERYTHING, channels=1, classes=1, size=(2, 2)),
        Case(bias="none"),
    ],
    ids=["everything", "of-one-channel", "no-low"],
)
def test_the_operator(case: Case) -> None:
    given = arguments(case.call(), "reference")
    torch.library.opcheck(torch.ops.nestgen.fused_conv.default, given)


@pytest.mark.parametrize("impl", sorted(set(IMPLEMENTATIONS) - {"reference"}))
def test_the_operator_by_a_kernel(impl: str) -> None:
    pytest.importorskip("triton")
    case = Case("phases", (2, 4)) if impl == "phase" else Case(size=(2, 3))
    given = arguments(case.call(), impl)
    torch.library.opcheck(torch.ops.nestgen.fused_conv.default, given)


def test_the_operator_keeps_its_dtype_under_autocast() -> None:
    call = Case(bias="none").call()
    with torch.autocast("cpu", torch.bfloat16):
        (y,) = torch.ops.nestgen.fused_conv(*arguments(call, "reference"))
    assert y.equal(fused_conv(call)[0])


@pytest.mark.parametrize("impl", sorted(set(IMPLEMENTATIONS) - {"reference"}))
def test_vectors_lie_anywhere_in_memory(impl: str) -> None:
    pytest.importorskip("triton")
    up: Up = "phases" if impl == "phase" else "none"
    call = Case(up, (2, 4), bias="vector", outputs=("logits",)).call()
    apart = {
        name: torch.stack([vector, torch.full_like(vector, 1e3)], 1)[:, 0]
        for name, vector in [("bias", call.bias), ("head_bias", call.head_bias)]
        if vector is not None
    }
    call = replace(call, **apart)  # type: ignore[arg-type]
    assert_exact(call, fused_conv(call, impl))


class Fused(nn.Module):
    """One node of a graph."""

    def __init__(self, call: Call) -> None:
        super().__init__()
        self.call = call

    def forward(self, skip: Tensor) -> Tensor:
        call = replace(self.call, skips=[skip])
        made: list[Tensor] = torch.ops.nestgen.fused_conv(*arguments(call, "reference"))
        return made[0].relu()


def test_it_is_one_node_to_compilers() -> None:
    call = Case("nearest").call()
    model = Fused(call)
    program = torch.export.export(model, (call.skips[0],))
    nodes = [node for node in program.graph.nodes if node.op == "call_function"]
    named = [str(node.target) for node in nodes]
    assert named.count("nestgen.fused_conv.default") == 1
    assert not any("conv2d" in name for name in named)
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
    assert compiled(call.skips[0]).equal(model(call.skips[0]))


def wrong(**changes: Any) -> Call:
    return replace(EVERYTHING.call(), **changes)


Z = torch.zeros


@pytest.mark.parametrize(
    ("call", "line"),
    [
        (wrong(up="bilinear"), "up='bilinear' is not allowed, none, nearest, phases"),
        (wrong(outputs=()), r"outputs=\[\] is not allowed, some of features, pooled"),
        (wrong(outputs=("sum",)), r"outputs=\['sum'\] is not allowed"),
        (wrong(outputs=("features",) * 2), "is not allowed, some of .*, each once"),
        (wrong(low=None), "low with up='phases' is not allowed"),
        (wrong(up="none"), "low with up='none' is not allowed"),
        (wrong(low_weight=None), "low_weight with up='phases' is not allowed"),
        (replace(Case().call(), skips=()), r"skips=\[\] is not allowed"),
        (wrong(head_weight=None), "head_weight=None is not allowed"),
        (replace(Case().call(), head_weight=None), "a tensor for .* or a head_bias"),
        (wrong(weight=Z(4, 3, 3)), r"weight: \[4, 3, 3\] is not allowed, 4 axes"),
        (wrong(weight=Z(4, 2, 3, 3)), r"weight: .* is not allowed, \[4, 3, 3, 3\]"),
        (wrong(skips=[Z(1, 3, 4, 6), Z(1, 0, 4, 5)]), r"skips\[1\]: \[1, 0, 4, 5\]"),
        (wrong(low=Z(1, 5, 2, 2)), r"low: \[1, 5, 2, 2\] is not .*, \[1, 5, 2, 3\]"),
        (wrong(low_weight=Z(5, 4, 3, 3)), r"low_weight: .*, \[5, 4, 4, 4\]"),
        (wrong(bias=Z(5)), r"bias: \[5\] is not allowed, \[4\] or \[3, 3, 4\]"),
        (wrong(head_weight=Z(3, 5, 1, 1)), r"head_weight: .*, \[3, 4, 1, 1\]"),
        (wrong(head_bias=Z(2)), r"head_bias: \[2\] is not allowed, \[3\]"),
        (wrong(bias=Z(4).half()), "bias: torch.float16 on cpu is not allowed"),
        (
            replace(Case("nearest").call(), up="phases", low_weight=Z(5, 4, 4, 4)),
            "5 x 7 is not allowed, even for 'phases'",
        ),
        (Case(size=(1, 4), outputs=("pooled",)).call(), "1 x 4 is not allowed, 2 x 2"),
    ],
)
def test_what_does_not_fit(call: Call, line: str) -> None:
    with pytest.raises(ValueError, match=line) as caught:
        fused_conv(call)
    assert "\n" not in str(caught.value)


def refusal(call: Call, impl: str = "gather") -> str:
    with pytest.raises(ValueError, match=f"impl='{impl}'") as caught:
        fused_conv(call, impl)
    return str(caught.value)


def test_what_is_named_is_not_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    call = Case().call()
    assert refusal(call, "cudnn").startswith("impl='cudnn' is not allowed, reference")
    cannot = "impl='gather' cannot run this: "
    assert refusal(Case().call(torch.float64)).startswith(f"{cannot}torch.float64, on")
    upright = replace(call, skips=[skip.contiguous() for skip in call.skips])
    assert "strides (105, 35, 7, 1), which is not channels_last" in refusal(upright)
    monkeypatch.setattr(availability, "find_spec", lambda name: None)
    assert refusal(call) == f"{cannot}triton is not installed"


@pytest.mark.parametrize("impl", KERNELS)
@pytest.mark.parametrize("channels", [16, 32, 64, 128])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_something_that_is_shipped_fits_every_gpu(
    impl: str, channels: int, dtype: torch.dtype
) -> None:
    up: Up = "phases" if impl == "phase" else "none"
    for outputs in (("features",), ("logits",)):
        case = Case(up, (2, 2), (64,), channels=channels, outputs=outputs)
        for arch in (0, 80):  # AMD's, and the least of NVIDIA's
            assert KERNELS[impl](case.call(dtype), Gpu(arch, 64 * 1024))


def test_triton_needs_a_gpu_of_a_certain_age(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("triton")
    tiles = import_module("nestgen.kernels.tiles")
    monkeypatch.setattr(tiles.INTERPRETED, "value", False)
    assert "device cpu, only cuda" in refusal(Case().call())
    ages = {"sm_75": (7, 5), "sm_80": (8, 0)}
    gpu = torch.device("cuda")
    lines = []
    for capability in ages.values():
        monkeypatch.setattr(
            torch.cuda, "get_device_capability", lambda device, c=capability: c
        )
        lines.append(availability._why_not_on(gpu))
    assert lines == ["no tensor-core code for this GPU, sm_80 at least", None]
