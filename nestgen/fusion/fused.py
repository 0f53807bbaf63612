"""The fused network as a module that gives what the original gives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor, fx, nn
from torch.utils._pytree import tree_flatten, tree_unflatten

from nestgen.codegen.expressions import condition
from nestgen.fusion.report import Report
from nestgen.surgery.script import on_sides, sides_of


class Fused(nn.Module):
    """Runs a graph of fused operations and puts its tensors where they were.

    Attributes:
        inside: the graph, which returns a tuple of tensors.
        report: what was done to each convolution; `fuse` sets it.
    """

    report: Report

    def __init__(
        self, inside: fx.GraphModule, like: Any, conditions: Sequence[str] = ()
    ) -> None:
        super().__init__()
        self.inside = inside
        leaves, self._structure = tree_flatten(like)
        self._leaves = [None if hasattr(leaf, "shape") else leaf for leaf in leaves]
        self._places = [n for n, leaf in enumerate(leaves) if hasattr(leaf, "shape")]
        names = [node.name for node in self.placeholders]
        self._sides = [
            (names.index(name), axis) for _, name, axis in sides_of(conditions)
        ]
        self._fit = _function(conditions)

    @property
    def placeholders(self) -> list[fx.Node]:
        """The inputs of the graph."""
        return list(self.inside.graph.find_nodes(op="placeholder"))

    def forward(self, *inputs: Tensor) -> Any:
        """As the original; `ValueError` for sizes of which the graph is not known."""
        if not self._fit(*(inputs[n].shape[axis] for n, axis in self._sides)):
            raise ValueError("its channels or sizes are not like those of the example")
        leaves: list[Any] = list(self._leaves)
        for place, tensor in zip(self._places, self.inside(*inputs), strict=True):
            leaves[place] = tensor
        return tree_unflatten(leaves, self._structure)


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
