"""Cells: which segments of a network are its nodes, and what leads to them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

from nestgen.lifting.kinds import convolves, moves, pointwise
from nestgen.lifting.record import IMAGE, Operation
from nestgen.lifting.scales import Scale
from nestgen.lifting.segments import Segment, Segments


@dataclass(frozen=True)
class Cell:
    """A node that was found.

    Attributes:
        first: the first operation of its segment.
        numbers: of the operations of its block, with joins that do no more than bring
            its inputs together.
        rest: of those that follow in its segment, of its head or of its one edge.
        inputs: of the cells that it reads, in order; the image is none.
        scale: beside the image.
    """

    first: int
    numbers: tuple[int, ...]
    rest: tuple[int, ...]
    inputs: tuple[int, ...]
    scale: Scale


@dataclass(frozen=True)
class Way:
    """From one cell to another, or from a cell to an output: operations on the way."""

    source: int
    numbers: tuple[int, ...]


class Cells:
    """The cells of a network by the first operation of each, in topological order."""

    def __init__(self, pieces: Segments) -> None:
        self.pieces = pieces
        self.operations = pieces.done.operations
        begun = [*self._first()] or [*pieces.all.values()][:1]
        self.base = max((segment.scale for segment in begun), key=math.prod)
        self._nodes = {
            first for first, segment in pieces.all.items() if self._is_node(segment)
        }

    def _first(self) -> Iterator[Segment]:
        """Those that convolve what is nothing but the image."""
        mere = {IMAGE}
        for first, segment in self.pieces.all.items():
            if mere.issuperset(segment.inputs):
                if self.pieces.convolutions(segment):
                    yield segment
                else:
                    mere.add(first)

    def _is_node(self, segment: Segment) -> bool:
        """Whether a segment is a node, or is all of it on an edge or of a head.

        A node begins where results are joined, or where the image or a coarser
        resolution is read, and its result is read more than once or changes its
        resolution. What is finer than the finest that reads the image is of a head.
        """
        count = self.pieces.convolutions(segment)
        if segment.opening == "join":
            return count > 0 or segment.ending != "join"
        if segment.opening == "image":
            return count > 0
        if segment.ending == "branch":
            return count > 0
        if segment.opening == "branch" or segment.ending == "join":
            return False
        if segment.ending == "output":
            return count > 1 and math.prod(segment.scale) <= math.prod(self.base)
        return count > 0

    @cached_property
    def all(self) -> dict[int, Cell]:
        """The cells."""
        found = {}
        for first in sorted(self._nodes):
            segment = self.pieces.all[first]
            cut = self._cut(segment)
            found[first] = Cell(
                first=first,
                numbers=(*self._joined(segment), *segment.numbers[:cut]),
                rest=segment.numbers[cut:],
                inputs=tuple(way.source for way in self.ways(first)),
                scale=segment.scale,
            )
        return self._without_stem(found)

    def _without_stem(self, found: dict[int, Cell]) -> dict[int, Cell]:
        """`found` without finer rows to which nothing comes back.

        They belong to the first cell of the next row.
        """
        if not found:
            return found
        ends = {n for numbers in self.pieces.ends.values() for n in numbers}
        heads = {way.source for n in ends for way in self._ways((n,), ())}
        finest = max((cell.scale for cell in found.values()), key=math.prod)
        first, *others = [n for n, cell in found.items() if cell.scale == finest]
        readers = [n for n, cell in found.items() if first in cell.inputs]
        if others or first in heads or len(readers) != 1:
            return found
        stem, cell = found[first], found[readers[0]]
        if cell.inputs != (first,):
            return found
        numbers = (*stem.numbers, *stem.rest, *cell.numbers)
        begun = replace(cell, numbers=numbers, inputs=stem.inputs)
        rest = {n: x for n, x in found.items() if n != first}
        return self._without_stem({**rest, readers[0]: begun})

    def ways(self, first: int) -> list[Way]:
        """The ways into a segment from the cells that it reads, in order."""
        return [*self._ways(self.pieces.all[first].inputs, ())]

    def _ways(self, inputs: tuple[int, ...], numbers: tuple[int, ...]) -> Iterator[Way]:
        for source in inputs:
            if source == IMAGE or source in self._nodes:
                yield Way(source, numbers)
            else:
                segment = self.pieces.all[source]
                joined = segment.opening == "join"
                here = () if joined else segment.numbers
                yield from self._ways(segment.inputs, here + numbers)

    def _joined(self, segment: Segment) -> Iterator[int]:
        """The operations of joins that lead to a segment and are no nodes."""
        for source in set(segment.inputs) - self._nodes - {IMAGE}:
            before = self.pieces.all[source]
            yield from self._joined(before)
            if before.opening == "join":
                yield from before.numbers

    def head(self, first: int) -> Way:
        """From a cell to the end of a segment that an output comes of."""
        if first in self._nodes:
            return Way(first, self.all[first].rest)
        ways = [*self._ways((first,), ())]
        return ways[0]

    def _cut(self, segment: Segment) -> int:
        """How many operations of a node's segment are its block's.

        Not what weighs it before it is joined, and not those from the last convolution
        on, where that is the output's or leads to an up-sampling with nothing between:
        a sub-pixel one, or one that changes the channels before.
        """
        steps = [self.operations[n] for n in segment.numbers]
        places = [n for n, step in enumerate(steps) if convolves(step)]
        weighs = steps[-1].name == "mul" and len(steps[-1].inputs) > 1
        if segment.ending == "join" and weighs:
            return len(steps) - 1
        if not places:
            return len(steps)
        last = places[-1]
        if segment.ending == "output":
            return last
        if segment.ending == "change" and all(map(moves, steps[last + 1 :])):
            riser = self._riser(segment)
            others = self.pieces.convolutions(segment) > 1
            narrowed = pointwise(steps[last]) and others
            if riser is not None and (moves(riser) or narrowed):
                return last
        return len(steps)

    def _riser(self, segment: Segment) -> Operation | None:
        """The operation that up-samples what a segment gives, if one does."""
        for first, reader in self.pieces.all.items():
            if segment.numbers[0] in reader.inputs and reader.rises:
                return self.operations[first]
        return None
