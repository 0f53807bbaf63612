"""Up-sampling by 2 for its own sake, where no convolution can take it in.

Bilinear up-sampling clamps at the borders, and with aligned corners its weights change
from pixel to pixel. So it is written to memory: once, where its readers look for it.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from nestgen.kernels.availability import why_no_triton
from nestgen.kernels.images import is_channels_last
from nestgen.kernels.layout import empty_channels_last
from nestgen.kernels.upcat_conv_reference import up2x

Mode = Literal["nearest", "bilinear", "bilinear-aligned"]
MODES: tuple[Mode, ...] = ("nearest", "bilinear", "bilinear-aligned")
IMPLS = ("reference", "triton")


def raise2x(
    low: Tensor,
    mode: Mode,
    size: tuple[int, int] | None = None,
    *,
    out: Tensor | None = None,
    impl: str = "reference",
) -> Tensor:
    """The image [N, C, h, w] as [N, C, 2h, 2w], or the first rows and columns of that.

    `size` is 2h or 2h - 1 by 2w or 2w - 1. `out`, channels_last, is written and
    returned where it is given. `impl` is "reference", torch's own operators, or
    "triton", whose weights are exact where torch rounds its own. What does not fit is a
    `ValueError`.

    >>> raise2x(torch.tensor([[[[0.0, 1.0]]]]), "bilinear", (1, 4)).tolist()
    [[[[0.0, 0.25, 0.75, 1.0]]]]
    """
    if low.ndim != 4:
        raise ValueError(f"low: {list(low.shape)} is not allowed, [N, C, h, w]")
    height, width = size or (2 * low.shape[2], 2 * low.shape[3])
    _check(low, mode, height, width, impl)
    if out is None:
        out = empty_channels_last(low, *low.shape[:2], height, width)
    else:
        _check_out(out, low, height, width)
    if impl == "reference":
        return out.copy_(up2x(low, mode, like=out))
    reason = why_no_triton([low])
    if reason is not None:
        raise ValueError(f"impl='triton' cannot run this: {reason}")
    from nestgen.kernels.raise2x_kernel import launch

    launch(low, mode, out)
    return out


def _check(low: Tensor, mode: str, height: int, width: int, impl: str) -> None:
    for name, value, known in (("mode", mode, MODES), ("impl", impl, IMPLS)):
        if value not in known:
            raise ValueError(f"{name}={value!r} is not allowed, {', '.join(known)}")
    half = [(height + 1) // 2, (width + 1) // 2]
    if list(low.shape[2:]) != half:
        raise ValueError(
            f"size={height, width} is not allowed, twice {list(low.shape[2:])} "
            "or one less"
        )


def _check_out(out: Tensor, low: Tensor, height: int, width: int) -> None:
    wanted = (low.shape[0], low.shape[1], height, width), low.dtype, low.device
    if (out.shape, out.dtype, out.device) != wanted or not is_channels_last(out):
        shape, dtype, device = wanted
        raise ValueError(
            f"out: {list(out.shape)}, {out.dtype} on {out.device} is not allowed, "
            f"{list(shape)}, {dtype} on {device}, channels_last"
        )


@torch.library.custom_op(
    "nestgen::raise2x",
    mutates_args=(),
    schema="(Tensor low, str mode, SymInt height, SymInt width, str impl) -> Tensor",
)
def raise2x_operator(
    low: Tensor, mode: Mode, height: int, width: int, impl: str
) -> Tensor:
    """`raise2x` as the operator `nestgen::raise2x`: one node of a graph."""
    return raise2x(low, mode, (height, width), impl=impl)


@raise2x_operator.register_fake
def _(low: Tensor, mode: Mode, height: int, width: int, impl: str) -> Tensor:
    return empty_channels_last(low, *low.shape[:2], height, width)
