"""The hot path of a nested U-Net as one operator, forward and backward."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from nestgen.kernels.autocast import autocast, no_autocast
from nestgen.kernels.availability import why_no_triton
from nestgen.kernels.call_reference import run_reference
from nestgen.kernels.configurations import KERNELS
from nestgen.kernels.fused_conv import IMPLEMENTATIONS as OF_A_CALL
from nestgen.kernels.fused_conv import fused_conv
from nestgen.kernels.layout import channels_last, empty_channels_last
from nestgen.kernels.lowering import FORMS, lowered_call
from nestgen.kernels.upcat_conv_backward import upcat_conv_backward
from nestgen.kernels.upcat_conv_reference import UPS, upcat_conv_reference
from nestgen.kernels.upcat_conv_transforms import Transformable, gradients_of

IMPLEMENTATIONS = ("reference", "composed", *KERNELS)
"""What `impl` names, beside "auto"."""


def upcat_conv(
    low: Tensor | None,
    skips: Sequence[Tensor],
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    up: str = "transpose",
    up_weight: Tensor | None = None,
    up_bias: Tensor | None = None,
    up_last: bool = False,
    slope: float = 0.0,
    impl: str = "auto",
) -> Tensor:
    """Up-sample, concatenate, convolve, rectify (Zhou et al., 2018, eq. 1), as one.

    y = act(conv3x3(cat(up2x(low), *skips)) + bias), as `upcat_conv_reference` says it,
    whose arguments these are. Neither the up-sampled input nor the concatenation is
    kept for the gradient. All tensors are floating, of one dtype (of autocast's where
    that is on and they are not float64) and on one device; images are channels_last,
    or are copied so.

    `impl` is "reference", torch's own operators one after another; "composed", where
    the up-sampling is one transposed convolution with the convolution (see `phases`);
    "gather", "rows" or "phase", a kernel of Triton, for the forward pass, in the first
    of `FORMS` that it can run; or "auto", torch's own operators everywhere until
    another is measured to be faster. Gradients are by torch's operators. One that
    cannot do what it is asked raises `ValueError`, at the latest when it is run; none
    is replaced by another.

    The result is [N, Co, H, W], channels_last. To torch.compile, torch.export and
    torch.func it is the operator `nestgen::upcat_conv`.

    >>> low, skip = torch.ones(1, 2, 1, 1), torch.ones(1, 1, 2, 2)
    >>> upcat_conv(low, [skip], torch.ones(1, 3, 3, 3), up="nearest").tolist()
    [[[[12.0, 12.0], [12.0, 12.0]]]]
    """
    skips, weight = [autocast(skip) for skip in skips], autocast(weight)
    low, bias, up_weight, up_bias = map(autocast, (low, bias, up_weight, up_bias))
    _check(low, skips, weight, bias, up, up_weight, up_bias)
    reason = why_not(impl, low, skips, up)
    if reason is not None:
        raise ValueError(f"impl={impl!r} cannot do this: {reason}")
    if torch._C._are_functorch_transforms_active():
        options = (up, up_last, slope, impl)
        mapped: Tensor = Transformable.apply(
            options, low, weight, bias, up_weight, up_bias, *skips
        )  # type: ignore[no-untyped-call]
        return mapped
    y: Tensor = torch.ops.nestgen.upcat_conv(
        low, list(skips), weight, bias, up, up_weight, up_bias, up_last, slope, impl
    )
    return y


def why_not(
    impl: str, low: Tensor | None, skips: Sequence[Tensor], up: str
) -> str | None:
    """Why an implementation cannot do what it is asked, in words; None if it can."""
    if impl not in (*IMPLEMENTATIONS, "auto"):
        known = ", ".join((*IMPLEMENTATIONS, "auto"))
        raise ValueError(f"impl={impl!r} is not allowed, one of {known}")
    if impl not in ("composed", "phase"):
        return None
    if low is None:
        return "there is nothing to up-sample"
    if "phases" not in FORMS[up]:
        return f"up={up!r} is no transposed convolution of constant weights"
    if skips and skips[0].shape[2:] != (2 * low.shape[2], 2 * low.shape[3]):
        size = "x".join(map(str, skips[0].shape[2:]))
        return f"the size {size} is not twice that of the lower input"
    return None


def _check(
    low: Tensor | None,
    skips: Sequence[Tensor],
    weight: Tensor,
    bias: Tensor | None,
    up: str,
    up_weight: Tensor | None,
    up_bias: Tensor | None,
) -> None:
    """Raise `ValueError` for the first argument that does not fit the others."""
    if up not in UPS:
        raise ValueError(f"up={up!r} is not allowed, one of {', '.join(UPS)}")
    if low is None and not skips:
        raise ValueError("low and skips: at least one input is needed")
    given: dict[str, tuple[Tensor | None, int]] = {"low": (low, 4)}
    given |= {f"skips[{n}]": (skip, 4) for n, skip in enumerate(skips)}
    given |= {"weight": (weight, 4), "bias": (bias, 1)}
    given |= {"up_weight": (up_weight, 4), "up_bias": (up_bias, 1)}
    for name, (tensor, axes) in given.items():
        if tensor is not None:
            _check_like(name, tensor, axes, weight)
    if (up_weight is not None) != (low is not None and up == "transpose"):
        raise ValueError("up_weight: goes with up='transpose', and is needed there")
    if up_bias is not None and up_weight is None:
        raise ValueError("up_bias: goes with an up_weight")
    _check_sizes(low, skips)
    channels = sum(skip.shape[1] for skip in skips)
    if low is not None:
        channels += low.shape[1] if up_weight is None else up_weight.shape[1]
    expected = {
        "weight": (weight, [weight.shape[0], channels, 3, 3]),
        "bias": (bias, [weight.shape[0]]),
    }
    if up_weight is not None and low is not None:
        cu = up_weight.shape[1]
        expected["up_weight"] = (up_weight, [low.shape[1], cu, 2, 2])
        expected["up_bias"] = (up_bias, [cu])
    for name, (tensor, shape) in expected.items():
        if tensor is not None and list(tensor.shape) != shape:
            raise ValueError(f"{name}: {list(tensor.shape)} is not allowed, {shape}")


def _check_like(name: str, tensor: Tensor, axes: int, weight: Tensor) -> None:
    if tensor.ndim != axes:
        raise ValueError(f"{name}: {tensor.ndim} axes are not allowed, {axes}")
    if not tensor.is_floating_point() or tensor.dtype != weight.dtype:
        raise ValueError(
            f"{name}: {tensor.dtype} is not allowed, the floating dtype of weight, "
            f"{weight.dtype}"
        )
    if tensor.device != weight.device:
        raise ValueError(f"{name}: is on {tensor.device}, weight on {weight.device}")


def _check_sizes(low: Tensor | None, skips: Sequence[Tensor]) -> None:
    """Skips are of one batch and size, and `low` of half of it, rounded up."""
    if not skips:
        return
    number, _, *size = skips[0].shape
    for n, skip in enumerate(skips):
        if [skip.shape[0], *skip.shape[2:]] != [number, *size]:
            raise ValueError(
                f"skips[{n}]: {list(skip.shape)} is not allowed, the batch and size of "
                f"skips[0], {list(skips[0].shape)}"
            )
    if low is None:
        return
    fits = all(
        side - 2 * half in (0, -1)
        for side, half in zip(size, low.shape[2:], strict=True)
    )
    if low.shape[0] != number or not fits:
        half = [(side + 1) // 2 for side in size]
        raise ValueError(
            f"low: {list(low.shape)} is not allowed, [{number}, {low.shape[1]}, "
            f"{half[0]}, {half[1]}], half of the skips' size"
        )


@torch.library.custom_op("nestgen::upcat_conv", mutates_args=())
def _upcat_conv(
    low: Tensor | None,
    skips: Sequence[Tensor],
    weight: Tensor,
    bias: Tensor | None,
    up: str,
    up_weight: Tensor | None,
    up_bias: Tensor | None,
    up_last: bool,
    slope: float,
    impl: str,
) -> Tensor:
    with no_autocast(weight):
        if impl == "composed":
            call = lowered_call(
                "phases", low, list(skips), weight, bias, up, up_weight, up_bias,
                up_last, slope,
            )  # fmt: skip
            return channels_last(run_reference(call)[0])
        if impl in KERNELS:
            return _by_kernel(
                impl, low, skips, weight, bias, up, up_weight, up_bias, up_last, slope
            )
        y = upcat_conv_reference(
            low, skips, weight, bias,
            up=up, up_weight=up_weight, up_bias=up_bias, up_last=up_last, slope=slope,
        )  # fmt: skip
        return channels_last(y)


def _by_kernel(
    impl: str,
    low: Tensor | None,
    skips: Sequence[Tensor],
    weight: Tensor,
    bias: Tensor | None,
    up: str,
    up_weight: Tensor | None,
    up_bias: Tensor | None,
    up_last: bool,
    slope: float,
) -> Tensor:
    """By a kernel of Triton, in the first form that it can run."""
    low = None if low is None else channels_last(low)
    skips = [channels_last(skip) for skip in skips]
    reason = why_no_triton([x for x in (low, *skips) if x is not None])
    composed = why_not("composed", low, skips, up) is None
    forms = [form for form in FORMS[up] if composed or form != "phases"]
    for form in forms if reason is None else []:
        call = lowered_call(
            form, low, skips, weight, bias, up, up_weight, up_bias, up_last, slope
        )
        reason = OF_A_CALL[impl].why_not(call)
        if reason is None:
            return fused_conv(call, impl)[0]
    raise ValueError(f"impl={impl!r} cannot do this: {reason}")


@_upcat_conv.register_fake
def _(
    low: Tensor | None,
    skips: Sequence[Tensor],
    weight: Tensor,
    *others: Any,
) -> Tensor:
    like = skips[0] if skips else low
    assert like is not None
    scale = 1 if skips else 2
    number, _, height, width = like.shape
    return empty_channels_last(
        like, number, weight.shape[0], scale * height, scale * width
    )


@torch.library.custom_op("nestgen::upcat_conv_backward", mutates_args=())
def _backward(
    gradient: Tensor,
    y: Tensor,
    low: Tensor | None,
    skips: Sequence[Tensor],
    weight: Tensor,
    up: str,
    up_weight: Tensor | None,
    up_bias: Tensor | None,
    up_last: bool,
    slope: float,
) -> list[Tensor]:
    with no_autocast(weight):
        found = upcat_conv_backward(
            gradient, y, low, skips, weight, up, up_weight, up_bias, up_last, slope
        )
    images = len(skips) + (low is not None)
    return [
        *(channels_last(x) for x in found[:images]),
        *(x.contiguous() for x in found[images:]),
    ]


@_backward.register_fake
def _(
    gradient: Tensor,
    y: Tensor,
    low: Tensor | None,
    skips: Sequence[Tensor],
    weight: Tensor,
    up: str,
    up_weight: Tensor | None,
    up_bias: Tensor | None,
    *others: Any,
) -> list[Tensor]:
    images = [x for x in (low, *skips) if x is not None]
    weights = [x for x in (up_weight, up_bias) if x is not None]
    return [
        *(empty_channels_last(x, *x.shape) for x in images),
        weight.new_empty(weight.shape),
        weight.new_empty(weight.shape[0]),
        *(x.new_empty(x.shape) for x in weights),
    ]


def _setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    low, skips, weight, bias, up, up_weight, up_bias, up_last, slope, impl = inputs
    options = (up, up_last, slope, impl)
    tensors = (low, weight, bias, up_weight, up_bias, *skips)
    Transformable.setup_context(ctx, (options, *tensors), output)


def _differentiate(ctx: Any, gradient: Tensor) -> tuple[Any, ...]:
    found = gradients_of(ctx, torch.ops.nestgen.upcat_conv_backward, gradient)
    _, low, weight, bias, up_weight, up_bias, *skips = found
    return low, skips, weight, bias, None, up_weight, up_bias, None, None, None


_upcat_conv.register_autograd(_differentiate, setup_context=_setup)
