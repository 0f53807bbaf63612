"""A hot path as one call of a kernel: which images it reads, by which weights."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, fx

from nestgen.fusion.match import HotPath
from nestgen.fusion.work import Work
from nestgen.kernels.call import Call, Output
from nestgen.kernels.layout import channels_last
from nestgen.kernels.lowering import Lowered
from nestgen.kernels.packing import pack_phases, pack_weight
from nestgen.kernels.phases import border_bias, nearest_phases, transpose_phases

FORMS = {
    "transpose": ("phases", "raised"),
    "nearest": ("phases", "nearest", "raised"),
    "bilinear": ("raised",),
    "bilinear-aligned": ("raised",),
    "none": ("raised",),
}
"""Of a kernel, by the way up, those that do least first."""


def forms(path: HotPath) -> tuple[str, ...]:
    """The forms of a kernel that a path can take, those that do least first."""
    return FORMS[path.up]


def lowered(path: HotPath, form: str) -> Lowered:
    """The weights of a path in a form (see `Call`)."""
    bias, of_up = path.convolution.bias, path.of_up
    if form == "raised" or of_up is None:
        return Lowered("raised", "none", pack_weight(path.convolution.weight), bias)
    own = pack_weight(path.own)
    if form == "nearest":
        return Lowered("nearest", "nearest", own, bias, pack_weight(of_up))
    composed = pack_phases(phases_weight(path))
    return Lowered("phases", "phases", own, phases_bias(path), composed)


def phases_weight(path: HotPath) -> Tensor:
    """Up-sampling and the convolution behind it, as one transposed convolution."""
    assert path.of_up is not None
    if path.up_weight is None:
        return nearest_phases(path.of_up)
    return transpose_phases(path.of_up, path.up_weight)


def phases_bias(path: HotPath) -> Tensor | None:
    """The bias of both: [Co], or by borders where the up-sampling has one too."""
    assert path.of_up is not None
    if path.up_bias is None:
        return path.convolution.bias
    return border_bias(path.of_up, path.up_bias, path.convolution.bias)


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
