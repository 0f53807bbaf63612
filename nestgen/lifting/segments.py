"""Segments: the skeleton in pieces that run straight on at one resolution."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import networkx as nx

from nestgen.lifting.kinds import convolves
from nestgen.lifting.record import IMAGE, Record
from nestgen.lifting.scales import Scale, scales
from nestgen.lifting.skeleton import Skeleton, finer, skeleton

Opening = Literal["image", "join", "change", "branch"]
Ending = Literal["branch", "output", "join", "change"]


@dataclass(frozen=True)
class Segment:
    """Operations one after the other, at one resolution.

    Attributes:
        numbers: of its operations.
        inputs: of the segments that it reads, in the order in which it does.
        scale: beside the image.
        opening: where it begins: at the image, where several results are joined, where
            the resolution changes, or at a result that others read too.
        ending: what it ends in.
        rises: whether it begins with an up-sampling.
    """

    numbers: tuple[int, ...]
    inputs: tuple[int, ...]
    scale: Scale
    opening: Opening
    ending: Ending
    rises: bool = False


@dataclass(frozen=True)
class Segments:
    """A network in segments.

    Attributes:
        done: what it does.
        all: by the number of the first operation, so in topological order.
        ends: by the name of an output, the segments of which it comes.
        owners: for each operation that of a segment to which it belongs.
    """

    done: Record
    all: dict[int, Segment]
    ends: dict[str, tuple[int, ...]]
    owners: dict[int, int]

    def convolutions(self, segment: Segment) -> int:
        """How often channels are mixed, but for a first time that up-samples."""
        counted = set(segment.numbers[int(segment.rises) :])
        return sum(
            convolves(operation) and self.owners.get(n) in counted
            for n, operation in enumerate(self.done.operations)
        )


def segments(done: Record) -> Segments:
    """The segments of a network."""
    scale = scales(done.operations)
    bones = skeleton(done, scale)
    firsts, chains = {IMAGE: IMAGE}, dict[int, list[int]]()
    openings: dict[int, Opening] = {}
    for number in nx.topological_sort(bones.flow):
        if number == IMAGE:
            continue
        opening = _opening(bones, scale, number)
        if opening is None:
            firsts[number] = firsts[next(bones.flow.predecessors(number))]
        else:
            firsts[number], openings[number] = number, opening
        chains.setdefault(firsts[number], []).append(number)
    return Segments(
        done=done,
        all={
            first: Segment(
                numbers=tuple(chain),
                inputs=tuple(firsts[n] for n in bones.flow.predecessors(first)),
                scale=scale[first],
                opening=openings[first],
                ending=_ending(bones, scale, chain[-1]),
                rises=_rises(bones, scale, first),
            )
            for first, chain in sorted(chains.items())
        },
        ends={
            name: tuple(dict.fromkeys(firsts[n] for n in numbers))
            for name, numbers in bones.ends.items()
        },
        owners=_owners(done, bones),
    )


def _opening(bones: Skeleton, scale: Sequence[Scale], number: int) -> Opening | None:
    """How a segment begins with an operation, if one does."""
    source, *others = bones.flow.predecessors(number)
    if others:
        return "join"
    if source == IMAGE:
        return "image"
    if scale[source] != scale[number]:
        return "change"
    return "branch" if bones.uses(source) > 1 else None


def _ending(bones: Skeleton, scale: Sequence[Scale], number: int) -> Ending:
    if bones.uses(number) > 1:
        return "branch"
    reader = next(bones.flow.successors(number), None)
    if reader is None:
        return "output"
    return "join" if bones.flow.in_degree(reader) > 1 else "change"


def _rises(bones: Skeleton, scale: Sequence[Scale], number: int) -> bool:
    source, *others = bones.flow.predecessors(number)
    return not others and finer(scale[number], scale[source])


def _owners(done: Record, bones: Skeleton) -> dict[int, int]:
    """For each operation that of the skeleton to whose result it adds.

    It is the first of those that read it; what comes after the last convolution is its
    own input's. What no output needs belongs to none.
    """
    owners: dict[int, int] = {}
    needed = set(done.outputs.values())
    for number, operation in reversed([*enumerate(done.operations)]):
        if number in bones.flow:
            owners[number] = number
        if number in owners:
            inside = (n for n in operation.inputs if n not in bones.flow)
            owners.update((n, owners[number]) for n in inside)
        if number in needed:
            needed.update(operation.inputs)
    for number in sorted(needed - owners.keys()):
        known = [owners[n] for n in done.operations[number].inputs if n in owners]
        owners.update((number, n) for n in known[:1])
    return owners
