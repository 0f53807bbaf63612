"""The graph of a followed module as lines of Python, for the template to print."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn

from nestgen.codegen.expressions import Call, Expression, Path, Text, is_name
from nestgen.errors import ModuleError
from nestgen.surgery.constructors import constructor
from nestgen.surgery.follow import Followed
from nestgen.surgery.scribe import Line, Scribe

_SIDE = re.compile(r"(\w+)\.size\(\)\[(\d+)\]")
"""How torch names the size of an axis."""


@dataclass(frozen=True)
class Script:
    """All that the template prints of a cut.

    Attributes:
        class_name: that of the original.
        description: the opening of the file's docstring.
        base: the class that it extends.
        inputs: the arguments of `forward`.
        made: the statements of `__init__`: a place and what stands there.
        lines: the statements of `forward`.
        outputs: what it returns, by name.
        sides: a name, and the input and the axis whose size it is.
        conditions: on these.
        packages: what the statements use beside torch.
        shapes: of inputs that it takes.
    """

    class_name: str
    description: tuple[str, ...]
    base: str
    inputs: tuple[str, ...]
    made: tuple[tuple[Path, Expression], ...]
    lines: tuple[Line, ...]
    outputs: tuple[tuple[Text, str], ...]
    sides: tuple[tuple[str, str, int], ...]
    conditions: tuple[str, ...]
    packages: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]


def script(
    followed: Followed,
    names: Sequence[str],
    class_name: str,
    description: Sequence[str],
    shapes: Sequence[Sequence[int]],
) -> Script:
    """What the file of a cut says; `ModuleError` for what cannot be written."""
    graph = followed.module.graph
    lines, outputs = _lines(graph)
    values = [line.value for line in lines]
    return Script(
        class_name=class_name,
        description=tuple(description),
        base=_group((), _read(graph)),
        inputs=tuple(node.name for node in graph.find_nodes(op="placeholder")),
        made=tuple(_made(followed.module)),
        lines=tuple(lines),
        outputs=tuple(zip(map(Text, names), outputs, strict=True)),
        sides=tuple(sides_of(followed.conditions)),
        conditions=tuple(map(on_sides, followed.conditions)),
        packages=tuple(
            name for name in ("math", "operator") if _uses(values, f"{name}.")
        ),
        shapes=tuple(map(tuple, shapes)),
    )


def on_sides(condition: str) -> str:
    """A condition of torch's, with the names of sides that `sides_of` gives.

    >>> on_sides("x.size()[2] != 1")
    'x_2 != 1'
    """
    return _SIDE.sub(r"\1_\2", condition)


def sides_of(conditions: Sequence[str]) -> Iterator[tuple[str, str, int]]:
    """The names of the sides in conditions, and the input and the axis of each.

    >>> list(sides_of(["x.size()[2] != 1"]))
    [('x_2', 'x', 2)]
    """
    found = {pair for text in conditions for pair in _SIDE.findall(text)}
    for name, axis in sorted(found):
        yield f"{name}_{axis}", name, int(axis)


def _uses(value: Any, start: str) -> bool:
    if isinstance(value, Call):
        called = isinstance(value.function, str) and value.function.startswith(start)
        return called or _uses([value.arguments, value.keywords], start)
    several = isinstance(value, (list, tuple))
    return several and any(_uses(item, start) for item in value)


def _made(module: fx.GraphModule) -> Iterator[tuple[Path, Expression]]:
    """The modules and tensors that the graph reads, by the original's names."""
    read = _read(module.graph)
    groups: set[tuple[str, ...]] = set()
    for name in (name for name in _all_names(module) if name in read):
        path = tuple(name.split("."))
        for end in range(1, len(path)):
            if path[:end] not in groups:
                groups.add(path[:end])
                yield Path(("self", *path[:end])), Call(_group(path[:end], read))
        called = read[name] == "call_module"
        made = (
            constructor(module.get_submodule(name)) if called else _empty(module, name)
        )
        yield Path(("self", *path)), made


def _read(graph: fx.Graph) -> dict[str, str]:
    """The names of what is called or read, and which of both it is."""
    read = ("call_module", "get_attr")
    return {str(node.target): node.op for node in graph.nodes if node.op in read}


def _group(path: tuple[str, ...], read: Mapping[str, str]) -> str:
    """The class that holds modules and tensors whose names begin with `path`."""
    before = "".join(f"{name}." for name in path)
    inside = [name.removeprefix(before) for name in read if name.startswith(before)]
    odd = [name for name in inside if not is_name(name.split(".")[0])]
    if not odd:
        return "nn.Module"
    tensors = all(read[before + name] == "get_attr" and "." not in name for name in odd)
    return "nn.ParameterDict" if tensors else "nn.ModuleDict"


def _all_names(module: nn.Module) -> list[str]:
    """Of modules and tensors, in the order in which the original made them."""
    names: list[str] = []
    for path, inside in module.named_modules(remove_duplicate=False):
        before = f"{path}." if path else ""
        own = [*vars(inside)["_parameters"], *vars(inside)["_buffers"]]
        names += [path, *(before + name for name in own)]
        names += [
            before + name
            for name, value in vars(inside).items()
            if isinstance(value, Tensor)
        ]
    return names


def value_at(module: nn.Module, name: str) -> Any:
    """What has the name in a module: a parameter, a buffer, a plain attribute.

    >>> value_at(nn.Sequential(nn.PReLU()), "0.num_parameters")
    1
    """
    path, _, last = name.rpartition(".")
    return getattr(module.get_submodule(path), last)


def _empty(module: nn.Module, name: str) -> Call:
    """`nn.Parameter(torch.empty(8, 3, 3, 3))`, or the buffer's like."""
    value = value_at(module, name)
    if not isinstance(value, Tensor):
        raise ModuleError(f"{name} is a {type(value).__name__}, no tensor")
    dtype = () if value.dtype == torch.float32 else (("dtype", str(value.dtype)),)
    kind = "nn.Parameter" if isinstance(value, nn.Parameter) else "nn.Buffer"
    return Call(kind, (Call("torch.empty", (tuple(value.shape),), dtype),))


def _lines(graph: fx.Graph) -> tuple[list[Line], list[str]]:
    """The statements, and the names of what is returned."""
    scribe = Scribe(graph)
    lines = [line for node in graph.nodes for line in scribe.line(node)]
    (returned,) = graph.output_node().args
    return lines, [scribe.names[node] for node in returned]  # type: ignore[union-attr]
