"""The convolution that norms what it reads, held against its plain twin."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._dynamo.backends.common import aot_autograd
from torch._functorch.aot_autograd import make_boxed_func  # type: ignore[attr-defined]

from nestgen.kernels import normed_conv as under_test
from nestgen.kernels.layout import channels_last
from nestgen.kernels.normed_conv import normed_conv
from nestgen.kernels.normed_conv_reference import normed_conv_reference
from nestgen.kernels.part import RESAMPLINGS, Part, Resampling
from tests.kernels.parts import (
    Size,
    as_exact,
    drawn,
    gradients,
    make_part,
    make_weight,
    row,
    tensors,
    with_tensors,
)

SIZES = [(4, 6), (3, 5), (1, 2)]


def assert_all_close(ours: Sequence[Tensor], theirs: Sequence[Tensor]) -> None:
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, other)


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("resampling", RESAMPLINGS)
def test_equals_its_twin_forward_and_backward(
    resampling: Resampling, size: Size
) -> None:
    parts, bias = row(resampling, size), drawn(3)
    weight = make_weight(parts, kernel=1 if size == (1, 2) else 3)
    ours = gradients(normed_conv, parts, weight, bias)
    assert_all_close(ours, gradients(normed_conv_reference, parts, weight, bias))


@pytest.mark.parametrize("resampling", RESAMPLINGS)
def test_the_gradients_are_those_of_finite_differences(resampling: Resampling) -> None:
    parts, bias = row(resampling, (3, 4)), drawn(3)

    def run(weight: Tensor, bias: Tensor, *given: Tensor) -> Any:
        return normed_conv(with_tensors(parts, iter(given)), weight, bias)

    assert torch.autograd.gradcheck(
        run, (make_weight(parts), bias, *tensors(parts)), fast_mode=True
    )


def test_is_a_batch_norm_where_it_is_read() -> None:
    """Through the vectors of its statistics, the norm's own backward pass."""
    x, bias = drawn(2, 2, 4, 4), None
    first, second = make_weight([Part(x)]), drawn(2, 3, 3, 3)
    gamma, beta = drawn(3), drawn(3)
    y, mean, var = normed_conv([Part(x)], first)
    scale = gamma * (var + 1e-5).rsqrt()
    ours = normed_conv([Part(y, scale, beta - mean * scale, 0.0)], second)[0]
    normed = torch.nn.functional.batch_norm(
        torch.conv2d(x, first, padding=1), None, None, gamma, beta, training=True
    )
    theirs = torch.conv2d(normed.relu(), second, bias, padding=1)
    leaves, g = [x, first, second, gamma, beta], torch.randn_like(ours)
    assert_all_close(
        [ours, *torch.autograd.grad(ours, leaves, g)],
        [theirs, *torch.autograd.grad(theirs, leaves, g)],
    )


def test_a_pool_gives_its_gradient_to_the_first_of_equals() -> None:
    part = Part(torch.zeros(1, 1, 2, 2, requires_grad=True), resampling="pool")
    y, *_ = normed_conv([part], torch.ones(1, 1, 1, 1), statistics=False)
    [g] = torch.autograd.grad(y.sum(), [part.source])
    assert g.tolist() == [[[[1, 0], [0, 0]]]]


@pytest.mark.parametrize("statistics", [True, False])
def test_is_an_operator_as_torch_asks_for_it(statistics: bool) -> None:
    parts = [*row("transpose"), make_part("pool", (4, 6))]
    arguments = (*under_test._flat(parts), make_weight(parts), None, statistics, "auto")
    torch.library.opcheck(under_test._forward, arguments)


@pytest.mark.parametrize("asked", [*itertools.product([True, False], repeat=2)])
def test_so_is_its_backward(asked: tuple[bool, bool]) -> None:
    parts = [part.map(Tensor.detach) for part in row("transpose")]
    weight = make_weight(parts).detach()
    y, mean, var = normed_conv(parts, weight)
    arguments = (*under_test._flat(parts), weight, [y, mean], y, mean, var)
    wanted = [asked[0], True, False, asked[1], not asked[1]]
    torch.library.opcheck(under_test._backward, (*arguments, wanted, "auto"))


