"""How much memory a network takes to train and to run, by formula, in float32."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from nestgen.arch.cost import fitting_size, graph_cost
from nestgen.arch.graph import NestGraph
from nestgen.arch.operations import FLOAT
from nestgen.arch.rehearsal import rehearse
from nestgen.errors import SpecError

MOMENTS = 2
"""Of each parameter, that AdamW keeps: a mean of gradients, and of their squares."""


@dataclass(frozen=True)
class Memory:
    """Bytes of tensors, at a size and a batch.

    Attributes:
        weights: of the state dict.
        gradients: of the parameters.
        optimizer: the moments of AdamW.
        activations: what a forward pass keeps for the backward pass, images included:
            all that the network's operations save, and not what the loss does.
        inference: the most that is alive at once in a pass without gradients, weights
            and images included, and not the scratch memory inside of an operation.
    """

    weights: int
    gradients: int
    optimizer: int
    activations: int
    inference: int

    @property
    def training(self) -> int:
        """All that is held when the backward pass begins."""
        return self.weights + self.gradients + self.optimizer + self.activations

    def to_plain(self) -> dict[str, int]:
        """As JSON types, with their sum for training."""
        return {**asdict(self), "training": self.training}


def memory(graph: NestGraph, size: tuple[int, ...], batch_size: int = 1) -> Memory:
    """The memory of a network for `batch_size` inputs of `size`.

    Raises `SpecError` for a size that does not fit, a batch of none, or a backbone.

    >>> from nestgen.arch.spec import NestSpec
    >>> told = memory(NestGraph(NestSpec(depth=1)), (8, 8))
    >>> told.weights, told.optimizer, told.activations
    (104308, 206472, 54016)
    """
    if batch_size < 1:
        raise SpecError(f"batch_size: {batch_size} is not allowed, 1 or more")
    whole = fitting_size(graph, size)
    cost = graph_cost(graph, whole)
    run = rehearse(graph, whole, batch_size, training=False)
    return Memory(
        weights=cost.weight_bytes,
        gradients=FLOAT * cost.parameters,
        optimizer=MOMENTS * FLOAT * cost.parameters,
        activations=rehearse(graph, whole, batch_size, training=True).saved,
        inference=cost.weight_bytes + run.peak,
    )
