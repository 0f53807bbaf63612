"""One pass forward and back, and what it did to each parameter."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from nestgen.errors import ModuleError
from nestgen.surgery.kept import Kept, output_tensors
from nestgen.surgery.outside import told


@dataclass(frozen=True)
class Pass:
    """What one backward pass from some outputs found.

    Attributes:
        outputs: the names of those from which it ran.
        linked: the parameters to which the graph that autograd recorded leads.
        given: those that have a gradient after the pass.
        zero: those of them whose gradient is zero in each number, on this input.
        called: the modules that the forward pass called.
    """

    outputs: tuple[str, ...]
    linked: frozenset[str]
    given: frozenset[str]
    zero: frozenset[str]
    called: frozenset[str]


def backward(model: nn.Module, x: Tensor, keep: Sequence[str] | None = None) -> Pass:
    """Run a copy of `model` on `x` in train mode, and back from the outputs of `keep`.

    Outputs are named as `Kept` names them; None stands for all. Each of their numbers
    is weighed at random, since what a norm gives adds up to a sum that does not change.
    The seed is 0; `model` stays as it is, and so does the state of the random numbers.
    Raises `ModuleError` for what cannot be run.

    >>> layer = nn.Linear(2, 1)
    >>> sorted(backward(layer, torch.ones(3, 2)).given)
    ['bias', 'weight']
    """
    kind = type(model).__name__
    with torch.random.fork_rng(), told(f"{kind}: cannot be run on {list(x.shape)}"):
        torch.manual_seed(0)
        twin = copy.deepcopy(model).train()
        called = _watch(twin)
        outputs = _outputs(twin, x, keep)
    tensors = [y for y in output_tensors(outputs).values() if isinstance(y, Tensor)]
    ends = [y for y in tensors if y.requires_grad]
    if not ends:
        raise ModuleError(
            f"{kind}: no parameter has a part in {', '.join(outputs) or 'its outputs'}"
        )
    names = {id(tensor): name for name, tensor in twin.named_parameters()}
    linked = frozenset(names[id(leaf)] for leaf in _leaves(ends) if id(leaf) in names)
    with torch.random.fork_rng(), told(f"{kind}: its backward pass fails"):
        torch.manual_seed(1)
        torch.autograd.backward(ends, [torch.randn_like(y) for y in ends])
    grads = {n: p.grad for n, p in twin.named_parameters() if p.grad is not None}
    return Pass(
        outputs=tuple(outputs),
        linked=linked,
        given=frozenset(grads),
        zero=frozenset(name for name, grad in grads.items() if not grad.any()),
        called=frozenset(called),
    )


def _outputs(model: nn.Module, x: Tensor, keep: Sequence[str] | None) -> dict[str, Any]:
    if keep is None:
        return output_tensors(model(x.clone()))
    return dict(zip(keep, Kept(model, keep, 1)(x.clone()), strict=True))


def _watch(model: nn.Module) -> set[str]:
    """The names of the modules that are called from now on."""
    called: set[str] = set()
    for name, module in model.named_modules(remove_duplicate=False):
        module.register_forward_pre_hook(lambda *_, name=name: called.add(name))
    return called


def _leaves(ends: Iterable[Tensor]) -> list[Tensor]:
    """The tensors to which the recorded graph leads from `ends`."""
    waiting: list[Any] = [torch.autograd.graph.get_gradient_edge(y).node for y in ends]
    seen, found = set(waiting), []
    while waiting:
        step = waiting.pop()
        if hasattr(step, "variable"):
            found.append(step.variable)
        new = {after for after, _ in step.next_functions if after} - seen
        seen |= new
        waiting += new
    return found
