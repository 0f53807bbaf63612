"""The call that makes one of torch's modules anew, as code."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import nn

from nestgen.codegen.expressions import Call, Expression, Text
from nestgen.errors import ModuleError


def constructor(module: nn.Module) -> Call:
    """`nn.Conv2d(3, 8, kernel_size=3)` and the like, of a module that is made so.

    The arguments are read off the attributes of the same names, the result is made and
    compared, and arguments that change nothing are left out; dtypes are the weights'.
    Raises `ModuleError` for what is no module of torch's own, or is not the same when
    made so.

    >>> from nestgen.codegen.expressions import expression
    >>> print(expression(constructor(nn.Conv2d(3, 8, (3, 3), padding=1, bias=False))))
    nn.Conv2d(3, 8, 3, padding=1, bias=False)
    """
    name = type(module).__name__
    if getattr(nn, name, None) is not type(module):
        raise ModuleError(f"{name} is none of torch's own modules")
    required, optional = _arguments(module)
    if not _same(module, required, optional):
        raise ModuleError(f"this {name} is another when made anew")
    for key in list(optional):
        fewer = {other: value for other, value in optional.items() if other != key}
        optional = fewer if _same(module, required, fewer) else optional
    keywords = tuple((key, written(value)) for key, value in optional.items())
    return Call(f"nn.{name}", tuple(map(written, required)), keywords)


def written(value: Any) -> Expression:
    """A plain value as an expression; `ModuleError` for one that has none."""
    if isinstance(value, (list, tuple)):
        return tuple(map(written, value))
    if isinstance(value, str):
        return Text(value)
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, (torch.dtype, torch.memory_format, torch.layout)):
        return str(value)
    raise ModuleError(f"a {type(value).__name__} cannot be written")


def _arguments(module: nn.Module) -> tuple[list[Any], dict[str, Any]]:
    """Those that a constructor requires, and the others that are not the default."""
    required, optional = [], {}
    for parameter in inspect.signature(type(module)).parameters.values():
        if not hasattr(module, parameter.name):
            continue
        value = _short(getattr(module, parameter.name))
        if isinstance(value, torch.Tensor) or parameter.name == "bias":
            value = value is not None
        if parameter.default is inspect.Parameter.empty:
            required.append(value)
        elif value != _short(parameter.default):
            optional[parameter.name] = value
    return required, optional


def _short(value: Any) -> Any:
    """One number for several that are equal."""
    alike = isinstance(value, tuple) and len(value) > 1 and len(set(value)) == 1
    return value[0] if alike else value


def _same(module: nn.Module, required: list[Any], optional: dict[str, Any]) -> bool:
    """Whether these arguments make what computes the same, and has the same tensors."""
    with torch.device("meta"):
        made = type(module)(*required, **optional)
    return _facts(made) == _facts(module)


def _facts(module: nn.Module) -> dict[str, Any]:
    tensors = {name: list(x.shape) for name, x in module.state_dict().items()}
    plain = {
        name: value
        for name, value in vars(module).items()
        if not name.startswith("_") and name != "training"
    }
    return plain | tensors
