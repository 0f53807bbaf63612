"""The cut by torch.fx: from the traced network, what one head does not need is gone."""

from __future__ import annotations

import copy

from torch import fx, nn

from nestgen.errors import CutError


def cut_traced(model: nn.Module, level: int) -> fx.GraphModule:
    """A traced copy of `model` that computes the head of `level`, and no more.

    The way is independent of `prune`: the output is pointed at the head's node, the
    code that nothing reads any more is dropped, and the modules it called with it.
    Parameters keep their names. Raises `CutError` for a level without a head.

    >>> import nestgen
    >>> whole = nestgen.build(nestgen.NestSpec(depth=2, widths=2))
    >>> small = cut_traced(whole, 1)
    >>> "x1_0.conv1.weight" in small.state_dict(), hasattr(small, "x2_0")
    (True, False)
    """
    traced = fx.symbolic_trace(copy.deepcopy(model))
    output = traced.graph.output_node()
    output.args = (_head(model, output, level),)
    traced.graph.eliminate_dead_code()
    traced.delete_all_unused_submodules()
    traced.graph.lint()
    traced.recompile()
    return traced


def _head(model: nn.Module, output: fx.Node, level: int) -> fx.Node:
    """The node of the logits of `level`; one head alone is the output itself."""
    found = output.args[0]
    heads = found if isinstance(found, dict) else {_only(model): found}
    head = heads.get(f"L{level}")
    if not isinstance(head, fx.Node):
        has = ", ".join(heads)
        raise CutError(f"L{level}: this {type(model).__name__} has the levels {has}")
    return head


def _only(model: nn.Module) -> str:
    """The name of the one level of a network that returns a tensor."""
    heads = getattr(getattr(model, "spec", None), "heads", ())
    return f"L{heads[-1]}" if heads else "no name"