def test_what_needs_no_gradient_has_none() -> None:
    parts = [part.map(Tensor.detach) for part in row("transpose")]
    learned, weight = parts[1], make_weight(parts)
    assert learned.up_weight is not None
    parts[1] = replace(learned, up_weight=learned.up_weight.requires_grad_())
    y, *_ = normed_conv(parts, weight.detach())
    torch.autograd.backward(y.sum())
    assert [x.grad is not None for x in tensors(parts)].count(True) == 1
    assert parts[1].up_weight is not None
    assert parts[1].up_weight.grad is not None


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("resampling", RESAMPLINGS)
def test_rounds_no_more_than_twice_what_torch_rounds(
    resampling: Resampling, dtype: torch.dtype
) -> None:
    """Of many channels, since a sum of a few roundings may be small by chance."""
    parts = row(resampling, (4, 6), dtype=dtype, channels=64)
    ours, theirs = squared_errors(parts, dtype)
    assert (ours <= 4 * theirs).all()


def squared_errors(parts: Sequence[Part], dtype: torch.dtype) -> Tensor:
    """[ours and theirs, what is given or derived], against float64.

    Without the statistics, for which torch has sums of several orders.
    """
    parts = [replace(part, source=channels_last(part.source)) for part in parts]
    weight = make_weight(parts, dtype=dtype)
    exact_parts = [part.map(as_exact) for part in parts]
    exact = gradients(normed_conv_reference, exact_parts, as_exact(weight), None)
    ours = gradients(normed_conv, parts, weight, None)
    theirs = gradients(normed_conv_reference, parts, weight, None)
    assert [x.dtype for x in ours] == [x.dtype for x in theirs]
    rows = [
        [(x - right).detach().square().sum() for x, right in pairs]
        for pairs in (zip(ours, exact, strict=True), zip(theirs, exact, strict=True))
    ]
    return torch.tensor([[y, *gradients] for y, _, _, *gradients in rows])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_statistics_are_sums_of_wide_numbers(dtype: torch.dtype) -> None:
    """M numbers are off by a random walk of roundings, sqrt(M), not by M of them."""
    parts = row("same", (16, 16), dtype=dtype)
    y, mean, var = normed_conv(parts, make_weight(parts, dtype=dtype))
    exact = y.double()
    exact_var, exact_mean = torch.var_mean(exact, (0, 2, 3), correction=0)
    roundings = y[:, 0].numel() ** 0.5 * torch.finfo(torch.float32).eps
    assert mean.dtype == var.dtype == torch.float32
    of_mean = roundings * exact.abs().mean((0, 2, 3))
    assert ((mean - exact_mean).abs() <= of_mean).all()
    assert ((var - exact_var).abs() <= 2 * roundings * exact_var + of_mean**2).all()


def test_is_channels_last() -> None:
    parts = row("pool", dtype=torch.float32)
    y, *_ = normed_conv(parts, make_weight(parts, dtype=torch.float32))
    assert y.is_contiguous(memory_format=torch.channels_last)
    [g] = torch.autograd.grad(y.sum(), [parts[1].source])
    assert g.is_contiguous(memory_format=torch.channels_last)


def test_the_same_twice_bit_for_bit() -> None:
    for resampling in RESAMPLINGS:
        parts = row(resampling, (16, 16), dtype=torch.float32)
        weight = make_weight(parts, dtype=torch.float32)
        once, again = (gradients(normed_conv, parts, weight, None) for _ in range(2))
        assert all(map(torch.equal, once, again))


def test_is_one_node_for_torch_compile_each_way() -> None:
    parts = row("bilinear", dtype=torch.float32)
    weight = make_weight(parts, dtype=torch.float32)
    graphs: list[str] = []

    def seen(module: torch.fx.GraphModule, _: Any) -> Any:
        graphs.append(" ".join(str(node.target) for node in module.graph.nodes))
        return make_boxed_func(module.forward)

    backend = aot_autograd(fw_compiler=seen, bw_compiler=seen)
    compiled = torch.compile(normed_conv, backend=backend, fullgraph=True)
    ours = gradients(compiled, parts, weight, None)
    assert_all_close(ours, gradients(normed_conv, parts, weight, None))
    forward, backward = graphs
    assert forward.count("nestgen.normed_conv.") == 1
    assert backward.count("nestgen.normed_conv_backward.") == 1
    assert "convolution" not in forward.replace("nestgen", "") + backward


