"""What the nodes of a trace write over, of tensors that others read too."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import takewhile

from torch import fx

from nestgen.fusion.operations import Act, Same
from nestgen.fusion.work import Work

_IN_PLACE = (
    "iadd",
    "iand",
    "ifloordiv",
    "ilshift",
    "imatmul",
    "imod",
    "imul",
    "ior",
    "ipow",
    "irshift",
    "isub",
    "itruediv",
    "ixor",
    "setitem",
)
"""Functions of `operator` that write into their first argument."""


def rewritten(work: Work, node: fx.Node, before: fx.Node | None = None) -> bool:
    """Whether what `node` gives may be written over after it, and before another node.

    `before` is the end of the graph by default. What shares memory is not known of all
    operators: of those that `Work.read` does not know, it is taken to be all.
    """
    own = _memory(work, node)
    return any(
        writes(work.traced, later) and own & _memory(work, later)
        for later in takewhile(lambda other: other is not before, _after(node))
    )


def _after(node: fx.Node) -> Iterator[fx.Node]:
    while node.next.op != "root":
        node = node.next
        yield node


def _memory(work: Work, node: fx.Node) -> set[fx.Node]:
    """The nodes whose tensors may be the one that `node` gives."""
    found, rest = set[fx.Node](), [node]
    while rest:
        one = rest.pop()
        if one not in found:
            found.add(one)
            if not _is_new(work, one):
                rest += one.all_input_nodes
    return found


def _is_new(work: Work, node: fx.Node) -> bool:
    operation = work.read(node)
    if isinstance(operation, (Act, Same)):
        return isinstance(operation, Act) and not writes(work.traced, node)
    return operation is not None


def writes(traced: fx.GraphModule, node: fx.Node) -> bool:
    """Whether a node of a trace writes into what it is given.

    >>> traced = fx.symbolic_trace(lambda x: (x + 1).relu_())
    >>> [node.name for node in traced.graph.nodes if writes(traced, node)]
    ['relu_']
    """
    if node.op == "call_module":
        module = traced.get_submodule(str(node.target))
        return bool(getattr(module, "inplace", False))
    if node.op == "call_method":
        name = str(node.target)
    else:
        name = getattr(node.target, "__name__", "")
    mutable = getattr(getattr(node.target, "_schema", None), "is_mutable", False)
    asked = bool(node.kwargs.get("inplace")) or node.kwargs.get("out") is not None
    named = name.endswith("_") and not name.startswith("__")
    named &= getattr(node.target, "__module__", "") != "_operator"  # whose or_ does not
    return mutable or asked or named or name.strip("_") in _IN_PLACE
