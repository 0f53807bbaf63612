"""The cut of a network that nestgen did not write, and the source of what is left."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from nestgen.codegen.environment import environment
from nestgen.codegen.load import class_of
from nestgen.errors import ModuleError, in_a_line
from nestgen.surgery.follow import Followed, follow_modules, follow_operators
from nestgen.surgery.kept import Inputs, Kept
from nestgen.surgery.script import script, value_at
from nestgen.surgery.whole import Shapes, Size, Whole, size_of, whole

WAYS: dict[str, Callable[[Kept, Inputs], Followed]] = {
    "torch.fx": follow_modules,
    "torch.export": follow_operators,
}
"""In this order; the first whose cut gives the same bits is taken."""


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
    inputs: Shapes
    refused: Shapes
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
    asked = whole(module, keep, example)
    rejected: dict[str, str] = {}
    with torch.no_grad():
        for way, follow in WAYS.items():
            try:
                return _cut(asked, follow(asked.kept, asked.example), rejected)
            except SyntaxError:
                rejected[way] = "one of its modules' names is no Python name"
            except Exception as error:  # what follows someone else's code may raise all
                rejected[way] = in_a_line(error)
    why = "; ".join(f"{way}: {reason}" for way, reason in rejected.items())
    raise ModuleError(f"{asked.kind} cannot be cut: {why}")


def _cut(asked: Whole, followed: Followed, rejected: dict[str, str]) -> Cut:
    """The cut as source, loaded and compared; `ModuleError` where it differs."""
    class_name = re.sub(r"[^A-Za-z0-9_]", "_", f"{asked.kind}Cut")
    shapes = [tuple(x.shape) for x in asked.example]
    written = script(
        followed, asked.kept.names, class_name, _description(asked, followed), shapes
    )
    text = environment().get_template("cut.py.jinja").render(cut=written)
    small = _filled(class_of(text, class_name, "cut")(), followed.module)
    same, refused = asked.compare(small)
    return Cut(
        module=small,
        text=text,
        way=followed.way,
        rejected=rejected,
        inputs=same,
        refused=refused,
        before=asked.size,
        after=size_of(small, asked.example),
    )


def _description(asked: Whole, followed: Followed) -> list[str]:
    level = "module" if followed.way == "torch.fx" else "operator"
    sizes = " and ".join(str(list(x.shape)) for x in asked.example)
    return [
        f"{asked.kind}, cut to {', '.join(asked.kept.names)}.",
        "",
        f"Written by nestgen, {level} by {level}, as it computes in eval mode.",
        f"Input: {sizes}, or of another batch and size that fit.",
        "Its weights have the names of the original.",
    ]


def _filled(small: nn.Module, followed: nn.Module) -> nn.Module:
    """`small` with clones of the tensors of the same names, in eval mode."""
    own = {name: value_at(followed, name) for name in small.state_dict()}
    tensors = {name: tensor.detach().clone() for name, tensor in own.items()}
    small.load_state_dict(tensors, strict=True, assign=True)
    for name, parameter in small.named_parameters():
        parameter.requires_grad_(own[name].requires_grad)
    return small.eval()
