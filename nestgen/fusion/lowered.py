"""A hot path as one call of a kernel: which images it reads, by which weights."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, fx

from nestgen.fusion.match import HotPath
from nestgen.fusion.work import Work
from nestgen.kernels.call import Call, Output
from nestgen.kernels.layout import channels_last
from nestgen.kernels.lowering import Lowered, lower


def lowered(path: HotPath, form: str) -> Lowered:
    """The weights of a path in a form (see `Call`)."""
    bias = path.convolution.bias
    if form == "raised":
        return lower(form, path.convolution.weight, bias)
    return lower(form, path.own, bias, path.of_up, path.up_weight, path.up_bias)


def images(path: HotPath, form: str) -> tuple[fx.Node, ...]:
    """What a path reads in a form: the lower input first, where it reads one."""
    if form == "raised" or path.low is None:
        return path.parts
    return (path.low, *path.skips)


def example_call(
    work: Work,
    path: HotPath,
    form: str,
    outputs: Sequence[Output] = ("features",),
    head: tuple[Tensor | None, Tensor | None] = (None, None),
) -> Call:
    """The call for the example, with images that have shapes and no contents."""
    made, weight = lowered(path, form), path.convolution.weight
    empty = [
        channels_last(
            torch.empty(work.shape(x), dtype=weight.dtype, device=weight.device)
        )
        for x in images(path, form)
    ]
    low, skips = (None, empty) if made.up == "none" else (empty[0], empty[1:])
    return Call(
        skips, made.weight, made.bias, low, made.low_weight, made.up, path.slope,
        outputs, *head,
    )  # fmt: skip
