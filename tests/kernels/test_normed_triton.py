"""The kernels of a normed convolution, under Triton's interpreter, against float64."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor

from nestgen.kernels import normed_conv as operator
from nestgen.kernels.configurations import Configuration, Gpu
from nestgen.kernels.layout import channels_last, empty_channels_last
from nestgen.kernels.normed_configurations import KERNELS, RESAMPLED
from nestgen.kernels.normed_configurations import normed_configurations as shipped
from nestgen.kernels.normed_conv import normed_conv
from nestgen.kernels.normed_conv_reference import normed_conv_reference
from nestgen.kernels.output_gradient import OutputGradient
from nestgen.kernels.packing import pack_weight
from nestgen.kernels.part import Part, Resampling
from tests.kernels.parts import (
    Size,
    as_exact,
    drawn,
    gradients,
    make_part,
    make_weight,
    tensors,
)

pytest.importorskip("triton")

from nestgen.kernels import (
    normed_dgrad,
    normed_gather,
    normed_triton,
    normed_wgrad,
)

SMALL = Configuration(4, 4, 16, 16)
"""Several tiles on an image that is quickly interpreted."""


@pytest.fixture(autouse=True)
def _poisoned(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is to be written is NaN before; tiles are small; numbers are the same."""

    def poison(make: Callable[..., Tensor]) -> Callable[..., Tensor]:
        return lambda *given: make(*given).fill_(float("nan"))

    torch.manual_seed(0)
    for module in (normed_gather, normed_dgrad, normed_wgrad):
        monkeypatch.setattr(module, "new_sums", poison(module.new_sums))
    nan = poison(empty_channels_last)
    monkeypatch.setattr(normed_triton, "empty_channels_last", nan)
    monkeypatch.setattr(normed_triton, "normed_configurations", lambda *_: [SMALL])


def by_triton(*given: Any, **options: Any) -> tuple[Tensor, ...]:
    return normed_conv(*given, **options, impl="triton")


def assert_as_exact_as_torch(
    parts: Sequence[Part], weight: Tensor, bias: Tensor | None
) -> None:
    """Each kind of result errs from float64 at most twice as much as torch's own.

    Where torch happens to be nearer than one rounding of it, that is allowed.
    """
    ours = kinds(by_triton, parts, weight, bias)
    theirs = kinds(normed_conv_reference, parts, weight, bias)
    exact = kinds(
        normed_conv_reference,
        [part.map(as_exact) for part in parts],
        as_exact(weight),
        None if bias is None else as_exact(bias),
    )
    for name, true in exact.items():
        mine, other = ours[name], theirs[name]
        assert mine.dtype == other.dtype, name
        rounding = torch.finfo(mine.dtype).eps / 2 * true.norm()
        allowed = 2 * max((other.double() - true).norm(), rounding)
        assert (mine.double() - true).norm() <= allowed, name


def kinds(
    run: Callable[..., tuple[Tensor, ...]],
    parts: Sequence[Part],
    weight: Tensor,
    bias: Tensor | None,
) -> dict[str, Tensor]:
    """What `run` gives and the gradients of what goes in, side by side by its kind.

    Alone, a vector may be of a few sums that happen to cancel.
    """
    y, _, _, *found = gradients(run, parts, weight, bias)
    named = [("y", y)]
    for leaf, gradient in zip(tensors(parts), found, strict=False):
        named.append(("sources" if leaf.ndim == 4 else "vectors", gradient))
    rest = found[len(tensors(parts)) :]
    named += zip(("weight", "bias"), rest, strict=False)
    return {
        kind: torch.cat([x.detach().flatten() for other, x in named if other == kind])
        for kind, _ in named
    }


@pytest.mark.parametrize(
    ("resampling", "dtype", "size"),
    [
        ("same", torch.float16, (3, 5)),
        ("pool", torch.float32, (5, 3)),
        ("pool", torch.float16, (3, 5)),
        ("nearest", torch.float32, (5, 3)),
    ],
)
def test_parts_of_any_width_and_images_of_any_size(
    resampling: Resampling, dtype: torch.dtype, size: Size
) -> None:
    parts = [
        make_part("same", size, channels=2, slope=0.0, dtype=dtype),
        make_part("same", size, channels=2, slope=0.0, dtype=dtype),
        make_part(resampling, size, channels=17, dtype=dtype),
    ]
    assert_as_exact_as_torch(parts, make_weight(parts, dtype=dtype), None)


@pytest.mark.parametrize("resampling", ["transpose", "bilinear"])
def test_what_is_raised_before(resampling: Resampling) -> None:
    parts = [
        make_part(resampling, (3, 5), channels=3, dtype=torch.float32),
        make_part("same", (3, 5), slope=1.0, norm=False, dtype=torch.float32),
    ]
    assert_as_exact_as_torch(parts, make_weight(parts, dtype=torch.float32), None)


@pytest.mark.parametrize("resampling", ["same", "pool", "nearest"])
def test_weights_of_1x1_with_a_bias(resampling: Resampling) -> None:
    """More output channels than a block has, and a part without a norm."""
    part = make_part(resampling, (5, 3), norm=False, dtype=torch.float32)
    weight, bias = (drawn(18, *shape, dtype=torch.float32) for shape in [(2, 1, 1), ()])
    assert_as_exact_as_torch([part], weight, bias)


def test_without_statistics() -> None:
    part = make_part("same", (3, 5), dtype=torch.float32)
    weight = make_weight([part], dtype=torch.float32)
    ours, mean, var = by_triton([part], weight, statistics=False)
    assert mean.shape == var.shape == (0,)
    theirs, *_ = normed_conv([part], weight, statistics=False)
    g = torch.randn_like(ours)
    leaves = [*tensors([part]), weight]
    torch.testing.assert_close(
        [ours, *torch.autograd.grad(ours, leaves, g)],
        [theirs, *torch.autograd.grad(theirs, leaves, g)],
    )


