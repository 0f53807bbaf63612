"""The cut of a network that nestgen did not write, and the source of what is left."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from nestgen.codegen.environment import environment
from nestgen.codegen.load import class_of
from nestgen.errors import ModuleError, NestgenError
from nestgen.surgery.follow import Followed, follow_modules, follow_operators
from nestgen.surgery.kept import PREFIX, Inputs, Kept, names_of
from nestgen.surgery.proof import bits
from nestgen.surgery.script import script
from nestgen.surgery.trials import trials

WAYS: dict[str, Callable[[Kept, Inputs], Followed]] = {
    "torch.fx": follow_modules,
    "torch.export": follow_operators,
}
"""In this order; the first whose cut gives the same bits is taken."""


@dataclass(frozen=True)
class Size:
    """How large a module is.

    Attributes:
        parameters: numbers that are learned.
        weight_bytes: of its state dict.
        macs: multiply-accumulates of one pass on the example, as torch counts them.
    """

    parameters: int
    weight_bytes: int
    macs: int


@dataclass(frozen=True)
class Cut:
    """What is left of a network, and how that was proven.

    Attributes:
        module: an instance of the class in `text`, in eval mode.
        text: its source, which needs torch alone.
        way: how it was found, `torch.fx` or `torch.export`.
        rejected: why the ways before it were not taken, by name.
        inputs: shapes on which it gave the bits of the whole, the example's first.
        refused: shapes that the whole takes and the cut does not.
        before: the whole.
        after: the cut.
    """

    module: nn.Module
    text: str
    way: str
    rejected: dict[str, str]
    inputs: tuple[tuple[int, ...], ...]
    refused: tuple[tuple[int, ...], ...]
    before: Size
    after: Size

    @property
    def statement(self) -> str:
        """What is proven, in one line."""
        return (
            f"the cut, found by {self.way}, == the whole's outputs, bit for bit, on "
            f"{len(self.inputs)} inputs"
        )


def cut_any(
    module: nn.Module, keep: int | str | Iterable[int | str], example: Tensor | Inputs
) -> Cut:
    """What `module` needs, in eval mode, for the outputs that `keep` names.

    They are named by their place or key, nested ones with dots, "aux.0", or by the path
    of a module inside whose output is wanted. First torch.fx follows what the module
    does on its inputs, then torch.export: the first is taken whose cut, written as
    source and loaded from it, gives the bits of the whole on the example and on inputs
    of other sizes and values. `module` stays as it is.

    Raises `ModuleError` where no way does, and says why.

    >>> import torch
    >>> class Two(nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.a, self.b = nn.Conv2d(1, 2, 1), nn.Conv2d(2, 2, 1)
    ...     def forward(self, x):
    ...         first = self.a(x)
    ...         return first, self.b(first)
    >>> cut = cut_any(Two(), 0, torch.zeros(1, 1, 4, 4))
    >>> cut.way, list(cut.module.state_dict())
    ('torch.fx', ['a.weight', 'a.bias'])
    """
    inputs = (example,) if isinstance(example, Tensor) else tuple(example)
    names = names_of(keep)
    kept = Kept(_twin(module), names, len(inputs)).eval()
    with torch.no_grad():
        tried = trials(kept, inputs)
        _require_steady(kept, inputs)
        expected = [kept(*x) for x in tried]
        rejected: dict[str, str] = {}
        for way, follow in WAYS.items():
            try:
                return _cut(
                    module, names, follow(kept, inputs), tried, expected, rejected
                )
            except Exception as error:  # what follows someone else's code may raise all
                rejected[way] = _line(error)
    why = "; ".join(f"{way}: {reason}" for way, reason in rejected.items())
    raise ModuleError(f"{type(module).__name__} cannot be cut: {why}")


def _cut(
    module: nn.Module,
    names: tuple[str, ...],
    followed: Followed,
    tried: list[Inputs],
    expected: list[tuple[Tensor, ...]],
    rejected: dict[str, str],
) -> Cut:
    """The cut as source, loaded and compared; `ModuleError` where it differs."""
    class_name = f"{type(module).__name__}Cut"
    shapes = [list(x.shape) for x in tried[0]]
    text = (
        environment()
        .get_template("cut.py.jinja")
        .render(
            cut=script(
                followed,
                names,
                class_name,
                _description(module, names, followed, shapes),
                shapes,
            )
        )
    )
    small = _filled(class_of(text, class_name, "cut")(), followed.module, module)
    same, refused = [], []
    for inputs, outputs in zip(tried, expected, strict=True):
        shape = tuple(inputs[0].shape)
        try:
            found = small(*inputs)
        except ValueError:
            refused.append(shape)
            continue
        _compare(outputs, found, names, shape)
        same.append(shape)
    if len(same) < 2:
        raise ModuleError("it does not take its own example")
    return Cut(
        module=small,
        text=text,
        way=followed.way,
        rejected=rejected,
        inputs=tuple(same),
        refused=tuple(refused),
        before=_size(_twin(module).eval(), tried[0]),
        after=_size(small, tried[0]),
    )


def _description(
    module: nn.Module,
    names: tuple[str, ...],
    followed: Followed,
    shapes: list[list[int]],
) -> list[str]:
    kind = type(module).__name__
    level = "module" if followed.way == "torch.fx" else "operator"
    sizes = " and ".join(map(str, shapes))
    return [
        f"{kind}, cut to {', '.join(names)}.",
        "",
        f"Written by nestgen, {level} by {level}, as it computes in eval mode.",
        f"Input: {sizes}, or of another batch and size that fit.",
        "Its weights have the names of the original.",
    ]


def _filled(small: nn.Module, followed: nn.Module, like: nn.Module) -> nn.Module:
    """`small` with clones of the tensors of the same names."""
    trained = {name: p.requires_grad for name, p in like.named_parameters()}
    tensors = {
        name: _inside(followed, name).detach().clone() for name in small.state_dict()
    }
    small.load_state_dict(tensors, strict=True, assign=True)
    for name, parameter in small.named_parameters():
        parameter.requires_grad_(trained.get(name, False))
    return small.eval()


def _inside(module: nn.Module, name: str) -> Tensor:
    path, _, last = name.rpartition(".")
    tensor: Tensor = getattr(module.get_submodule(path), last)
    return tensor


def _compare(
    expected: tuple[Tensor, ...],
    found: Any,
    names: tuple[str, ...],
    shape: tuple[int, ...],
) -> None:
    for name, one in zip(names, expected, strict=True):
        other = found[name] if isinstance(found, dict) else found
        if (one.shape, one.dtype) != (other.shape, other.dtype):
            raise ModuleError(
                f"output {name} is {list(other.shape)}, not {list(one.shape)}, on an "
                f"input {list(shape)}"
            )
        if not torch.equal(bits(one), bits(other)):
            most = (one.double() - other.double()).abs().max().item()
            raise ModuleError(
                f"output {name} differs by up to {most:.3g} on an input {list(shape)}"
            )


def _size(module: nn.Module, example: Inputs) -> Size:
    with FlopCounterMode(display=False) as counter:
        module(*example)
    return Size(
        parameters=sum(parameter.numel() for parameter in module.parameters()),
        weight_bytes=sum(tensor.nbytes for tensor in module.state_dict().values()),
        macs=counter.get_total_flops() // 2,
    )


def _require_steady(kept: Kept, example: Inputs) -> None:
    """Raise where the module is no function of its inputs, or changes itself."""
    before = {name: x.clone() for name, x in kept.state_dict().items()}
    once, again = kept(*example), kept(*example)
    if not all(torch.equal(bits(a), bits(b)) for a, b in zip(once, again, strict=True)):
        raise ModuleError(
            "the module gives other outputs for the same input each time, also in eval "
            "mode, so that no cut can be proven"
        )
    for name, tensor in kept.state_dict().items():
        if not torch.equal(bits(before[name]), bits(tensor)):
            raise ModuleError(
                f"the module changes {name.removeprefix(PREFIX)} when it runs, also in "
                "eval mode, and a cut would not"
            )


def _twin(module: nn.Module) -> nn.Module:
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
            f"{type(module).__name__} cannot be copied: {_line(error)}"
        ) from error


def _line(error: Exception) -> str:
    text = " ".join(str(error).split())[:160]
    return (
        text if isinstance(error, NestgenError) else f"{type(error).__name__}: {text}"
    )
