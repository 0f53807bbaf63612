"""What a module returns, by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor
from torch.utils import _pytree as pytree

from nestgen.errors import ModuleError


def named_outputs(returned: Any) -> dict[str, Tensor]:
    """The tensors in lists, tuples and dicts of any depth, by indices and keys.

    A tensor that is all that is returned is called `output`.

    >>> import torch
    >>> one = torch.zeros(1)
    >>> list(named_outputs({"heads": [one, one], "last": one, "size": 3}))
    ['heads.0', 'heads.1', 'last']
    >>> list(named_outputs(one))
    ['output']
    """
    leaves, _ = pytree.tree_flatten_with_path(returned)
    pairs = [
        (".".join(map(_key, path)) or "output", leaf)
        for path, leaf in leaves
        if isinstance(leaf, Tensor)
    ]
    named = dict(pairs)
    if len(named) < len(pairs):
        raise ModuleError(f"two of its outputs have one name: {', '.join(named)}")
    return named


def kept_outputs(
    outputs: dict[str, Tensor], names: Sequence[str] | None
) -> dict[str, Tensor]:
    """Those of `names`, each an output's name or what it begins with; all for None.

    >>> import torch
    >>> y = named_outputs({"aux": [torch.zeros(1), torch.ones(1)], "out": None})
    >>> list(kept_outputs(y, ["aux"])), list(kept_outputs(y, ["aux.1"]))
    (['aux.0', 'aux.1'], ['aux.1'])
    """
    if names is None:
        return outputs
    for name in names:
        if not any(_is_in(output, name) for output in outputs):
            has = ", ".join(outputs) or "none"
            raise ModuleError(f"{name[:60]!a}: is no output, it has {has}")
    return {
        output: value
        for output, value in outputs.items()
        if any(_is_in(output, name) for name in names)
    }


def _is_in(output: str, name: str) -> bool:
    return f"{output}.".startswith(f"{name}.")


def _key(part: Any) -> str:
    """An index, a key or a field's name, whichever a part of a path is."""
    for name in ("idx", "key", "name"):
        if hasattr(part, name):
            return str(getattr(part, name))
    return str(part)
