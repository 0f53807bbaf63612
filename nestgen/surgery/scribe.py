"""Operations of a graph as statements of Python, node by node."""

from __future__ import annotations

import builtins
import math
import operator
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx
from torch.nn import functional

from nestgen.codegen.expressions import Call, Expression, Infix, Item, Path
from nestgen.errors import ModuleError
from nestgen.surgery.constructors import written
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
_OPERATORS = ("aten", "prims")
"""Those that torch itself has."""


@dataclass(frozen=True)
class Line:
    """A statement of `forward`, under a heading where another module begins."""

    heading: str
    target: str
    value: Expression
    done: tuple[str, ...]


class Scribe:
    """Writes node by node; a result takes the name of what is not read any more."""

    def __init__(self, graph: fx.Graph) -> None:
        self.names: dict[Any, str] = {}
        self.paths: dict[fx.Node, Path] = {}
        self.last = {node: max(node.users) for node in graph.nodes if node.users}
        first = next(iter(graph.find_nodes(op="placeholder")))
        if any(map(_has_device, graph.nodes)):
            self.last[first] = graph.output_node()  # it tells the device
        self.heading = ""
        self.made = 0
        self.first = first.name

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
        if node.target is getattr and len(node.args) == 2:
            return _of(arguments[0], str(node.args[1]))
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


def _has_device(node: fx.Node) -> bool:
    given = (*node.args, *node.kwargs.values())
    return any(isinstance(value, torch.device) for value in given)


def _of(value: Expression, method: str) -> Path:
    inside = value.names if isinstance(value, Path) else (str(value),)
    return Path((*inside, method))


def _function(target: Any) -> str:
    """The name under which a function can be called."""
    if isinstance(target, torch._ops.OpOverload) and target.namespace in _OPERATORS:
        return f"torch.ops.{target}"
    for home in _HOMES:
        for name, value in vars(home).items():
            if value is target:
                return name if home is builtins else f"{home.__name__}.{name}"
    raise ModuleError(f"{getattr(target, '__name__', target)} is none of torch's own")