@pytest.mark.parametrize(
    ("dtype", "large"), [(torch.float32, 4096.0), (torch.float16, 64.0)]
)
def test_a_large_mean_cancels_no_small_variance(
    dtype: torch.dtype, large: float
) -> None:
    """Squares of the numbers themselves would leave nothing of it in float32.

    The sum of 16 numbers is off by as many roundings at most. The statistics are those
    of what is stored, rounded as it is.
    """
    part = make_part("same", (9, 7), dtype=dtype)
    weight = make_weight([part], kernel=1, dtype=dtype)
    bias = torch.full((3,), large, dtype=dtype)
    y, mean, var = by_triton([part], weight, bias)
    exact_var, exact_mean = torch.var_mean(y.double(), (0, 2, 3), correction=0)
    off = 16 * torch.finfo(torch.float32).eps / 2 * exact_mean.abs()
    assert ((mean - exact_mean).abs() <= off).all()
    assert ((var - exact_var).abs() <= 2 * exact_var.sqrt() * off + off**2).all()


def test_an_empty_batch() -> None:
    weight = torch.ones(3, 2, 3, 3, requires_grad=True)
    y, mean, _ = by_triton([Part(torch.zeros(0, 2, 3, 3))], weight)
    assert (y.shape, mean.shape) == ((0, 3, 3, 3), (3,))
    [g] = torch.autograd.grad(y.sum(), [weight])
    assert (g == 0).all()


def test_the_same_twice_bit_for_bit() -> None:
    part = make_part("pool", (5, 3), dtype=torch.float32)
    weight = make_weight([part], dtype=torch.float32)
    once, again = (gradients(by_triton, [part], weight, None) for _ in range(2))
    assert all(map(torch.equal, once, again))


@pytest.mark.parametrize("resampling", ["same", "pool", "nearest"])
@pytest.mark.parametrize("wide", [torch.float16, torch.float32])
def test_a_source_receives_from_several_in_place(
    resampling: Resampling, wide: torch.dtype
) -> None:
    part = make_part(resampling, (3, 5), dtype=torch.float16).map(Tensor.detach)
    part = replace(part, source=channels_last(part.source))
    columns = pack_weight(make_weight([part], kernel=1, dtype=torch.float16).detach())
    g = channels_last(torch.randn(2, 3, 3, 5).half())
    alone = normed_triton.dgrad(part, columns, OutputGradient(g))
    out = channels_last(torch.ones_like(part.source, dtype=wide))
    added = normed_triton.dgrad(part, columns, OutputGradient(g), out)
    assert added.source is out
    torch.testing.assert_close(out - 1, alone.source.to(wide), atol=4e-3, rtol=2e-3)
    assert added.scale is not None
    assert alone.scale is not None
    assert torch.equal(added.scale, alone.scale)


def test_a_pool_gives_its_gradient_to_the_first_of_equals() -> None:
    part = Part(torch.zeros(1, 1, 2, 2, requires_grad=True), resampling="pool")
    y, *_ = by_triton([part], torch.ones(1, 1, 1, 1), statistics=False)
    [g] = torch.autograd.grad(y.sum(), [part.source])
    assert g.tolist() == [[[[1, 0], [0, 0]]]]


@pytest.mark.parametrize(("programs", "splits"), [(3, 1), (9, 3), (99, 4)])
def test_an_image_is_split_and_summed_whole(
    programs: int, splits: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pixel alone, whose gradient is the pixel."""
    monkeypatch.setattr(normed_wgrad, "PROGRAMS", programs)
    x = torch.zeros(1, 1, 8, 8)
    x[0, 0, 5, 7] = 3.0
    gradient = OutputGradient(channels_last(torch.ones(1, 1, 8, 8)))
    part = Part(channels_last(x))
    assert len(normed_wgrad.new_sums(part, gradient, 3, SMALL)) == splits
    found = normed_triton.wgrad(part, gradient, 3)
    # the last column has no neighbour to its right
    assert found.tolist() == [[[[0.0, 3.0, 3.0]] * 3]]


def test_is_an_operator_as_torch_asks_for_it() -> None:
    part = make_part("nearest", (2, 2), dtype=torch.float32)
    weight = make_weight([part], kernel=1, dtype=torch.float32)
    arguments = (*operator._flat([part]), weight, None, True, "triton")
    torch.library.opcheck(operator._forward, arguments)


def test_none_is_replaced_by_another(monkeypatch: pytest.MonkeyPatch) -> None:
    x, weight = torch.zeros(1, 1, 2, 2), torch.zeros(1, 1, 3, 3)
    with pytest.raises(ValueError, match=r"impl='cuda' is not allowed, one of ref"):
        normed_conv([Part(x)], weight, impl="cuda")
    wide = Part(x.double())
    with pytest.raises(ValueError, match=r"impl='triton' cannot run this: torch.float"):
        normed_conv([wide], weight.double(), impl="triton")
    for impl in ("auto", "reference"):
        assert normed_conv([wide], weight.double(), impl=impl)[0].shape == x.shape


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("channels", [3, 32, 48, 200])
def test_every_size_has_configurations_that_fit(
    channels: int, dtype: torch.dtype
) -> None:
    like = torch.empty(0, dtype=dtype)
    for kernel, resampling in product(KERNELS, RESAMPLED):
        given = (kernel, channels, channels, like, resampling)
        assert shipped(*given, Gpu(80, 64 * 1024))
        assert not shipped(*given, Gpu(80, 1024))
