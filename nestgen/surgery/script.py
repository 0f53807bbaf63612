"""The graph of a followed module as lines of Python, for the template to print."""

from __future__ import annotations

import builtins
import math
import operator
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional

from nestgen.codegen.expressions import (
    Call,
    Expression,
    Infix,
    Item,
    Path,
    Text,
)
from nestgen.errors import ModuleError
from nestgen.surgery.constructors import constructor, written
from nestgen.surgery.follow import Followed
from nestgen.surgery.kept import PREFIX

_SIGNS: dict[Any, Any] = {
    operator.add: "+",
    operator.sub: "-",
    operator.mul: "*",
    operator.truediv: "/",
    operator.floordiv: "//",
    operator.mod: "%",
}
_HOMES = (builtins, math, operator, torch, functional)
"""Where functions are that a file may call."""


_SIDE = re.compile(r"(\w+)\.size\(\)\[(\d+)\]")
"""How torch names the size of an axis."""


@dataclass(frozen=True)
class Line:
    """A statement of `forward`, under a heading where another module begins."""

    heading: str
    target: str
    value: Expression
    done: tuple[str, ...]


@dataclass(frozen=True)
class Script:
    """All that the template prints of a cut.

    Attributes:
        class_name: that of the original.
        description: the opening of the file's docstring.
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
        inputs=tuple(node.name for node in graph.find_nodes(op="placeholder")),
        made=tuple(_made(followed.module)),
        lines=tuple(lines),
        outputs=tuple(zip(map(Text, names), outputs, strict=True)),
        sides=tuple(_sides(followed.conditions)),
        conditions=tuple(_SIDE.sub(r"\1_\2", text) for text in followed.conditions),
        packages=tuple(
            name for name in ("math", "operator") if _uses(values, f"{name}.")
        ),
        shapes=tuple(map(tuple, shapes)),
    )


def _sides(conditions: Sequence[str]) -> Iterator[tuple[str, str, int]]:
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
    read = {
        str(node.target): node.op
        for node in module.graph.nodes
        if node.op in ("call_module", "get_attr")
    }
    groups: set[str] = set()
    for name in (name for name in _all_names(module) if name in read):
        *outer, last = name.split(".")
        for end in range(1, len(outer) + 1):
            group = ".".join(outer[:end])
            if group not in groups:
                groups.add(group)
                inside = {
                    other[len(group) + 1 :].split(".")[0]
                    for other in read
                    if other.startswith(f"{group}.")
                }
                kind = (
                    "nn.Module"
                    if all(map(str.isidentifier, inside))
                    else "nn.ModuleDict"
                )
                yield Path(("self", *outer[:end])), Call(kind)
        if read[name] == "call_module":
            yield Path(("self", *outer, last)), constructor(module.get_submodule(name))
        else:
            yield _tensor(module, name)


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


def _tensor(module: nn.Module, name: str) -> tuple[Path, Expression]:
    """`nn.Parameter(torch.empty(8, 3, 3, 3))`, or the buffer's like."""
    value = _found(module, name)
    dtype = () if value.dtype == torch.float32 else (("dtype", str(value.dtype)),)
    empty = Call("torch.empty", (tuple(value.shape),), dtype)
    kind = "nn.Parameter" if isinstance(value, nn.Parameter) else "nn.Buffer"
    return Path(("self", *name.split("."))), Call(kind, (empty,))


def _found(module: nn.Module, name: str) -> Tensor:
    path, _, last = name.rpartition(".")
    value = getattr(module.get_submodule(path), last)
    if not isinstance(value, Tensor):
        raise ModuleError(f"{name} is a {type(value).__name__}, no tensor")
    return value


def _lines(graph: fx.Graph) -> tuple[list[Line], list[str]]:
    """The statements, and the names of what is returned."""
    scribe = _Scribe(graph)
    lines = [line for node in graph.nodes for line in scribe.line(node)]
    (returned,) = graph.output_node().args
    return lines, [scribe.names[node] for node in returned]  # type: ignore[union-attr]


class _Scribe:
    """Writes node by node; a result takes the name of what is not read any more."""

    def __init__(self, graph: fx.Graph) -> None:
        self.names: dict[Any, str] = {}
        self.paths: dict[fx.Node, Path] = {}
        self.last = {node: max(node.users) for node in graph.nodes if node.users}
        self.heading = ""
        self.made = 0
        self.first = next(iter(graph.find_nodes(op="placeholder"))).name

    def line(self, node: fx.Node) -> Iterator[Line]:
        """The statement of a node, if it is one."""
        if node.op == "placeholder":
            self.names[node] = node.name
        elif node.op == "get_attr":
            self.paths[node] = Path(("self", *str(node.target).split(".")))
        elif node.op != "output":
            value = self._value(node)
            ended = [
                source
                for source in dict.fromkeys(node.all_input_nodes)
                if source in self.names and self.last[source] is node
            ]
            self.names[node] = self._name(ended)
            done = {self.names[source] for source in ended} - {self.names[node]}
            yield Line(
                self._heading(node), self.names[node], value, tuple(sorted(done))
            )

    def _name(self, ended: list[fx.Node]) -> str:
        if ended:
            return self.names[ended[0]]
        self.made += 1
        return f"t{self.made}"

    def _heading(self, node: fx.Node) -> str:
        """The path of the module that a node is of, where it is another than before.

        torch's own modules are not told; their names stand in the lines.
        """
        stack = node.meta.get("nn_module_stack", {}).values()
        paths = [str(path) for path, kind in stack if "torch.nn." not in str(kind)]
        path = paths[-1].partition("@")[0] if paths else ""
        path = path.removeprefix("L['self'].").removeprefix(PREFIX.rstrip("."))
        before, self.heading = self.heading, path.strip(".")
        return self.heading if self.heading != before else ""

    def _value(self, node: fx.Node) -> Expression:
        arguments = tuple(self._argument(value) for value in node.args)
        keywords = tuple(
            (name, self._argument(value)) for name, value in node.kwargs.items()
        )
        if node.op == "call_module":
            path = Path(("self", *str(node.target).split(".")))
            return Call(path, arguments, keywords)
        if node.op == "call_method":
            return Call(_of(arguments[0], str(node.target)), arguments[1:], keywords)
        if node.target in _SIGNS:
            return Infix(arguments[0], _SIGNS[node.target], arguments[1])  # type: ignore[arg-type]
        if node.target is operator.getitem and isinstance(node.args[1], int):
            return Item(arguments[0], node.args[1])
        return Call(_function(node.target), arguments, keywords)

    def _argument(self, value: Any) -> Expression:
        if isinstance(value, fx.Node):
            return self.paths.get(value) or self.names[value]
        if isinstance(value, (list, tuple)):
            return tuple(map(self._argument, value))
        if isinstance(value, slice):
            ends = (value.start, value.stop, value.step)
            return Call("slice", tuple(map(self._argument, ends)))
        if value is Ellipsis:
            return "Ellipsis"
        if isinstance(value, torch.device):
            return Path((self.first, "device"))
        return written(value)


def _of(value: Expression, method: str) -> Path:
    inside = value.names if isinstance(value, Path) else (str(value),)
    return Path((*inside, method))


def _function(target: Any) -> str:
    """The name under which a function can be called."""
    if isinstance(target, torch._ops.OpOverload):
        return f"torch.ops.{target}"
    for home in _HOMES:
        for name, value in vars(home).items():
            if value is target:
                return name if home is builtins else f"{home.__name__}.{name}"
    raise ModuleError(f"{getattr(target, '__name__', target)} is none of torch's own")
