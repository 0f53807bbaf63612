"""The fused network as a module that gives what the original gives."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

from torch import Tensor, fx, nn
from torch.utils._pytree import tree_leaves, tree_map

from nestgen.codegen.expressions import condition
from nestgen.fusion.report import Report
from nestgen.surgery.script import on_sides, sides_of

PROBED = range(16, 1025)
"""Sides for which conditions are tried, to see whether they say anything."""


class Fused(nn.Module):
    """Runs a graph of fused operations and puts its tensors where they were.

    Attributes:
        inside: the graph, which returns a tuple of tensors.
        conditions: on the sizes of inputs, as Python; for others the graph is not known
            to hold.
        report: what was done to each convolution; `fuse` sets it.
    """

    report: Report

    def __init__(
        self, inside: fx.GraphModule, like: Any, conditions: Sequence[str] = ()
    ) -> None:
        super().__init__()
        self.inside, self.conditions = inside, tuple(conditions)
        numbers = count()
        self._like = tree_map(
            lambda leaf: _Place(next(numbers)) if hasattr(leaf, "shape") else leaf, like
        )
        names = [node.name for node in self.placeholders]
        self._sides = [
            (names.index(name), axis) for _, name, axis in sides_of(conditions)
        ]
        self._fit = _function(conditions)

    @property
    def placeholders(self) -> list[fx.Node]:
        """The inputs of the graph."""
        return list(self.inside.graph.find_nodes(op="placeholder"))

    @property
    def has_constants(self) -> bool:
        """Whether it returns anything beside tensors, None apart."""
        leaves = tree_leaves(self._like)
        return any(not isinstance(leaf, (_Place, type(None))) for leaf in leaves)

    def takes(self, *inputs: Tensor) -> bool:
        """Whether the graph is known to hold for inputs of these sizes."""
        return self._fit(*(inputs[n].shape[axis] for n, axis in self._sides))

    def open_axes(self, *inputs: Tensor) -> list[list[int]]:
        """Of each input the axes, channels apart, whose sides may be any others.

        Those without a condition; the others only where the conditions hold for all
        `PROBED` sides, each alone beside these inputs' and all at once.
        """
        own = [inputs[n].shape[axis] for n, axis in self._sides]
        free = [at for at, (_, axis) in enumerate(self._sides) if axis != 1]
        every = all(
            self._fit(*(probe if at in tried else side for at, side in enumerate(own)))
            for tried in (free, *([at] for at in free))
            for probe in PROBED
        )
        return [
            [
                axis
                for axis in range(x.ndim)
                if axis != 1 and (every or (n, axis) not in self._sides)
            ]
            for n, x in enumerate(inputs)
        ]

    def forward(self, *inputs: Tensor) -> Any:
        """As the original; `ValueError` for sizes of which the graph is not known."""
        if not self.takes(*inputs):
            shapes = ", ".join(str(list(x.shape)) for x in inputs)
            rule = next(self._broken(inputs))
            raise ValueError(f"an input {shapes} is not allowed, only where {rule}")
        tensors = self.inside(*inputs)
        return tree_map(
            lambda leaf: tensors[leaf.number] if isinstance(leaf, _Place) else leaf,
            self._like,
        )

    def _broken(self, inputs: Sequence[Tensor]) -> Iterator[str]:
        """The conditions that do not hold for inputs."""
        own = {node.name: x for node, x in zip(self.placeholders, inputs, strict=True)}
        for text in self.conditions:
            sides = [own[name].shape[axis] for _, name, axis in sides_of([text])]
            if not _function([text])(*sides):
                yield text


@dataclass(frozen=True)
class _Place:
    """Where the tensor of this number stands."""

    number: int


def _function(conditions: Sequence[str]) -> Callable[..., bool]:
    """Whether sides fulfil the conditions, as a function of the sides.

    >>> _function(["x.size()[2] == 2*(x.size()[3]//2)"])(4, 5)
    True
    """
    names = ", ".join(name for name, _, _ in sides_of(conditions))
    checks = [f"({condition(on_sides(text))})" for text in conditions]
    fit: Callable[..., bool] = eval(
        f"lambda {names}: {' and '.join(checks) or True}",
        {"max": max, "min": min, "__builtins__": {}},
    )
    return fit