def test_autocast_takes_images_and_weights_and_leaves_vectors() -> None:
    parts = row("transpose", (16, 16), dtype=torch.float32)
    weight = make_weight(parts, dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        ours = gradients(normed_conv, parts, weight, None)
    assert [x.dtype for x in ours[:3]] == [torch.bfloat16, *[torch.float32] * 2]
    assert all(x.dtype == torch.float32 for x in ours[3:])

    def low(x: Tensor) -> Tensor:
        return x if x.ndim == 1 and x.shape[0] == 2 else x.bfloat16()

    lower = [part.map(lambda x: low(x.detach()).requires_grad_()) for part in parts]
    theirs = gradients(
        normed_conv, lower, weight.detach().bfloat16().requires_grad_(), None
    )
    for mine, other in zip(ours, theirs, strict=True):
        assert torch.equal(mine.to(other.dtype), other)


def test_is_one_node_for_torch_export() -> None:
    class Layer(torch.nn.Module):
        def forward(self, x: Tensor, weight: Tensor) -> Tensor:
            return normed_conv([Part(x, resampling="nearest")], weight)[0]

    x, weight = torch.zeros(2, 1, 3, 3), torch.zeros(2, 1, 3, 3)
    any_batch = {0: torch.export.Dim("batch")}
    program = torch.export.export(
        Layer(), (x, weight), dynamic_shapes=(any_batch, None)
    )
    assert "nestgen.normed_conv" in str(program.graph)
    inputs = torch.ones(3, 1, 3, 3), weight
    torch.testing.assert_close(program.module()(*inputs), Layer()(*inputs))


X = torch.zeros(2, 2, 4, 4)
W = torch.zeros(3, 2, 3, 3)
V = torch.zeros(2)


@pytest.mark.parametrize(
    ("parts", "weight", "words"),
    [
        ([], W, "parts: none is not allowed, one or more"),
        ([Part(X[0])], W, r"source \[2, 4, 4\] is not allowed, \[2, C, h, w\]"),
        ([Part(X), Part(X[:1])], W, r"parts\[1\]: source .* \[2, C, h, w\]"),
        ([Part(X, resampling="cubic")], W, "'cubic' is not allowed, same, pool"),  # type: ignore[arg-type]
        ([Part(X, slope=-1.0)], W, "slope -1.0 is not allowed, 0 or more"),
        ([Part(X, scale=V)], W, "a scale alone is not allowed, with its shift"),
        ([Part(X, V[:1], V)], W, r"scale \[1\] is not allowed, \[2\]"),
        ([Part(X, V.double(), V)], W, "scale of torch.float64 is not allowed"),
        ([Part(X, resampling="transpose")], W, "'transpose' takes an up_weight"),
        ([Part(X, up_weight=W)], W, "'transpose' takes an up_weight, 'same' was"),
        ([Part(X, resampling="transpose", up_weight=W)], W, "allowed, .2, Cu, 2, 2."),
        ([Part(X), Part(X, resampling="pool")], W, "2x2 after 'pool' is not allowed"),
        ([Part(X), Part(X, resampling="nearest")], W, "convolution's is 4x4"),
        (
            [Part(X)],
            W[:, :1],
            r"weight: \[3, 1, 3, 3\] is not allowed, \[Co, 2, 3, 3\]",
        ),
        ([Part(X)], W[..., :2], r"weight: \[3, 2, 3, 2\] is not allowed"),
        ([Part(X)], W.long(), "weight: torch.int64 is not allowed, a floating"),
        ([Part(X.half())], W, "source of torch.float16 is not allowed, torch.float32"),
        ([Part(X)], W.to("meta"), "source on cpu is not allowed, weight is on meta"),
        ([Part(X, V, V.to("meta"))], W, "shift on meta is not allowed, .* on cpu"),
    ],
)
def test_says_what_does_not_fit(parts: list[Part], weight: Tensor, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        normed_conv(parts, weight)


def test_says_that_a_bias_does_not_fit() -> None:
    with pytest.raises(ValueError, match=r"bias: \[2\] is not allowed, \[3\]"):
        normed_conv([Part(X)], W, V)
