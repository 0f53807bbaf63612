"""act(conv3x3(cat(skips..., up2x(low))) + bias): find it, whatever it is called."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor, fx

from nestgen.fusion.operations import Act, Concatenation, Convolution, Up
from nestgen.fusion.read import resizes
from nestgen.fusion.work import Work
from nestgen.fusion.writes import rewritten


@dataclass(frozen=True)
class HotPath:
    """A convolution that keeps sizes, and what stands before and behind it.

    Attributes:
        node: of the convolution.
        last: whose value is the result: the activation, or the convolution itself.
        convolution: with all of its weight.
        slope: of the activation where its input is negative; 1 is none.
        parts: all that is concatenated, in the order of the weight.
        skips: those of the parts that are not up-sampled for it.
        own: the weight's columns for `skips`.
        raised: the other part, which is up-sampled, or None.
        low: what it is before.
        up: how: "transpose", "nearest", "bilinear", "bilinear-aligned", or "none".
        of_up: the weight's columns for the up-sampled input.
        up_weight, up_bias: of a transposed convolution.
    """

    node: fx.Node
    last: fx.Node
    convolution: Convolution
    slope: float
    parts: tuple[fx.Node, ...]
    skips: tuple[fx.Node, ...]
    own: Tensor
    raised: fx.Node | None = None
    low: fx.Node | None = None
    up: str = "none"
    of_up: Tensor | None = None
    up_weight: Tensor | None = None
    up_bias: Tensor | None = None


def match(work: Work) -> Iterator[HotPath]:
    """The hot paths, in the order of their computation; why not stands in the rows."""
    for node, convolution in work.operations():
        if isinstance(convolution, Convolution) and not convolution.transposed:
            if convolution.is_plain and set(convolution.kernel) == {3}:
                path = _path(work, node, convolution)
                if _is_steady(work, path):
                    yield path
                else:
                    work.rows[node].leave("what it reads is written over")
            elif set(convolution.kernel) != {1}:
                kernel = "x".join(map(str, convolution.kernel))
                work.rows[node].leave(
                    f"a kernel of {kernel}, stride {convolution.stride[0]}, padding "
                    f"{convolution.padding[0]}, dilation {convolution.dilation[0]}, "
                    f"{convolution.groups} groups is no conv3x3 that keeps the size"
                )


def _is_steady(work: Work, path: HotPath) -> bool:
    """Whether all that it reads stays as it is until its end, where it is read then."""
    images = path.skips if path.low is None else (*path.skips, path.low)
    return not any(rewritten(work, image, path.last) for image in images)


def _path(work: Work, node: fx.Node, convolution: Convolution) -> HotPath:
    last, slope = _activation(work, node)
    parts = _parts(work, node, convolution)
    plain = HotPath(
        node, last, convolution, slope, parts, skips=parts, own=convolution.weight
    )
    at = _raised(work, node, parts)
    if at is None:
        return plain
    widths = [work.shape(part)[1] for part in parts]
    columns = list(torch.split(convolution.weight, widths, dim=1))
    of_up, found = columns.pop(at), work.read(parts[at])
    path = replace(
        plain,
        skips=parts[:at] + parts[at + 1 :],
        own=torch.cat([convolution.weight[:, :0], *columns], dim=1),
        of_up=of_up,
        raised=parts[at],
    )
    if isinstance(found, Up):
        return replace(path, low=found.x, up=found.mode)
    assert isinstance(found, Convolution)
    return replace(
        path, low=found.x, up="transpose", up_weight=found.weight, up_bias=found.bias
    )


def _activation(work: Work, node: fx.Node) -> tuple[fx.Node, float]:
    """What is applied to a convolution, if that alone reads it."""
    if len(node.users) == 1:
        (reader,) = node.users
        found = work.read(reader)
        if isinstance(found, Act):
            return reader, found.slope
    return node, 1.0


def _parts(work: Work, node: fx.Node, convolution: Convolution) -> tuple[fx.Node, ...]:
    """What a convolution reads: the parts of what is concatenated for it alone."""
    parts = tuple(_flat(work, convolution.x))
    if parts == (convolution.x,) and isinstance(
        work.read(convolution.x), Concatenation
    ):
        work.rows[node].leave("its concatenation is read elsewhere too")
    return parts


def _flat(work: Work, node: fx.Node) -> Iterator[fx.Node]:
    """The parts of a concatenation with one reader, and of those inside of it."""
    found = work.read(node)
    if isinstance(found, Concatenation) and len(node.users) == 1:
        for part in found.parts:
            yield from _flat(work, part)
    else:
        yield node


def _raised(work: Work, node: fx.Node, parts: tuple[fx.Node, ...]) -> int | None:
    """The place of the part that is up-sampled by 2 for this convolution alone."""
    for at, part in enumerate(parts):
        found = work.read(part)
        if isinstance(found, Up) or (isinstance(found, Convolution) and found.is_up):
            if len(part.users) > 1:
                work.rows[node].leave("what it up-samples is read elsewhere too")
            else:
                return at
        elif found is None and resizes(work.traced, part):
            work.rows[node].leave(
                "what it interpolates is not surely raised by 2, nearest or bilinear"
            )
    return None
