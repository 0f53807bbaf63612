"""The cut by torch.fx: from the traced network, what no kept head needs is gone."""

from __future__ import annotations

import copy
from collections.abc import Sequence

from torch import fx, nn

from nestgen.errors import CutError


def cut_traced(model: nn.Module, levels: Sequence[int]) -> fx.GraphModule:
    """A traced copy of `model` that computes the heads of `levels`, and no more.

    It returns what `prune`'s returns. The way is independent of `prune`: the output is
    pointed at the heads' nodes, the code that nothing reads any more is dropped, and
    the modules it called with it. Parameters keep their names. Raises `CutError` for a
    level without a head, and for a network that torch.fx cannot read.

    >>> import nestgen
    >>> whole = nestgen.build(nestgen.NestSpec(depth=2, widths=2))
    >>> small = cut_traced(whole, [1])
    >>> "x1_0.conv1.weight" in small.state_dict(), hasattr(small, "x2_0")
    (True, False)
    """
    traced = _traced(copy.deepcopy(model))
    output = traced.graph.output_node()
    heads = {f"L{level}": _head(model, output, level) for level in levels}
    output.args = (heads if len(heads) > 1 else heads.popitem()[1],)
    traced.graph.eliminate_dead_code()
    traced.delete_all_unused_submodules()
    traced.graph.lint()
    traced.recompile()
    return traced


def _traced(model: nn.Module) -> fx.GraphModule:
    try:
        return fx.GraphModule(model, LayerTracer().trace(model), type(model).__name__)
    except Exception as error:  # it runs the network, which may raise anything
        line = " ".join(str(error).split())[:120]
        raise CutError(
            f"torch.fx cannot read this {type(model).__name__}, so that its cut cannot "
            f"be proven: {line}"
        ) from error


class LayerTracer(fx.Tracer):
    """Looks into a network down to torch's layers, and to those of a backbone.

    What timm's models are made of may decide by the size of what it reads, which no
    trace can follow; the models, which have a `feature_info`, call it in order.
    """

    def is_leaf_module(self, module: nn.Module, name: str) -> bool:
        """Whether the call of `module` is one node of the traced graph."""
        foreign = type(module).__module__.startswith("timm.")
        inside = foreign and not hasattr(module, "feature_info")
        return inside or super().is_leaf_module(module, name)


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
