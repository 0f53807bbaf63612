"""The operations of any module, as a graph: by torch.fx, or else by torch.export."""

from __future__ import annotations

import copy
import io
import logging
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx, nn

from nestgen.surgery.kept import PREFIX, Inputs, Kept

_COPIES = {
    torch.ops.aten.clone.default,
    torch.ops.aten.alias.default,
    torch.ops.aten.detach.default,
    torch.ops.aten.lift_fresh_copy.default,
}
"""What changes nothing in a graph in which nothing is written over."""
_CHECKS = {
    torch._assert,
    torch.ops.aten._assert_async.msg,
    torch.ops.aten._assert_scalar.default,
    torch.ops.aten._assert_tensor_metadata.default,
}
"""What a network asks of its own values, also of those that are not kept."""


@dataclass(frozen=True)
class Followed:
    """What a module does, operation by operation.

    Attributes:
        module: the traced one, whose graph takes tensors and returns a tuple of them;
            its own tensors and modules have the names of the original.
        way: `torch.fx`, which follows the calls of modules, or `torch.export`, which
            follows those of ATen operators.
        conditions: on the sizes of inputs, as Python; for others it does not hold.
    """

    module: fx.GraphModule
    way: str
    conditions: tuple[str, ...] = ()


def follow_modules(kept: Kept, example: Inputs) -> Followed:
    """Follow by torch.fx; dead calls are dropped, with the modules they called.

    It raises what symbolic tracing does, and its result may be wrong where Python
    decides by what it is given: it has to be compared.
    """
    twin = copy.deepcopy(kept)
    graph = _Tracer().trace(twin)
    traced = fx.GraphModule(twin, graph)
    return Followed(_cleaned(traced, kept.inputs), "torch.fx")


class _Tracer(fx.Tracer):
    """Runs the hooks of torch's own layers too, which are single calls to torch.fx."""

    def call_module(self, m: nn.Module, forward: Any, args: Any, kwargs: Any) -> Any:
        """What the call of `m` gives, and what its hooks make of it."""
        output = super().call_module(m, forward, args, kwargs)
        if self.is_leaf_module(m, self.path_of_module(m)):
            for hook in m._forward_hooks.values():
                changed = hook(m, args, output)
                output = output if changed is None else changed
        return output


def follow_operators(kept: Kept, example: Inputs) -> Followed:
    """Follow by torch.export, with sizes left open where the module leaves them open.

    What is done in place becomes a new value, and dead code is dropped. It raises what
    torch.export does.
    """
    inputs = tuple(_two(x) for x in example)
    open_sides = tuple(
        {axis: torch.export.Dim.AUTO for axis in range(x.ndim) if axis != 1}
        for x in inputs
    )
    with _silence():
        program = torch.export.export(
            copy.deepcopy(kept), inputs, dynamic_shapes=open_sides, strict=False
        ).run_decompositions({})
        module: Any = program.module()
    for node in module.graph.find_nodes(op="call_module", target="_guards_fn"):
        module.graph.erase_node(node)
    module.graph.set_codegen(fx.graph.CodeGen())
    _take_out_copies(module.graph)
    conditions = tuple(_conditions(program, module.graph))
    return Followed(_cleaned(module, kept.inputs), "torch.export", conditions)


@contextmanager
def _silence() -> Iterator[None]:
    """Without what torch prints and logs of a graph that it gives up; errors stay."""
    before = logging.root.manager.disable
    unread = io.StringIO()
    logging.disable(logging.CRITICAL)
    try:
        with (
            warnings.catch_warnings(),
            redirect_stderr(unread),
            redirect_stdout(unread),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _two(x: torch.Tensor) -> torch.Tensor:
    """A batch of one as two, since sizes of one are taken for constants."""
    alone = x.ndim > 2 and x.shape[0] == 1
    return torch.cat([x, x]) if alone else x


def _cleaned(module: fx.GraphModule, inputs: int) -> fx.GraphModule:
    """Without what is dead, and with the names that the module itself has."""
    for node in [node for node in module.graph.nodes if node.target in _CHECKS]:
        module.graph.erase_node(node)
    module.graph.eliminate_dead_code()
    for node in list(module.graph.find_nodes(op="placeholder"))[inputs:]:
        module.graph.erase_node(node)  # an input that it might have had
    for node in module.graph.nodes:
        if node.op in ("get_attr", "call_module"):
            node.target = str(node.target).removeprefix(PREFIX)
    inside: nn.Module = getattr(module, PREFIX.rstrip("."), nn.Module())
    for name, value in vars(module).get("_buffers", {}).items():
        inside.register_buffer(name, value)
    cut = fx.GraphModule(inside, module.graph)
    cut.graph.lint()
    return cut


def _take_out_copies(graph: fx.Graph) -> None:
    for node in graph.nodes:
        if node.target in _COPIES and not node.kwargs:
            node.replace_all_uses_with(node.args[0])


def _conditions(
    program: torch.export.ExportedProgram, graph: fx.Graph
) -> Iterator[str]:
    """Sides that are constants, then what torch found that the operations assume.

    It takes for granted that open sides are not 1; of batches that is tried instead.
    """
    for node in graph.find_nodes(op="placeholder"):
        shape = node.meta["val"].shape
        for axis, side in enumerate(shape):
            if isinstance(side, int):
                yield f"{node.name}.size()[{axis}] == {side}"
            elif axis or len(shape) < 3:
                yield f"{node.name}.size()[{axis}] != 1"
    yield from (re.sub(r"L\['(\w+)'\]", r"\1", text) for text in program._guards_code)
