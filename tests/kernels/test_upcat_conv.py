"""The operator is its reference, differentiable, and one node to torch's compilers."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import torch
from torch import Tensor

from nestgen.kernels import lowering
from nestgen.kernels.call import Call
from nestgen.kernels.call_reference import run_reference
from nestgen.kernels.configurations import Configuration
from nestgen.kernels.fused_conv import IMPLEMENTATIONS, Implementation
from nestgen.kernels.layout import channels_last
from nestgen.kernels.raise2x import raise2x
from nestgen.kernels.upcat_conv import upcat_conv
from nestgen.kernels.upcat_conv_reference import UPS, upcat_conv_reference


@dataclass(frozen=True)
class Case:
    """Arguments of `upcat_conv` that fit one another."""

    up: str = "transpose"
    size: tuple[int, int] = (4, 6)
    skips: tuple[int, ...] = (2, 3)
    low: bool = True
    bias: bool = True
    options: dict[str, Any] = field(default_factory=dict)

    def tensors(self, dtype: torch.dtype = torch.float64) -> dict[str, Any]:
        """Random tensors by the names of the arguments."""
        chance = torch.Generator().manual_seed(0)

        def random(*shape: int) -> Tensor:
            x = torch.randn(shape, generator=chance, dtype=torch.float64)
            return x.to(dtype)

        height, width = self.size
        learned = self.low and self.up == "transpose"
        raised = (2 if learned else 3) if self.low else 0
        low = random(2, 3, (height + 1) // 2, (width + 1) // 2)
        return {
            "low": low if self.low else None,
            "skips": [random(2, channels, *self.size) for channels in self.skips],
            "weight": random(4, sum(self.skips) + raised, 3, 3),
            "bias": random(4) if self.bias else None,
            "up_weight": random(3, 2, 2, 2) if learned else None,
            "up_bias": random(2) if learned and self.bias else None,
        }

    def run(self, of: Any, tensors: dict[str, Any], **options: Any) -> Tensor:
        """`of` is the operator or its reference."""
        images = {name: tensors[name] for name in ("low", "skips", "weight", "bias")}
        up = {name: tensors[name] for name in ("up_weight", "up_bias")}
        y: Tensor = of(*images.values(), up=self.up, **up, **self.options, **options)
        return y


CASES = [
    *(Case(up) for up in UPS),
    *(Case(up, size=(5, 3), skips=(1,), options={"up_last": True}) for up in UPS),
    *(Case(up, skips=(), options={"slope": 1.0}) for up in UPS),
    Case(low=False, options={"slope": 0.1}),
    Case(bias=False),
    Case(size=(1, 1), skips=(2,)),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_equals_its_reference_forward_and_backward(case: Case) -> None:
    found = []
    for of in (upcat_conv, upcat_conv_reference):
        tensors = case.tensors()
        leaves = [tensors["low"], *tensors["skips"], *list(tensors.values())[2:]]
        leaves = [x.requires_grad_() for x in leaves if x is not None]
        y = case.run(of, tensors)
        weights = torch.linspace(-1, 1, y.numel(), dtype=y.dtype).reshape(y.shape)
        found.append((y, torch.autograd.grad((y * weights).sum(), leaves)))
    (y, gradients), (expected, by_autograd) = found
    assert y.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(y, expected, rtol=0, atol=0)
    torch.testing.assert_close(gradients, by_autograd, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("case", CASES[:6], ids=str)
def test_gradients_are_those_of_finite_differences(case: Case) -> None:
    case = replace(case, size=(case.size[0] // 2, 2))
    tensors = case.tensors()
    names = [name for name, x in tensors.items() if isinstance(x, Tensor)]
    leaves = [tensors[name].requires_grad_() for name in names]
    skips = [x.requires_grad_() for x in tensors["skips"]]

    def run(*inputs: Tensor) -> Tensor:
        given = dict(zip(names, inputs, strict=False))
        return case.run(
            upcat_conv, tensors | given | {"skips": list(inputs[len(names) :])}
        )

    assert torch.autograd.gradcheck(run, (*leaves, *skips))


@pytest.mark.parametrize("case", [CASES[0], CASES[5], CASES[-3]], ids=str)
def test_is_an_operator_that_torch_can_trust(case: Case) -> None:
    tensors = case.tensors(torch.float32)
    for x in (tensors["weight"], *tensors["skips"]):
        x.requires_grad_()
    low, skips, weight, bias, up_weight, up_bias = tensors.values()
    last, slope = case.options.get("up_last", False), case.options.get("slope", 0.0)
    arguments = (low, skips, weight, bias, case.up, up_weight, up_bias, last, slope)
    torch.library.opcheck(torch.ops.nestgen.upcat_conv, (*arguments, "reference"))


@pytest.mark.parametrize("up", ["transpose", "nearest"])
def test_so_is_its_backward_whatever_the_layout(up: str) -> None:
    case = Case(up, size=(8, 8), skips=(16,))
    low, skips, weight, _, up_weight, up_bias = (
        channels_last(x) if isinstance(x, Tensor) and x.ndim == 4 else x
        for x in case.tensors(torch.float32).values()
    )
    skips = [channels_last(skip) for skip in skips]
    y = channels_last(torch.ones(2, 4, 8, 8))
    of_up = up, up_weight, up_bias, False, 0.0
    torch.library.opcheck(
        torch.ops.nestgen.upcat_conv_backward, (y, y, low, skips, weight, *of_up)
    )


@pytest.mark.parametrize("up", ["transpose", "nearest"])
@pytest.mark.parametrize("size", [(2, 2), (4, 6), (2, 8)])
@pytest.mark.parametrize("up_last", [False, True])
def test_composed_is_exact_at_the_borders_too(
    up: str, size: tuple[int, int], up_last: bool
) -> None:
    case = Case(up, size=size, options={"up_last": up_last, "slope": 1.0})
    tensors = case.tensors()
    y = case.run(upcat_conv, tensors, impl="composed")
    torch.testing.assert_close(
        y, case.run(upcat_conv_reference, tensors), rtol=1e-12, atol=1e-12
    )


BY_KERNELS = [
    *(("gather", Case(up, size=(2, 4))) for up in UPS),
    ("gather", Case("bilinear", (3, 5), (1,), options={"up_last": True})),
    ("gather", Case(size=(3, 2), skips=(1,))),
    ("gather", Case(low=False, size=(2, 3))),
    ("rows", Case("nearest", (3, 5), options={"slope": 0.5})),
    ("rows", Case(skips=(), size=(2, 4))),
    ("rows", Case("bilinear-aligned", (3, 5))),
    ("phase", Case(size=(2, 4), options={"up_last": True})),
    ("phase", Case("nearest", (2, 4), skips=())),
]


@pytest.mark.parametrize(("impl", "case"), BY_KERNELS, ids=str)
def test_by_a_kernel_is_as_exact_and_channels_last(impl: str, case: Case) -> None:
    pytest.importorskip("triton")
    tensors = case.tensors(torch.float32)
    exact = case.run(upcat_conv_reference, case.tensors())
    weight = tensors["weight"].requires_grad_()
    y = case.run(upcat_conv, tensors, impl=impl)
    own = case.run(upcat_conv_reference, tensors)
    assert y.is_contiguous(memory_format=torch.channels_last)
    assert (y.double() - exact).norm() <= 2 * max(
        (own.double() - exact).norm(), torch.finfo(y.dtype).eps / 2 * exact.norm()
    )
    # what is below zero is so in both: then the gradients are the same
    assert (y > 0).equal(own > 0)
    found = torch.autograd.grad(y.sum(), weight)
    expected = torch.autograd.grad(own.sum(), weight)
    torch.testing.assert_close(found, expected)


def test_a_kernel_runs_where_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("triton")
    ran = []

    def run(call: Call, configuration: Configuration | None) -> list[Tensor]:
        ran.append(call.up)
        return [channels_last(y) for y in run_reference(call)]

    for up, impl, form in [
        ("transpose", "gather", "phases"), ("nearest", "rows", "nearest"),
        ("transpose", "rows", "none"), ("nearest", "phase", "phases"),
    ]:  # fmt: skip
        why_not = IMPLEMENTATIONS[impl].why_not
        monkeypatch.setitem(IMPLEMENTATIONS, impl, Implementation(run, why_not))
        Case(up).run(upcat_conv, Case(up).tensors(torch.float32), impl=impl)
        assert ran.pop() == form
    assert not ran


@pytest.mark.parametrize("up", UPS[1:])
def test_what_a_kernel_cannot_read_raised_is_made_by_one_too(
    up: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("triton")
    made = []

    def run(*arguments: Any, impl: str) -> Tensor:
        made.append((arguments[1], impl))
        return raise2x(*arguments, impl=impl)

    monkeypatch.setattr(lowering, "raise2x", run)
    case = Case(up, size=(3, 2), skips=(1,))
    case.run(upcat_conv, case.tensors(torch.float32), impl="gather")
    assert made == ([] if up == "nearest" else [(up, "triton")])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("impl", ["reference", "composed"])
def test_rounds_no_worse_than_torch_itself(impl: str, dtype: torch.dtype) -> None:
    case = Case(size=(16, 16), skips=(16, 16))
    tensors = case.tensors(dtype)
    exact = {
        name: [s.double() for s in x] if isinstance(x, list) else x.double()
        for name, x in tensors.items()
    }
    expected = case.run(upcat_conv_reference, exact)

    def error(y: Tensor) -> float:
        return float((y.double() - expected).norm())

    theirs = error(case.run(upcat_conv_reference, tensors))
    assert error(case.run(upcat_conv, tensors, impl=impl)) <= 2 * theirs


def test_is_one_node_to_export_and_compile() -> None:
    case = Case()
    tensors = case.tensors(torch.float32)

    class Hot(torch.nn.Module):
        def forward(self, low: Tensor) -> Tensor:
            return case.run(upcat_conv, tensors | {"low": low})

    program = torch.export.export(Hot(), (tensors["low"],))
    called = [n.target for n in program.graph.nodes if n.op == "call_function"]
    assert called == [torch.ops.nestgen.upcat_conv.default]
    compiled = torch.compile(Hot(), backend="aot_eager", fullgraph=True)
    low = tensors["low"].requires_grad_()
    expected = Hot()(low)
    torch.testing.assert_close(compiled(low), expected, rtol=0, atol=0)
    with torch.autocast("cpu", dtype=torch.bfloat16):  # which was off for the export
        again = program.module()(low)
    torch.testing.assert_close(again, expected, rtol=0, atol=0)


def test_is_differentiable_by_torch_func() -> None:
    case, tensors = Case("nearest"), Case("nearest").tensors()
    gradient = torch.func.grad(
        lambda weight: case.run(upcat_conv, tensors | {"weight": weight}).sum()
    )(tensors["weight"])
    weight = tensors["weight"].requires_grad_()
    (expected,) = torch.autograd.grad(case.run(upcat_conv, tensors).sum(), weight)
    torch.testing.assert_close(gradient, expected, rtol=0, atol=0)


def test_has_second_derivatives_in_torch_func_and_else_says_that_it_has_none() -> None:
    tensors = Case(low=False, skips=(2,)).tensors()
    (x,), weight = tensors["skips"], tensors["weight"]

    def second(of: Any) -> Tensor:
        def loss(weight: Tensor) -> Tensor:
            y: Tensor = of(None, [x], weight, slope=0.5)
            return (y**2).sum()

        gradient = torch.func.grad(loss)
        found: Tensor = torch.func.grad(lambda w: gradient(w).sum())(weight)
        return found

    torch.testing.assert_close(second(upcat_conv), second(upcat_conv_reference))
    loss = (upcat_conv(None, [x], weight.requires_grad_()) ** 2).sum()
    (gradient,) = torch.autograd.grad(loss, weight, create_graph=True)
    with pytest.raises(RuntimeError, match="no autograd formula was registered"):
        torch.autograd.grad(gradient.sum(), weight)


def test_is_mapped_by_torch_func() -> None:
    case, tensors = Case(), Case().tensors()
    low, weight = (
        torch.stack([tensors["low"]] * 2),
        torch.stack([tensors["weight"]] * 2),
    )
    low[1], weight[1] = 2 * low[1], 3 * weight[1]

    def run(low: Tensor, weight: Tensor) -> Tensor:
        return case.run(upcat_conv, tensors | {"low": low, "weight": weight})

    expected = torch.stack([run(*pair) for pair in zip(low, weight, strict=True)])
    found = torch.func.vmap(run)(low, weight)
    torch.testing.assert_close(found, expected, rtol=0, atol=0)


def test_gradients_of_each_image_by_torch_func() -> None:
    case, tensors = Case("nearest"), Case("nearest").tensors()

    def loss(weight: Tensor, low: Tensor) -> Tensor:
        return case.run(upcat_conv, tensors | {"low": low, "weight": weight}).sum()

    low, weight = torch.stack([tensors["low"], -tensors["low"]]), tensors["weight"]
    found = torch.func.vmap(torch.func.grad(loss), (None, 0))(weight, low)
    expected = torch.stack([torch.func.grad(loss)(weight, one) for one in low])
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("up", UPS)
def test_autocast_leaves_what_was_made_without_it(up: str) -> None:
    case, tensors = Case(up), Case(up).tensors(torch.float32)
    weight = tensors["weight"].requires_grad_()
    loss = case.run(upcat_conv, tensors).sum()
    (expected,) = torch.autograd.grad(loss, weight, retain_graph=True)
    pull: Any = torch.func.vjp(
        lambda w: case.run(upcat_conv, tensors | {"weight": w}).sum(), weight.detach()
    )[1]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        (found,) = torch.autograd.grad(loss, weight)
        (pulled,) = pull(torch.ones(()))
    torch.testing.assert_close((found, pulled), (expected, expected), rtol=0, atol=0)


def test_tells_the_shape_of_what_is_not_there() -> None:
    case = Case()
    with torch.device("meta"):
        like = torch.empty(())
    tensors = {
        name: [s.to(like) for s in x] if isinstance(x, list) else x.to(like)
        for name, x in case.tensors(torch.float32).items()
    }
    assert case.run(upcat_conv, tensors).shape == (2, 4, 4, 6)


def test_takes_the_dtype_of_autocast() -> None:
    case = Case()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = case.run(upcat_conv, case.tensors(torch.float32))
    low = case.run(upcat_conv, case.tensors(torch.bfloat16))
    assert y.dtype == torch.bfloat16
    torch.testing.assert_close(y, low, rtol=0, atol=0)


def test_keeps_float64_under_autocast_as_torch_does() -> None:
    case, tensors = Case(), Case().tensors()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = case.run(upcat_conv, tensors)
        assert y.dtype == case.run(upcat_conv_reference, tensors).dtype
    torch.testing.assert_close(y, case.run(upcat_conv, tensors), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("case", "changed", "message"),
    [
        (Case(), {"up": "cubic"}, "up='cubic' is not allowed, one of transpose"),
        (Case(), {"impl": "fast"}, "impl='fast' is not allowed, one of reference"),
        (Case("bilinear"), {"impl": "composed"}, "impl='composed' cannot do this: up="),
        (Case(size=(3, 4)), {"impl": "composed"}, "the size 3x4 is not twice that"),
        (Case(), {"impl": "rows"}, "impl='rows' cannot do this: torch.float64, only"),
        (Case(size=(3, 4)), {"impl": "phase"}, "impl='phase' cannot do this: the size"),
        (Case("bilinear"), {"impl": "phase"}, "impl='phase' cannot do this: up="),
        (Case(low=False), {"impl": "phase"}, "there is nothing to up-sample"),
        (Case(), {"bias": torch.zeros(3)}, r"bias: torch.float32 is not allowed"),
        (Case(), {"bias": torch.zeros(3).double()}, r"bias: \[3\] is not allowed"),
        (Case(), {"up_weight": None, "up_bias": None}, "up_weight: goes with up="),
        (Case(), {"low": torch.zeros(2, 3, 9, 3).double()}, r"low: \[2, 3, 9, 3\] is"),
        (Case(low=False, skips=()), {}, "low and skips: at least one input"),
    ],
)
def test_refuses_in_a_line_what_does_not_fit(
    case: Case, changed: dict[str, Any], message: str
) -> None:
    up = changed.pop("up", case.up)
    impl = changed.pop("impl", "auto")
    with pytest.raises(ValueError, match=message) as raised:
        replace(case, up=up).run(upcat_conv, case.tensors() | changed, impl=impl)
    assert "\n" not in str(raised.value)
