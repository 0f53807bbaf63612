"""How much finer or coarser than the image the result of each operation is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction

from nestgen.lifting.kinds import stride
from nestgen.lifting.record import Operation

_PLAIN = {"view", "_unsafe_view", "squeeze", "unsqueeze", "convolution"}
"""What gives an image, channels first, wherever its result has as many dimensions."""

Scale = tuple[Fraction, ...]
"""Of the sides of the image, those of the result: 1/2 on each axis, say."""


def scales(operations: Sequence[Operation]) -> list[Scale]:
    """The scale of each result, step by step from the image's.

    What a stride does not say is read off the sizes and rounded to whole steps: so
    pixels that are padded, cropped, or lost to a convolution without padding do not
    count. What is no image on the way, as between two changes of a view, has the scale
    of what it was.

    >>> from nestgen.lifting.record import record
    >>> import torch
    >>> done = record(torch.nn.MaxPool2d(2), torch.ones(1, 1, 5, 8))
    >>> [tuple(map(str, scale)) for scale in scales(done.operations)]
    [('1', '1'), ('1/2', '1/2')]
    """
    axes = len(operations[0].shape) - 2
    # for each result, the names of its dimensions; None where a view hides them
    orders: list[tuple[int, ...] | None] = [tuple(range(axes + 2))]
    sides: list[tuple[int, ...]] = [operations[0].shape[2:]]
    found: list[Scale] = [(Fraction(1),) * axes]
    for operation in operations[1:]:
        first = main(operations, operation)
        order = _order(operation, orders[first], axes)
        orders.append(order)
        if order is None:
            found.append(found[first])
            sides.append(sides[first])
        else:
            now = tuple(operation.shape[order.index(n + 2)] for n in range(axes))
            steps = _steps(operation, sides[first], now)
            found.append(tuple(a * b for a, b in zip(found[first], steps, strict=True)))
            sides.append(now)
    return found


def main(operations: Sequence[Operation], operation: Operation) -> int:
    """Which of its inputs the result continues: one of its shape, or else the first."""
    same = (n for n in operation.inputs if operations[n].shape == operation.shape)
    return next(same, operation.inputs[0])


def _order(
    operation: Operation, before: tuple[int, ...] | None, axes: int
) -> tuple[int, ...] | None:
    """Which dimension of the result is which of [N, C, *sides]; None if none is."""
    plain = tuple(range(axes + 2))
    if len(operation.shape) != len(plain):
        return None
    if operation.name == "permute" and before is not None:
        return tuple(before[n] for n in operation.values[1])
    if operation.name == "transpose" and before is not None:
        swapped = list(before)
        one, other = operation.values[1:3]
        swapped[one], swapped[other] = swapped[other], swapped[one]
        return tuple(swapped)
    if operation.name in ("permute", "transpose", "expand"):
        return before
    if operation.name in _PLAIN:
        return plain
    return before


def _steps(
    operation: Operation, before: tuple[int, ...], now: tuple[int, ...]
) -> Iterator[Fraction]:
    said = stride(operation)
    for n, (one, other) in enumerate(zip(before, now, strict=True)):
        if said is not None:
            yield Fraction(1, said[n % len(said)])
        elif one >= other:
            yield Fraction(1, round(one / other))
        else:
            yield Fraction(round(other / one))
