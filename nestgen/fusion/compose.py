"""conv3x3(cat(s, up2x(l)); W) = conv3x3(s; W_s) + conv3x3(up2x(l); W_l), and less."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import fx, nn
from torch.nn import functional as F

from nestgen.fusion.choice import Choice
from nestgen.fusion.composed import Doubled, Interpolated, Transposed
from nestgen.fusion.match import HotPath, match
from nestgen.fusion.work import Work, convolution_module

COMPOSED = ("transpose", "nearest", "bilinear")
"""Ways up that are composed with the convolution."""


def torch_forms(up: str, skips: int) -> tuple[str, ...]:
    """The forms in torch's operators of a path with so many skips.

    >>> torch_forms("none", 1), torch_forms("nearest", 1)
    (('written',), ('written', 'split', 'composed'))
    """
    if up == "none" or not skips:
        return ("written",)
    return ("written", "split", *(["composed"] if up in COMPOSED else []))


def compose(work: Work) -> None:
    """Split a convolution where torch's operators then do less.

    Its share of the skips, and its share of the up-sampled input: that is convolved by
    itself ("split"), or up-sampled and convolved in one (see `composed`).
    """
    for path in match(work):
        choice = work.choices.get(path.node, Choice())
        if choice.impl == "torch" and choice.form in ("split", "composed"):
            _compose(work, path, choice)


def _compose(work: Work, path: HotPath, choice: Choice) -> None:
    row, at = work.rows[path.node], path.last
    if not path.skips:
        row.leave("it reads nothing but what is up-sampled")
        return
    source = path.raised if choice.form == "split" else path.low
    assert source is not None
    low = work.put(of_low(path, choice.form), f"{row.name}_low", (source,), at)
    work.rows[low] = row
    y, shape = work.shaped(low, work.shape(path.node)), work.shape(path.node)
    for share in _shares(work, path, choice):
        work.rows[share] = row
        work.shaped(share, shape)
        y = work.shaped(work.call(torch.add, (share, y), at), shape)
    row.done.append(str(choice))
    if choice.form == "composed":
        work.inside(path.raised, row)
    work.replace(path.last, _activated(work, y, path))


def _shares(work: Work, path: HotPath, choice: Choice) -> Iterator[fx.Node]:
    """Convolutions of the skips, of each by itself or of all together."""
    name, bias = work.rows[path.node].name, path.convolution.bias
    if not choice.apart:
        module = convolution_module(path.convolution, path.own, bias)
        yield work.put(module, name, (_skips(work, path),), path.last)
        return
    first = 0
    for skip in path.skips:
        columns = path.own.narrow(1, first, work.shape(skip)[1])
        module = convolution_module(path.convolution, columns, None if first else bias)
        first += columns.shape[1]
        yield work.put(module, name, (skip,), path.last)


def _skips(work: Work, path: HotPath) -> fx.Node:
    """All skips as one image."""
    if len(path.skips) == 1:
        return path.skips[0]
    number, _, *size = work.shape(path.node)
    skips = work.call(torch.cat, (path.skips,), path.last, dim=1)
    return work.shaped(skips, (number, path.own.shape[1], *size))


def of_low(path: HotPath, form: str) -> nn.Module:
    """What takes the lower input, raised before where the form is "split"."""
    assert path.of_up is not None
    if form == "split":
        return convolution_module(path.convolution, path.of_up, None)
    if path.up == "transpose":
        assert path.up_weight is not None
        return Transposed(path.of_up, path.up_weight, path.up_bias)
    return {"nearest": Doubled, "bilinear": Interpolated}[path.up](path.of_up)


def _activated(work: Work, y: fx.Node, path: HotPath) -> fx.Node:
    if path.slope == 1:
        return y
    if path.slope == 0:
        return work.call(F.relu, (y,), path.last)
    return work.call(F.leaky_relu, (y, path.slope), path.last)
