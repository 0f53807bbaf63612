"""Someone else's module as it is: copied, run, and what it gives."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from nestgen.errors import ModuleError, in_a_line
from nestgen.surgery.kept import PREFIX, Inputs, Kept, inputs_of, names_of, run
from nestgen.surgery.proof import bits
from nestgen.surgery.trials import trials

Shapes = tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Size:
    """How large a module is.

    Attributes:
        parameters: numbers that are learned.
        weight_bytes: of its state dict, what is in it twice counted once.
        macs: multiply-accumulates of one pass on the example, as torch counts them.
    """

    parameters: int
    weight_bytes: int
    macs: int


@dataclass(frozen=True)
class Whole:
    """What a cut is compared with.

    Attributes:
        kept: a copy of the module in eval mode, asked for some of its outputs.
        kind: the name of the module's class.
        tried: the inputs of `trials`, the example first.
        expected: for each of them, the tensors that were asked for.
        size: of the module.
    """

    kept: Kept
    kind: str
    tried: tuple[Inputs, ...]
    expected: tuple[tuple[Tensor, ...], ...]
    size: Size

    @property
    def example(self) -> Inputs:
        """The inputs that were given."""
        return self.tried[0]

    def compare(self, small: nn.Module) -> tuple[Shapes, Shapes]:
        """The shapes on which `small` gives the same bits, and those that it refuses.

        It refuses by a `ValueError`. Raises `ModuleError` where it gives others.
        """
        same, refused = [], []
        for inputs, expected in zip(self.tried, self.expected, strict=True):
            shape = tuple(inputs[0].shape)
            try:
                found = run(small, inputs)
            except ValueError:
                refused.append(shape)
                continue
            self._require_same(expected, found, shape)
            same.append(shape)
        if self.tried[0][0].shape not in same:
            raise ModuleError("it does not take its own example")
        return tuple(same), tuple(refused)

    def _require_same(
        self, expected: tuple[Tensor, ...], found: Any, shape: tuple[int, ...]
    ) -> None:
        for name, one in zip(self.kept.names, expected, strict=True):
            other = found[name] if isinstance(found, dict) else found
            where = f"output {name} on an input {list(shape)}"
            if (one.shape, one.dtype) != (other.shape, other.dtype):
                raise ModuleError(
                    f"{where} is {list(other.shape)}, not {list(one.shape)}"
                )
            if not torch.equal(bits(one), bits(other)):
                most = (one.double() - other.double()).abs().max().item()
                raise ModuleError(f"{where} differs by up to {most:.3g}")


def whole(
    module: nn.Module, keep: int | str | Iterable[int | str], example: Tensor | Inputs
) -> Whole:
    """What `module` gives, as `keep` names it, on the example and on other inputs.

    Raises `ModuleError` where it does not run, is random, or changes itself.
    """
    inputs = inputs_of(example)
    kept = Kept(twin(module), names_of(keep), len(inputs)).eval()
    with torch.no_grad():
        tried = trials(kept, inputs)
        _require_steady(kept, inputs)
        expected = tuple(run(kept, x) for x in tried)
        size = size_of(kept.inside, inputs)
    return Whole(kept, type(module).__name__, tuple(tried), expected, size)


def size_of(module: nn.Module, example: Inputs) -> Size:
    """The size of a module, which is run on the example."""
    with FlopCounterMode(display=False) as counter:
        run(module, example)
    tensors = module.state_dict().values()
    return Size(
        parameters=sum(parameter.numel() for parameter in module.parameters()),
        weight_bytes=sum({x.data_ptr(): x.nbytes for x in tensors}.values()),
        macs=counter.get_total_flops() // 2,
    )


def _require_steady(kept: Kept, example: Inputs) -> None:
    """Raise where the module is no function of its inputs, or changes itself."""
    before = {name: x.clone() for name, x in kept.state_dict().items()}
    once, again = run(kept, example), run(kept, example)
    if not all(torch.equal(bits(a), bits(b)) for a, b in zip(once, again, strict=True)):
        raise ModuleError(
            "the module gives other outputs for the same input each time, also in eval "
            "mode, so that nothing can be proven of it"
        )
    for name, tensor in kept.state_dict().items():
        if not torch.equal(bits(before[name]), bits(tensor)):
            raise ModuleError(
                f"the module changes {name.removeprefix(PREFIX)} when it runs, also in "
                "eval mode, and what is made of it would not"
            )


def twin(module: nn.Module) -> nn.Module:
    """A copy, also of a module that still holds what a computation left in it."""
    left = [
        leaf
        for inside in module.modules()
        for leaf in tree_leaves({**vars(inside), "_modules": None})
        if isinstance(leaf, Tensor) and not leaf.is_leaf
    ]
    try:
        return copy.deepcopy(module, {id(tensor): tensor.detach() for tensor in left})
    except Exception as error:
        raise ModuleError(
            f"{type(module).__name__} cannot be copied: {in_a_line(error)}"
        ) from error
