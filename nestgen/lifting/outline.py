"""The outline of any network: its segments by resolution, as they are drawn."""

from __future__ import annotations

import math

from nestgen.drawing.blocks import Block, Blocks
from nestgen.lifting.parts import Part, parts_of
from nestgen.lifting.record import IMAGE
from nestgen.lifting.segments import Segments


def outline(pieces: Segments, title: str) -> Blocks:
    """The segments of a network as blocks, each with its channels and its module.

    >>> import torch
    >>> from nestgen.lifting.record import record
    >>> from nestgen.lifting.segments import segments
    >>> net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3, stride=2), torch.nn.ReLU())
    >>> outline(segments(record(net, torch.ones(1, 3, 8, 8))), "Net").blocks
    (Block(row=0, text='4', name='0 - 1', reads=(), output=True),)
    """
    operations = pieces.done.operations
    scales = sorted(
        {segment.scale for segment in pieces.all.values()}, key=math.prod, reverse=True
    )
    parts = segment_parts(pieces).values()
    order = {first: place for place, first in enumerate(pieces.all)}
    ends = {first for found in pieces.ends.values() for first in found}
    sides = operations[IMAGE].shape[2:]
    return Blocks(
        title=title,
        rows=tuple(
            "x".join(str(round(a * b)) for a, b in zip(sides, scale, strict=True))
            for scale in scales
        ),
        blocks=tuple(
            Block(
                row=scales.index(segment.scale),
                text=str(operations[segment.numbers[-1]].shape[1]),
                name=_called(part.modules),
                reads=tuple(order[n] for n in segment.inputs if n != IMAGE),
                output=first in ends,
            )
            for (first, segment), part in zip(pieces.all.items(), parts, strict=True)
        ),
    )


def segment_parts(pieces: Segments) -> dict[str, Part]:
    """The segments as parts, `b0` and so on."""
    names = {first: f"b{place}" for place, first in enumerate(pieces.all)}
    numbers: dict[str, list[int]] = {name: [] for name in names.values()}
    firsts = {n: names[first] for first, x in pieces.all.items() for n in x.numbers}
    for number, owner in sorted(pieces.owners.items()):
        if owner in firsts:
            numbers[firsts[owner]].append(number)
    return parts_of(pieces.done, numbers)


def _called(modules: tuple[str, ...]) -> str:
    """The first module and the last.

    >>> _called(("conv1", "bn1", "relu"))
    'conv1 - relu'
    """
    return " - ".join(dict.fromkeys((modules[0], modules[-1]))) if modules else ""
