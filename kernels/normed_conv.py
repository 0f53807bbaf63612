"""A convolution that norms, rectifies, resamples and concatenates as it reads.

It is the one operation that the training of a nested U-Net takes. A node's convolution
gives y, which is stored as it comes, with its mean and variance by channels. The batch
norm that follows is a scale and a shift, vectors that torch's autograd derives by
itself; they, the activation, the pooling or up-sampling and the concatenation are done
again by whoever reads y, forward and backward. What is kept for the backward pass is y,
once, however many read it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from importlib import import_module
from typing import Any

import torch
from torch import Tensor

from nestgen.kernels.autocast import autocast, no_autocast
from nestgen.kernels.availability import why_no_triton
from nestgen.kernels.layout import channels_last, empty_channels_last
from nestgen.kernels.normed_conv_backward import gradients
from nestgen.kernels.normed_conv_reference import convolve
from nestgen.kernels.part import Part, check, common_size, wide

IMPLEMENTATIONS = ("reference", "triton")
"""What `impl` names, beside "auto"."""


def normed_conv(
    parts: Sequence[Part],
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    statistics: bool = True,
    impl: str = "auto",
) -> tuple[Tensor, Tensor, Tensor]:
    """conv(cat(parts)) + bias, its mean and its biased variance over [N, H, W].

    Each part is read as `Part` says: resample(act(scale * source + shift)). `weight` is
    [Co, sum of the parts' channels, k, k], k 3 with a padding of 1, or 1; `bias` [Co].
    The result is y [N, Co, H, W], mean [Co] and var [Co], the latter two in float32 at
    least; without `statistics` they are empty. Sources and weights are of one floating
    dtype, or made so by autocast; scales and shifts are in float32 at least. y is
    channels_last.

    It is one node for torch.compile and torch.export, and a second one backward. All
    results can be differentiated once, and what is saved for it are the arguments, y
    and the mean. Raises `ValueError` for what does not fit.

    `impl` is "reference", torch's own operators; "triton", kernels that store neither
    what a part is read as nor a concatenation, forward and backward, but for parts that
    are raised by a bilinear or a transposed up-sampling, one of which is made at a
    time backward; or "auto", for now torch's operators everywhere. One that cannot run
    raises `ValueError` when it is run; none is replaced by another.

    Batch norm is that of Ioffe and Szegedy (2015); that it need not be stored, the
    insight of memory-efficient DenseNets (Pleiss et al., 2017).

    >>> x = torch.tensor([[[[1.0, -3.0], [5.0, 1.0]]]])
    >>> half, none = torch.tensor([0.5]), torch.zeros(1)
    >>> part = Part(x, scale=half, shift=none, slope=0.0)
    >>> y, mean, var = normed_conv([part], torch.ones(1, 1, 1, 1))
    >>> y.tolist(), mean.tolist(), var.tolist()
    ([[[[0.5, 0.0], [2.5, 0.5]]]], [0.875], [0.921875])
    """
    if impl not in (*IMPLEMENTATIONS, "auto"):
        known = ", ".join((*IMPLEMENTATIONS, "auto"))
        raise ValueError(f"impl={impl!r} is not allowed, one of {known}")
    parts = [_autocast(part) for part in parts]
    weight, bias = autocast(weight), autocast(bias)
    check(parts)
    _check_weight(parts, weight, bias)
    _check_alike(parts, weight, bias)
    y, mean, var = _forward(*_flat(parts), weight, bias, statistics, impl)
    return y, mean, var


def _autocast(part: Part) -> Part:
    """All but the scale and the shift: they stay exact."""
    return replace(
        part,
        source=autocast(part.source),
        up_weight=autocast(part.up_weight),
        up_bias=autocast(part.up_bias),
    )


def _check_weight(parts: Sequence[Part], weight: Tensor, bias: Tensor | None) -> None:
    shape, channels = list(weight.shape), sum(part.channels for part in parts)
    if len(shape) != 4 or shape[1:] not in ([channels, 3, 3], [channels, 1, 1]):
        raise ValueError(
            f"weight: {shape} is not allowed, [Co, {channels}, 3, 3] or of 1x1"
        )
    if bias is not None and list(bias.shape) != shape[:1]:
        raise ValueError(f"bias: {list(bias.shape)} is not allowed, {shape[:1]}")


def _check_alike(parts: Sequence[Part], weight: Tensor, bias: Tensor | None) -> None:
    """All on one device and of one dtype, but for scales and shifts, which are wide."""
    dtype = weight.dtype
    if not dtype.is_floating_point:
        raise ValueError(f"weight: {dtype} is not allowed, a floating dtype")
    expected = [("bias", bias, dtype)]
    for number, part in enumerate(parts):
        for field in ("source", "scale", "shift", "up_weight", "up_bias"):
            allowed = wide(dtype) if field in ("scale", "shift") else dtype
            name = f"parts[{number}]: {field}"
            expected.append((name, getattr(part, field), allowed))
    for name, tensor, allowed in expected:
        if tensor is not None and tensor.dtype != allowed:
            raise ValueError(f"{name} of {tensor.dtype} is not allowed, {allowed}")
        if tensor is not None and tensor.device != weight.device:
            raise ValueError(
                f"{name} on {tensor.device} is not allowed, weight is on "
                f"{weight.device}"
            )


_PARTS = (
    "Tensor[] sources, Tensor[] norms, Tensor[] ups, bool[] normed, float[] slopes, "
    "str[] resamplings"
)
_Flat = tuple[
    list[Tensor], list[Tensor], list[Tensor], list[bool], list[float], list[str]
]


def _flat(parts: Sequence[Part]) -> _Flat:
    """The parts as lists that an operator takes: those of tensors have no gaps."""
    norms, ups = [], []
    for part in parts:
        if part.scale is not None and part.shift is not None:
            norms += [part.scale, part.shift]
        if part.up_weight is not None:
            bias = part.up_bias
            none = part.up_weight.new_zeros(part.channels) if bias is None else bias
            ups += [part.up_weight, none]
    return (
        [part.source for part in parts],
        norms,
        ups,
        [part.scale is not None for part in parts],
        [float(part.slope) for part in parts],
        [part.resampling for part in parts],
    )


def _parts(
    sources: list[Tensor],
    norms: list[Tensor],
    ups: list[Tensor],
    normed: list[bool],
    slopes: list[float],
    resamplings: list[Any],
) -> list[Part]:
    """The parts of which `_flat` made these lists."""
    norm, up = iter(norms), iter(ups)
    parts = []
    for source, has_norm, slope, resampling in zip(
        sources, normed, slopes, resamplings, strict=True
    ):
        scale, shift = (next(norm), next(norm)) if has_norm else (None, None)
        learned = resampling == "transpose"
        weight, bias = (next(up), next(up)) if learned else (None, None)
        parts.append(Part(source, scale, shift, slope, resampling, weight, bias))
    return parts


@torch.library.custom_op(
    "nestgen::normed_conv",
    mutates_args=(),
    schema=f"({_PARTS}, Tensor weight, Tensor? bias, bool statistics, str impl) "
    "-> (Tensor, Tensor, Tensor)",
)
def _forward(
    sources: list[Tensor],
    norms: list[Tensor],
    ups: list[Tensor],
    normed: list[bool],
    slopes: list[float],
    resamplings: list[str],
    weight: Tensor,
    bias: Tensor | None,
    statistics: bool,
    impl: str,
) -> tuple[Tensor, Tensor, Tensor]:
    parts = _parts(sources, norms, ups, normed, slopes, resamplings)
    run = _triton(parts).convolve if impl == "triton" else _convolve
    with no_autocast(weight):
        y, mean, var = run(parts, weight, bias, statistics)
    return y, mean, var


def _convolve(
    parts: Sequence[Part], weight: Tensor, bias: Tensor | None, statistics: bool
) -> tuple[Tensor, Tensor, Tensor]:
    y = channels_last(convolve(parts, weight, bias))
    if not statistics:
        return y, *_no_statistics(y)
    # torch's own statistics of channels_last add one by one, and err 50 times as much
    pixels = y.permute(0, 2, 3, 1).flatten(0, 2)
    mean = pixels.mean(0, dtype=wide(y.dtype))
    var = (pixels - mean).square_().mean(0)
    return y, mean, var


def _triton(parts: Sequence[Part]) -> Any:
    """The kernels, where they can read these parts."""
    reason = why_no_triton([channels_last(part.source) for part in parts])
    if reason is not None:
        raise ValueError(f"impl='triton' cannot run this: {reason}")
    return import_module("nestgen.kernels.normed_triton")


@_forward.register_fake
def _(
    sources: list[Tensor],
    norms: list[Tensor],
    ups: list[Tensor],
    normed: list[bool],
    slopes: list[float],
    resamplings: list[str],
    weight: Tensor,
    bias: Tensor | None,
    statistics: bool,
    impl: str,
) -> tuple[Tensor, Tensor, Tensor]:
    parts = _parts(sources, norms, ups, normed, slopes, resamplings)
    channels = weight.shape[0]
    batch = sources[0].shape[0]  # len() of it would make a number of a symbol
    y = empty_channels_last(weight, batch, channels, *common_size(parts))
    if not statistics:
        return y, *_no_statistics(y)
    mean = y.new_empty(channels, dtype=wide(y.dtype))
    return y, mean, torch.empty_like(mean)


def _no_statistics(y: Tensor) -> tuple[Tensor, Tensor]:
    none = y.new_empty(0, dtype=wide(y.dtype))
    return none, torch.empty_like(none)


def _setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    sources, norms, ups, *plain, weight, _, statistics, impl = inputs
    y, mean, _ = output
    ctx.plain, ctx.counts = plain, (len(sources), len(norms), len(ups))
    ctx.impl = impl
    read_again = [*sources, *norms, *ups, weight]
    ctx.save_for_backward(*read_again, *((y, mean) if statistics else ()))


def _autograd(ctx: Any, g: Tensor, g_mean: Tensor, g_var: Tensor) -> tuple[Any, ...]:
    saved = iter(ctx.saved_tensors)
    lists = [[next(saved) for _ in range(count)] for count in ctx.counts]
    weight, *statistics = saved
    *needs, _, _, _, of_weight, of_bias, _, _ = ctx.needs_input_grad
    asked = [_needs(part) for part in _parts(*needs, *ctx.plain)]
    *g_lists, g_weight, g_bias = _backward(
        *lists, *ctx.plain, weight, statistics, g, g_mean, g_var,
        [*asked, of_weight, of_bias], ctx.impl,
    )  # fmt: skip
    return (
        *([x if x.numel() else None for x in g_list] for g_list in g_lists),
        *(None for _ in ctx.plain),
        g_weight if of_weight else None,
        g_bias if of_bias else None,
        None,
        None,
    )


def _needs(part: Part) -> bool:
    """Whether a part needs a gradient, where for each tensor stands whether it does."""
    kept = (part.source, part.scale, part.shift, part.up_weight, part.up_bias)
    return any(kept)


_forward.register_autograd(_autograd, setup_context=_setup)


@torch.library.custom_op(
    "nestgen::normed_conv_backward",
    mutates_args=(),
    schema=f"({_PARTS}, Tensor weight, Tensor[] statistics, Tensor g, Tensor g_mean, "
    "Tensor g_var, bool[] asked, str impl) "
    "-> (Tensor[], Tensor[], Tensor[], Tensor, Tensor)",
)
def _backward(
    sources: list[Tensor],
    norms: list[Tensor],
    ups: list[Tensor],
    normed: list[bool],
    slopes: list[float],
    resamplings: list[str],
    weight: Tensor,
    statistics: list[Tensor],
    g: Tensor,
    g_mean: Tensor,
    g_var: Tensor,
    asked: list[bool],
    impl: str,
) -> tuple[list[Tensor], list[Tensor], list[Tensor], Tensor, Tensor]:
    """Gradients, shaped as what they are of; empty where they are not asked for."""
    parts = _parts(sources, norms, ups, normed, slopes, resamplings)
    run = _triton(parts).gradients if impl == "triton" else gradients
    with no_autocast(weight):
        found, g_weight, g_bias = run(
            parts, weight, statistics, g, g_mean, g_var, asked
        )
    return *_flat([_laid_out(part) for part in found])[:3], g_weight, g_bias


@_backward.register_fake
def _(
    sources: list[Tensor],
    norms: list[Tensor],
    ups: list[Tensor],
    normed: list[bool],
    slopes: list[float],
    resamplings: list[str],
    weight: Tensor,
    statistics: list[Tensor],
    g: Tensor,
    g_mean: Tensor,
    g_var: Tensor,
    asked: list[bool],
    impl: str,
) -> tuple[list[Tensor], list[Tensor], list[Tensor], Tensor, Tensor]:
    parts = _parts(sources, norms, ups, normed, slopes, resamplings)
    *of_parts, of_weight, of_bias = asked
    gradients = [
        replace(part.map(_like), source=empty_channels_last(weight, *part.source.shape))
        if wanted
        else part.map(_none)
        for part, wanted in zip(parts, of_parts, strict=True)
    ]
    g_weight = _like(weight) if of_weight else _none(weight)
    g_bias = g.new_empty(g.shape[1] if of_bias else 0)
    return *_flat(gradients)[:3], g_weight, g_bias


def _laid_out(part: Part) -> Part:
    """The gradients of images channels_last, those of weights contiguous."""
    there = part.source.numel() > 0
    source = channels_last(part.source) if there else part.source
    return replace(part.map(Tensor.contiguous), source=source)


def _like(x: Tensor) -> Tensor:
    return torch.empty_like(x, memory_format=torch.contiguous_format)


def _none(x: Tensor) -> Tensor:
    return x.new_empty(0)
