"""The skeleton of a network: how its operations hang together, without what is inside
of blocks."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import networkx as nx

from nestgen.lifting.kinds import convolves, moves, switches
from nestgen.lifting.record import IMAGE, Operation, Record
from nestgen.lifting.scales import Scale

if TYPE_CHECKING:
    Flow: TypeAlias = "nx.DiGraph[int]"
    """Of the numbers of operations."""


@dataclass(frozen=True)
class Skeleton:
    """How operations hang together.

    Attributes:
        flow: from the image to the last convolutions; all others are inside of blocks,
            or come after.
        ends: by the name of an output, what it is computed from when nothing is
            convolved any more: one operation, or several whose results are fused.
    """

    flow: Flow
    ends: dict[str, tuple[int, ...]]

    def uses(self, number: int) -> int:
        """How often a result is read; to be an output counts once."""
        end = any(number in numbers for numbers in self.ends.values())
        return int(self.flow.out_degree(number)) + end


def skeleton(done: Record, scale: Sequence[Scale]) -> Skeleton:
    """What leads from the image to the outputs, step by step.

    A gate is left out where it is multiplied in: it weighs what is there and brings
    nothing. A join is left out, with all that lies between it and the operation through
    which all its inputs come, where that is inside of a block: where nothing between
    them goes down and comes up again, and nothing else reads of it. Numbers about the
    whole image, and what comes of them, have no resolution there. What is left has
    joins where a nested U-Net has its nodes.
    """
    flow, whole = _flow(done), _whole(done.operations)
    convolved = {n for n in flow if convolves(done.operations[n])}
    entries = nx.immediate_dominators(flow, IMAGE)
    for join in [n for n in nx.topological_sort(flow) if flow.in_degree(n) > 1]:
        between = _between(flow, entries[join], join, done.outputs.values())
        steps = flow.subgraph({entries[join], join} | between).edges
        if _leaves(flow, join, between) or _returns(scale, steps, whole):
            continue
        if not convolved.isdisjoint(between):
            convolved.add(join)
        flow.remove_nodes_from(between)
        flow.add_edge(entries[join], join)
    return Skeleton(flow, _take_ends(done, flow, convolved & set(flow)))


def _flow(done: Record) -> Flow:
    """What comes of the image and leads to an output, without gates."""
    flow: Flow = nx.DiGraph()
    for number, operation in enumerate(done.operations):
        gates = set(_gates(done.operations, operation))
        flow.add_edges_from((n, number) for n in operation.inputs if n not in gates)
    outputs = set(done.outputs.values())
    needed = outputs.union(*(nx.ancestors(flow, n) for n in outputs))
    reached = nx.descendants(flow, IMAGE) | {IMAGE}
    flow.remove_nodes_from(set(flow) - (needed & reached))
    return flow


def _take_ends(
    done: Record, flow: Flow, convolved: Collection[int]
) -> dict[str, tuple[int, ...]]:
    """Take off what follows when nothing is convolved any more."""
    loud = set(convolved).union(*(nx.ancestors(flow, n) for n in convolved))
    ends = {}
    for name, number in done.outputs.items():
        waiting, found = [number], set()
        while waiting:
            n = waiting.pop()
            if n in loud:
                found.add(n)
            else:
                waiting += flow.predecessors(n)
        ends[name] = tuple(sorted(found))
    flow.remove_nodes_from(set(flow) - loud)
    return ends


def finer(one: Scale, other: Scale) -> bool:
    """Whether `one` has more pixels than `other` on an axis."""
    return any(a > b for a, b in zip(one, other, strict=True))


def _gates(operations: Sequence[Operation], operation: Operation) -> Iterator[int]:
    """Which inputs of a product say how much of the other is let by."""
    if operation.name != "mul" or len(operation.inputs) != 2:
        return
    one, other = operation.inputs
    switched = [n for n in (one, other) if _switched(operations, n)]
    sizes = [math.prod(operations[n].shape) for n in (one, other)]
    if len(switched) == 1:
        yield switched[0]
    elif sizes[0] != sizes[1]:
        yield one if sizes[0] < sizes[1] else other


def _switched(operations: Sequence[Operation], number: int) -> bool:
    """Whether a result is a switch's, elsewhere or up-sampled perhaps."""
    operation = operations[number]
    while moves(operation) or operation.name.startswith("upsample"):
        operation = operations[operation.inputs[0]]
    return switches(operation)


def _whole(operations: Sequence[Operation]) -> set[int]:
    """The results that are one number for each channel, averaged over all pixels."""
    found: set[int] = set()
    for number, operation in enumerate(operations[1:], start=1):
        source = operation.inputs[0]
        single = set(operation.shape[2:]) == {1}
        averages = operation.name.startswith(("mean", "adaptive", "amax"))
        if single and (averages or source in found):
            found.add(number)
    return found


def _between(flow: Flow, entry: int, join: int, outputs: Collection[int]) -> set[int]:
    """All on the ways from `entry` to `join` that is no output."""
    inside = nx.descendants(flow, entry) & nx.ancestors(flow, join)
    return set(inside) - set(outputs)


def _leaves(flow: Flow, join: int, between: Collection[int]) -> bool:
    """Whether others than those `between` and the `join` read of it."""
    return any(set(flow[n]) - {*between, join} for n in between)


def _returns(
    scale: Sequence[Scale], steps: Iterable[tuple[int, int]], whole: Collection[int]
) -> bool:
    """Whether `steps` lead down and up again, but for those by way of `whole`."""
    pairs = [(scale[a], scale[b]) for a, b in steps if not {a, b} & set(whole)]
    return any(finer(a, b) for a, b in pairs) and any(finer(b, a) for a, b in pairs)
