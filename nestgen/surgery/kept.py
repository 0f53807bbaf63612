"""What is kept of any module: some of its outputs, or what is inside of it gives."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import Tensor, fx, nn
from torch.utils._pytree import tree_flatten_with_path

from nestgen.errors import ModuleError

PREFIX = "inside."
"""What stands before the names of the module's own tensors in those of `Kept`."""

MOST_INPUTS = 4

Inputs = tuple[Tensor, ...]


class Kept(nn.Module):
    """A module of which `names` alone is asked for; all that they do not need is dead.

    `forward` returns a tuple of tensors, one for each name: an output of the module
    (see `output_tensors`), or what a module inside of it gives, by its path. Where
    that is called several times, the last time counts.
    """

    def __init__(self, inside: nn.Module, names: Iterable[str], inputs: int) -> None:
        super().__init__()
        if not 1 <= inputs <= MOST_INPUTS:
            raise ModuleError(
                f"example: {inputs} inputs are not allowed, 1 to {MOST_INPUTS} tensors"
            )
        self.inside = inside
        self.names = tuple(names)
        self.inputs = inputs

    def forward(
        self,
        x: Tensor,
        y: Tensor | None = None,
        z: Tensor | None = None,
        w: Tensor | None = None,
    ) -> tuple[Tensor, ...]:
        """The tensors of `names`; `ModuleError` for a name that is none."""
        # named one by one, since torch.fx follows no `*inputs`
        inputs = (x, y, z, w)[: self.inputs]
        given: dict[str, Any] = {}
        modules = dict(self.inside.named_modules())
        hooks = [
            modules[name].register_forward_hook(_keep(given, name))
            for name in self.names
            if name and name in modules
        ]
        try:
            outputs = output_tensors(self.inside(*inputs))
        finally:
            for hook in hooks:
                hook.remove()
        number = len(outputs)
        places = {str(n): x for n, x in enumerate(outputs.values())}
        places |= {str(n - number): x for n, x in enumerate(outputs.values())}
        found = {**places, **given, **outputs}
        for name in self.names:
            if name not in found:
                has = ", ".join(outputs) or "in no list, tuple or dict"
                raise ModuleError(
                    f"keep: {name[:60]!a} is not allowed; the outputs of "
                    f"{type(self.inside).__name__} are {has[:200]}, and the path of a "
                    "module inside of it stands for what that gives"
                )
            if not isinstance(found[name], (Tensor, fx.Proxy)):
                kind = type(found[name]).__name__
                raise ModuleError(f"keep: {name[:60]!a} is a {kind}, no tensor")
        return tuple(found[name] for name in self.names)


def output_tensors(outputs: Any) -> dict[str, Any]:
    """The tensors of a module's outputs by name: a place, a key, or several with dots.

    One tensor alone has the name "0".

    >>> import torch
    >>> list(output_tensors({"out": torch.ones(1), "aux": [torch.ones(1)]}))
    ['out', 'aux.0']
    """
    found: dict[str, Any] = {}
    for path, leaf in tree_flatten_with_path(outputs)[0]:
        name = ".".join(map(_key, path)) or "0"
        if name in found:
            raise ModuleError(f"two outputs are both called {name[:60]!a}")
        if hasattr(leaf, "shape"):
            found[name] = leaf
    return found


def inputs_of(example: Tensor | Inputs) -> Inputs:
    """What a user gives as an example, as a tuple of tensors."""
    inputs = example if isinstance(example, tuple) else (example,)
    for x in inputs:
        if not isinstance(x, Tensor):
            raise ModuleError(
                f"example: a {type(x).__name__} is not allowed, a tensor or a tuple "
                "of tensors"
            )
    return inputs


def names_of(keep: int | str | Iterable[int | str]) -> tuple[str, ...]:
    """What a user asks for, as names.

    >>> names_of(1), names_of(["out", -1])
    (('1',), ('out', '-1'))
    """
    several = isinstance(keep, Iterable) and not isinstance(keep, str)
    asked = list(keep) if several else [keep]  # type: ignore[arg-type]
    allowed = all(type(item) in (int, str) for item in asked)
    if not asked or not allowed or len(set(map(str, asked))) < len(asked):
        raise ModuleError(
            f"keep: {keep!a} is not allowed, the place, the key or the path of an "
            "output, or several of them"
        )
    return tuple(map(str, asked))


def _key(entry: Any) -> str:
    for name in ("idx", "key", "name"):
        if hasattr(entry, name):
            return str(getattr(entry, name))
    raise ModuleError(f"an output is in a {type(entry).__name__}, which has no names")


def _keep(given: dict[str, Any], name: str) -> Any:
    def hook(module: nn.Module, inputs: Any, output: Any) -> None:
        # what comes next may write into it
        given[name] = output.clone() if hasattr(output, "clone") else output

    return hook


def run(module: nn.Module, inputs: Inputs) -> Any:
    """What `module` gives for copies of `inputs`; a tuple of tensors is copied too.

    Some modules write into what they are given, or give it back.
    """
    given = module(*(x.clone() for x in inputs))
    if not isinstance(given, tuple):
        return given
    return tuple(x.clone() if isinstance(x, Tensor) else x for x in given)
