"""Which parameters a loss reaches: by the graph, and proven by one backward pass."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from nestgen.arch.graph import NestGraph
from nestgen.arch.unreached import Part, unreached
from nestgen.codegen.load import build, spec_of
from nestgen.errors import ModuleError
from nestgen.surgery.backward import Pass, backward
from nestgen.surgery.inputs import random_inputs
from nestgen.surgery.kept import names_of


@dataclass(frozen=True)
class Gradients:
    """What of a network gets no gradient from the heads that are supervised.

    Attributes:
        supervised: those heads: levels, or names of outputs.
        parts: what gets none: nodes and heads, or modules, the largest that get none
            at all, and parameters of others.
        names: all parameters that ask for a gradient and get none.
        zero: parameters that are reached, with a gradient of zero on this one input.
        frozen: parameters that ask for no gradient, and are not counted.
        uncalled: those of `parts` that the forward pass never calls, in a module that
            nestgen did not write.
        nodes: of the whole network's graph; 0 for a module without one.
        parameters: of the whole network, without the frozen.
        unreached: the numbers in `names`.
    """

    supervised: tuple[str, ...]
    parts: tuple[Part, ...]
    names: tuple[str, ...]
    zero: tuple[str, ...]
    frozen: tuple[str, ...]
    uncalled: tuple[str, ...]
    nodes: int
    parameters: int
    unreached: int

    @property
    def statement(self) -> str:
        """What is proven, in one line."""
        nodes = sum(part.name.startswith("X[") for part in self.parts)
        of_nodes = f"{nodes} of {self.nodes} nodes and " if self.nodes else ""
        return (
            f"{of_nodes}{self.unreached:,} of {self.parameters:,} parameters receive "
            f"no gradient from {', '.join(self.supervised)}, by the graph and by one "
            "backward pass alike"
        )

    def to_plain(self) -> dict[str, Any]:
        """As JSON types."""
        return {**asdict(self), "statement": self.statement}


def gradients(model: nn.Module, levels: Iterable[int] | None = None) -> Gradients:
    """What of a network of nestgen's the loss of `levels`, or of all heads, misses.

    By the graph it is what the cut at these levels drops. After one backward pass in
    train mode, from the logits weighed at random, exactly the parameters that are left
    have a gradient, or `ModuleError` names one. `model` stays as it is. Raises
    `CutError` for a level without a head, `SpecError` for other modules.

    >>> from nestgen.arch.spec import NestSpec
    >>> found = gradients(build(NestSpec(family="unet-e", depth=3, heads=[3])))
    >>> [part.name for part in found.parts]
    ['X[0,1]', 'X[1,1]', 'X[0,2]']
    >>> gradients(build(NestSpec(depth=3, heads=[3]))).parts
    ()
    """
    graph = NestGraph(spec_of(model))
    kept = graph.cut(graph.levels if levels is None else levels)
    supervised = tuple(f"L{level}" for level in kept.levels)
    # one head alone has no name
    keep = supervised if len(graph.levels) > 1 else None
    seen = backward(model, random_inputs(graph.spec, model)[-1], keep)
    names = set(_learned(model)) - reached(graph, kept.levels)
    _agree(model, names, seen)
    return _report(
        model,
        seen,
        names,
        supervised=supervised,
        parts=unreached(graph, kept.levels),
        nodes=len(graph.nodes),
    )


def module_gradients(
    module: nn.Module,
    x: Tensor,
    keep: int | str | Iterable[int | str] | None = None,
) -> Gradients:
    """What of any module gets no gradient from what `keep` names, or from all outputs.

    The graph is the one that autograd records while the module runs on `x` in train
    mode. `keep` is the place, the key or the path of an output, or the path of a module
    inside for what that gives, or several of them. Raises `ModuleError` for what
    cannot be run, and where the backward pass does otherwise than the graph says.

    >>> class Two(nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.one, self.other = nn.Linear(2, 2), nn.Linear(2, 2)
    ...     def forward(self, x):
    ...         return self.one(x), self.other(x)
    >>> module_gradients(Two(), torch.ones(1, 2), 1).parts
    (Part(name='one', parameters=6),)
    """
    seen = backward(module, x, None if keep is None else names_of(keep))
    names = set(_learned(module)) - seen.linked
    _agree(module, names, seen)
    parts = tuple(_largest(module, "", names))
    return _report(
        module,
        seen,
        names,
        supervised=seen.outputs,
        parts=parts,
        uncalled=tuple(p.name for p in parts if not _called(module, p.name, seen)),
    )


def reached(graph: NestGraph, levels: Iterable[int]) -> set[str]:
    """The parameters to which the gradient runs from the heads of `levels`, by name.

    >>> from nestgen.arch.spec import NestSpec
    >>> sorted(reached(NestGraph(NestSpec(depth=2)), [1]))[:2]
    ['head_L1.bias', 'head_L1.weight']
    """
    with torch.device("meta"):
        kept = build(graph.cut(levels).spec)
    return {name for name, _ in kept.named_parameters()}


def _agree(model: nn.Module, names: set[str], seen: Pass) -> None:
    """Raise `ModuleError` unless exactly what is learned and not in `names` has one."""
    odd = (set(_learned(model)) - names) ^ seen.given
    if odd:
        name = min(odd)
        gives, has = ("a", "none") if name in seen.given else ("no", "one")
        raise ModuleError(
            f"{name}: the backward pass gives it {gives} gradient, by the graph it has "
            f"{has}"
        )


def _learned(model: nn.Module) -> dict[str, int]:
    """The parameters that ask for a gradient, and how many numbers each has."""
    return {name: p.numel() for name, p in model.named_parameters() if p.requires_grad}


def _report(model: nn.Module, seen: Pass, names: set[str], **known: Any) -> Gradients:
    sizes = _learned(model)
    return Gradients(
        **{"uncalled": (), "nodes": 0, **known},
        names=tuple(name for name in sizes if name in names),
        zero=tuple(name for name in sizes if name in seen.zero),
        frozen=tuple(n for n, p in model.named_parameters() if not p.requires_grad),
        parameters=sum(sizes.values()),
        unreached=sum(sizes[name] for name in names),
    )


def _largest(module: nn.Module, path: str, names: set[str]) -> Iterator[Part]:
    """The largest modules of which all that is learned is in `names`, and the rest."""
    inside = {f"{path}{name}": size for name, size in _learned(module).items()}
    if path and inside and set(inside) <= names:
        yield Part(path.removesuffix("."), sum(inside.values()))
        return
    for name, child in module.named_children():
        yield from _largest(child, f"{path}{name}.", names)
    for name, parameter in module.named_parameters(recurse=False):
        if f"{path}{name}" in names:
            yield Part(f"{path}{name}", parameter.numel())


def _called(module: nn.Module, name: str, seen: Pass) -> bool:
    """Whether a module, or any in it, was called; of a parameter, its module."""
    home = name if name in dict(module.named_modules()) else name.rpartition(".")[0]
    return any(
        called == home or called.startswith(f"{home}.") for called in seen.called
    )
