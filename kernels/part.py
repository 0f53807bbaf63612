"""One source of a fused convolution: a tensor, and how it is read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

import torch
from torch import Tensor

from nestgen.kernels.upcat_conv_reference import UPS

Resampling = Literal[
    "same", "pool", "transpose", "nearest", "bilinear", "bilinear-aligned"
]
RESAMPLINGS: tuple[Resampling, ...] = get_args(Resampling)


@dataclass(frozen=True)
class Part:
    """resample(act(scale * source + shift)), of which the source alone is stored.

    A batch norm is such a scale and shift: scale = gamma / sqrt(var + eps), shift =
    beta - mean * scale. So what a convolution gives is stored once, as it comes, and
    normed wherever it is read.

    Attributes:
        source: [N, C, h, w].
        scale: [C], in float32 at least; None is 1.
        shift: [C] beside `scale`, None is 0.
        slope: of act where its input is negative: 0 is ReLU, 1 no activation.
        resampling: "same"; "pool", 2x2 maxima; by 2, "nearest", "bilinear" with corners
            of pixels aligned or without, "transpose": a transposed 2x2 convolution.
        up_weight: [C, Cu, 2, 2] of "transpose".
        up_bias: [Cu] of it, or None.
    """

    source: Tensor
    scale: Tensor | None = None
    shift: Tensor | None = None
    slope: float = 1.0
    resampling: Resampling = "same"
    up_weight: Tensor | None = None
    up_bias: Tensor | None = None

    @property
    def channels(self) -> int:
        """How many it brings to the convolution."""
        carrier = self.source if self.up_weight is None else self.up_weight
        return carrier.shape[1]

    @property
    def size(self) -> tuple[int, int]:
        """Height and width after the resampling, before an odd target crops them."""
        height, width = self.source.shape[2:]
        if self.resampling == "same":
            return height, width
        if self.resampling == "pool":
            return height // 2, width // 2
        return 2 * height, 2 * width

    def map(self, change: Callable[[Tensor], Tensor]) -> Part:
        """The same of tensors that are changed."""

        def changed(x: Tensor | None) -> Tensor | None:
            return None if x is None else change(x)

        return replace(
            self,
            source=change(self.source),
            scale=changed(self.scale),
            shift=changed(self.shift),
            up_weight=changed(self.up_weight),
            up_bias=changed(self.up_bias),
        )


def common_size(parts: Sequence[Part]) -> tuple[int, int]:
    """Height and width of what `parts` are read as, side by side.

    Those that are not up-sampled have it; a size of 2h - 1 crops what is raised to 2h.
    Raises `ValueError` where they do not fit.

    >>> low, skip = torch.zeros(1, 1, 2, 2), torch.zeros(1, 1, 3, 4)
    >>> common_size([Part(low, resampling="nearest"), Part(skip)])
    (3, 4)
    """
    settled = [part.size for part in parts if part.resampling not in UPS]
    target = settled[0] if settled else parts[0].size
    for number, part in enumerate(parts):
        slack = 1 if settled and part.resampling in UPS else 0
        if any(not 0 <= a - b <= slack for a, b in zip(part.size, target, strict=True)):
            raise ValueError(
                f"parts[{number}]: {_by(part.size)} after {part.resampling!r} is not "
                f"allowed, the convolution's is {_by(target)}"
            )
    return target


def check(parts: Sequence[Part]) -> None:
    """Raise `ValueError` for a part that is none, or unlike the others."""
    if not parts:
        raise ValueError("parts: none is not allowed, one or more")
    first = parts[0].source
    for number, part in enumerate(parts):
        name, source = f"parts[{number}]", part.source
        if source.ndim != 4 or source.shape[0] != first.shape[0]:
            raise ValueError(
                f"{name}: source {list(source.shape)} is not allowed, "
                f"[{first.shape[0]}, C, h, w]"
            )
        if part.resampling not in RESAMPLINGS:
            raise ValueError(
                f"{name}: resampling {part.resampling!r} is not allowed, "
                f"{', '.join(RESAMPLINGS)}"
            )
        if part.slope < 0:
            raise ValueError(f"{name}: slope {part.slope} is not allowed, 0 or more")
        _check_norm(name, part)
        _check_up(name, part)
    common_size(parts)


def _check_norm(name: str, part: Part) -> None:
    if (part.scale is None) != (part.shift is None):
        raise ValueError(f"{name}: a scale alone is not allowed, with its shift")
    for what, vector in (("scale", part.scale), ("shift", part.shift)):
        if vector is not None and vector.shape != part.source.shape[1:2]:
            raise ValueError(
                f"{name}: {what} {list(vector.shape)} is not allowed, "
                f"[{part.source.shape[1]}]"
            )


def _check_up(name: str, part: Part) -> None:
    if (part.up_weight is not None) != (part.resampling == "transpose"):
        raise ValueError(
            f"{name}: 'transpose' takes an up_weight, {part.resampling!r} was asked"
        )
    if part.up_weight is None:
        return
    shape, channels = part.up_weight.shape, part.source.shape[1]
    if len(shape) != 4 or shape[0] != channels or tuple(shape[2:]) != (2, 2):
        raise ValueError(
            f"{name}: up_weight {list(shape)} is not allowed, [{channels}, Cu, 2, 2]"
        )
    if part.up_bias is not None and part.up_bias.shape != shape[1:2]:
        raise ValueError(
            f"{name}: up_bias {list(part.up_bias.shape)} is not allowed, [{shape[1]}]"
        )


def _by(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"


def wide(dtype: torch.dtype) -> torch.dtype:
    """In what sums and statistics of `dtype` are kept: float32, or float64.

    >>> wide(torch.bfloat16), wide(torch.float64)
    (torch.float32, torch.float64)
    """
    return torch.promote_types(dtype, torch.float32)
