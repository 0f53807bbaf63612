"""Parts of normed convolutions, and the gradients of one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from nestgen.kernels.part import Part, Resampling, wide
from nestgen.kernels.upcat_conv_reference import UPS

Size = tuple[int, int]


def drawn(*shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64).to(dtype).requires_grad_()


def make_part(
    resampling: Resampling,
    size: Size,
    *,
    slope: float = 0.3,
    norm: bool = True,
    dtype: torch.dtype = torch.float64,
    channels: int = 2,
) -> Part:
    """A part that is read as `size`, odd sizes with something cut off."""
    height, width = size
    if resampling == "pool":
        size = 2 * height + 1, 2 * width
    elif resampling in UPS:
        size = (height + 1) // 2, (width + 1) // 2
    source = drawn(2, channels, *size, dtype=dtype)
    part = Part(source, slope=slope, resampling=resampling)
    if norm:
        vectors = (drawn(channels, dtype=wide(dtype)) for _ in range(2))
        part = replace(part, scale=next(vectors), shift=next(vectors))
    if resampling == "transpose":
        up_weight = drawn(channels, channels + 1, 2, 2, dtype=dtype)
        up_bias = drawn(channels + 1, dtype=dtype)
        part = replace(part, up_weight=up_weight, up_bias=up_bias)
    return part


def row(resampling: Resampling, size: Size = (4, 6), **options: Any) -> list[Part]:
    """A skip, what is resampled, and the same without a norm and an activation."""
    return [
        make_part("same", size, slope=0.0, **options),
        make_part(resampling, size, **options),
        make_part(resampling, size, slope=1.0, norm=False, **options),
    ]


def make_weight(
    parts: Sequence[Part], kernel: int = 3, dtype: torch.dtype = torch.float64
) -> Tensor:
    return drawn(3, sum(part.channels for part in parts), kernel, kernel, dtype=dtype)


def tensors(parts: Sequence[Part]) -> list[Tensor]:
    found: list[Tensor] = []
    for part in parts:
        part.map(lambda x: found.append(x) or x)  # type: ignore[func-returns-value]
    return found


def with_tensors(parts: Sequence[Part], given: Iterator[Tensor]) -> list[Part]:
    return [part.map(lambda _: next(given)) for part in parts]


def gradients(
    run: Callable[..., tuple[Tensor, ...]],
    parts: Sequence[Part],
    weight: Tensor,
    bias: Tensor | None,
    seed: int = 7,
) -> list[Tensor]:
    """What `run` gives, then the gradients of all that went in."""
    outputs = run(parts, weight, bias)
    generator = torch.Generator().manual_seed(seed)
    given = [
        torch.randn(y.shape, generator=generator, dtype=torch.float64).to(y)
        for y in outputs
    ]
    leaves = [*tensors(parts), weight, *([] if bias is None else [bias])]
    return [*outputs, *torch.autograd.grad(outputs, leaves, given)]


def as_exact(x: Tensor) -> Tensor:
    return x.detach().double().requires_grad_()
