"""The proof of a cut: three ways to a level's logits, and the same bits from each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from nestgen.arch.cost import default_size, graph_cost
from nestgen.arch.graph import NestGraph
from nestgen.arch.heads import Heads, heads_name
from nestgen.arch.spec import NestSpec
from nestgen.codegen.load import spec_of
from nestgen.errors import CutError
from nestgen.surgery.inputs import random_inputs
from nestgen.surgery.modes import eval_mode
from nestgen.surgery.trace import cut_traced


@dataclass(frozen=True)
class Measure:
    """How large a network is.

    Attributes:
        nodes: of its graph.
        parameters: numbers that are learned.
        weight_bytes: of its state dict.
        macs: multiply-accumulates of one forward pass at the proof's size.
    """

    nodes: int
    parameters: int
    weight_bytes: int
    macs: int


@dataclass(frozen=True)
class Proof:
    """What was compared, and what the cut saves.

    Attributes:
        heads: the levels of the cut.
        inputs: the shapes, as [N, C, H, W], on which all three gave the same bits.
        size: of one image, for the MACs.
        before: the whole network.
        after: the cut one.
    """

    heads: Heads
    inputs: tuple[tuple[int, ...], ...]
    size: tuple[int, ...]
    before: Measure
    after: Measure

    @property
    def statement(self) -> str:
        """What is proven, in one line."""
        name, several = heads_name(self.heads), "s" * (len(self.heads) > 1)
        return (
            f"{name} cut on the graph == torch.fx cut == the full model's "
            f"{name} head{several}, bit for bit, on {len(self.inputs)} inputs"
        )


def prove(
    model: nn.Module, small: nn.Module, levels: Sequence[int], *, seed: int = 0
) -> Proof:
    """Compare `small`, the cut of `model` at `levels`, with two other ways to it.

    The cut on the graph, the cut by torch.fx and the heads of the full model have to
    give equal bits on random inputs, of one image and of three, square and not, in
    eval mode; the two cuts have to keep tensors of the same names. The networks stay
    as they are, training flags and running statistics too.

    Raises `CutError` that names what differs, and by how much.

    >>> import nestgen
    >>> from nestgen.surgery.cut import prune
    >>> whole = nestgen.build(nestgen.NestSpec(depth=2, widths=2))
    >>> proof = prove(whole, prune(whole, 1), [1])
    >>> proof.before.nodes, proof.after.nodes, proof.inputs[0]
    (6, 3, (1, 3, 8, 8))
    """
    specs = [spec_of(network) for network in (model, small)]
    traced = cut_traced(model, levels)
    _compare_names(small, traced)
    inputs = random_inputs(specs[0], model, seed)
    with eval_mode(model, small, traced), torch.inference_mode():
        for x in inputs:
            whole, cut, other = model(x), small(x), traced(x)
            for level in levels:
                head = _logits(whole, level)
                _compare_bits(head, _logits(cut, level), "cut on the graph", level, x)
                _compare_bits(head, _logits(other, level), "torch.fx cut", level, x)
    size = default_size(NestGraph(specs[0]))
    return Proof(
        heads=tuple(levels),
        inputs=tuple(tuple(x.shape) for x in inputs),
        size=size,
        before=_measure(model, specs[0], size),
        after=_measure(small, specs[1], size),
    )


def _logits(outputs: Tensor | dict[str, Tensor], level: int) -> Tensor:
    return outputs[f"L{level}"] if isinstance(outputs, dict) else outputs


def _compare_names(small: nn.Module, traced: nn.Module) -> None:
    odd = set(small.state_dict()) ^ set(traced.state_dict())
    if odd:
        name = min(odd)
        one, other = "cut on the graph", "torch.fx cut"
        has, lacks = (one, other) if name in small.state_dict() else (other, one)
        raise CutError(f"the {has} keeps {name}, the {lacks} does not")


def _compare_bits(head: Tensor, cut: Tensor, what: str, level: int, x: Tensor) -> None:
    where = f"L{level}: the {what} differs from the full model's head"
    if (head.shape, head.dtype) != (cut.shape, cut.dtype):
        raise CutError(
            f"{where}: {cut.dtype} {list(cut.shape)}, not {head.dtype} "
            f"{list(head.shape)}"
        )
    if not torch.equal(bits(head), bits(cut)):
        most = (head.double() - cut.double()).abs().max().item()
        raise CutError(f"{where} by up to {most:.3g} on an input {list(x.shape)}")


def bits(logits: Tensor) -> Tensor:
    """The bytes, so that a NaN is equal to itself."""
    return logits.contiguous().reshape(-1).view(torch.uint8)


def _measure(network: nn.Module, spec: NestSpec, size: tuple[int, ...]) -> Measure:
    graph = NestGraph(spec)
    return Measure(
        nodes=len(graph.nodes),
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        weight_bytes=sum(tensor.nbytes for tensor in network.state_dict().values()),
        macs=graph_cost(graph, size).macs,
    )
