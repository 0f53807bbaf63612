"""A traced network while it is being fused, and what was done to its convolutions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, fx, nn

from nestgen.fusion.choice import Choice
from nestgen.fusion.operations import Convolution, Operation
from nestgen.fusion.read import read
from nestgen.fusion.report import Row
from nestgen.surgery.kept import Inputs
from nestgen.surgery.outside import told
from nestgen.surgery.script import value_at

if TYPE_CHECKING:
    from nestgen.fusion.signature import Key
    from nestgen.fusion.tune import Tuning

_CLASSES = {
    (3, False): nn.Conv1d,
    (4, False): nn.Conv2d,
    (5, False): nn.Conv3d,
    (3, True): nn.ConvTranspose1d,
    (4, True): nn.ConvTranspose2d,
    (5, True): nn.ConvTranspose3d,
}
"""By the axes of the weight, and whether it is transposed."""


class Work:
    """A graph that passes change; the modules that they make are new ones.

    Attributes:
        traced: the network, which nothing else holds; it runs on the example once.
        target: what will run it.
        rows: of its convolutions, by the node that computes each.
        report: the rows, in the order of the computation.
        choices: how each hot path is computed, by the node of its convolution.
        find: tells what was measured to be the best for a hot path, if anything was.
        tuning: how to measure what was not yet; None is not at all.
    """

    def __init__(
        self,
        traced: fx.GraphModule,
        example: Inputs,
        target: str = "eager",
        find: Callable[[Key], Choice | None] = lambda key: None,
        tuning: Tuning | None = None,
    ) -> None:
        self.traced, self.target = traced, target
        self.find, self.tuning = find, tuning
        shapes = ", ".join(str(list(x.shape)) for x in example)
        with told(f"the module does not run on an input {shapes}"):
            _Shapes(traced).run(*(x.clone() for x in example))
        self.rows = {
            node: Row(_name(node))
            for node, operation in self.operations()
            if isinstance(operation, Convolution)
        }
        self.report = tuple(self.rows.values())
        self.choices: dict[fx.Node, Choice] = {}
        self._wished: dict[fx.Node, str] = {}

    @property
    def graph(self) -> fx.Graph:
        """The nodes, in the order of their computation."""
        return self.traced.graph

    def read(self, node: object) -> Operation | None:
        """What a node does (see `read`); None for what is no node.

        None too for a convolution of one image that is in no batch: its channels do not
        stand where all else looks for them.
        """
        found = read(self.traced, node) if isinstance(node, fx.Node) else None
        alone = isinstance(found, Convolution) and (
            len(self.shape(found.x)) < found.weight.ndim
        )
        return None if alone else found

    def shape(self, node: fx.Node) -> tuple[int, ...]:
        """Of what a node gives for the example, where it is a tensor."""
        shape: tuple[int, ...] = node.meta[_SHAPE]
        return shape

    def operations(self) -> Iterator[tuple[fx.Node, Operation | None]]:
        """Every node and what it does, while the graph changes too."""
        for node in list(self.graph.nodes):
            if not node._erased:
                yield node, self.read(node)

    def put(
        self, module: nn.Module, name: str, inputs: tuple[fx.Node, ...], at: fx.Node
    ) -> fx.Node:
        """A call of a new module, before the node `at`; in the end it has the name."""
        names = (f"{_NEW}_{number}" for number in count())
        path = next(name for name in names if not hasattr(self.traced, name))
        with self.graph.inserting_before(at):
            node = self.graph.create_node("call_module", path, inputs)
        self._wished[node] = name
        self.traced.add_submodule(path, module)
        return node

    def call(
        self, function: Any, inputs: tuple[Any, ...], at: fx.Node, **options: Any
    ) -> fx.Node:
        """A call of a function, before the node `at`."""
        with self.graph.inserting_before(at):
            return self.graph.call_function(function, inputs, options)

    def shaped(self, node: fx.Node, shape: tuple[int, ...]) -> fx.Node:
        """A new node, whose shape is written down."""
        node.meta[_SHAPE] = shape
        return node

    def inside(self, gone: fx.Node | None, row: Row) -> None:
        """Write down that what `gone` computed is computed where `row` tells of."""
        if gone in self.rows and self.rows[gone] is not row:
            self.rows[gone].done.append(f"in {row.name}")

    def replace(self, old: fx.Node, new: fx.Node) -> None:
        """Read `new` instead of `old`, and drop what nothing reads any more."""
        if _SHAPE in old.meta:  # it is a tensor
            new.meta[_SHAPE] = self.shape(old)
        old.replace_all_uses_with(new, delete_user_cb=lambda user: user is not new)
        self.graph.eliminate_dead_code()

    def finish(self) -> fx.GraphModule:
        """The network, whose new modules have their names, or numbers behind them.

        It has no modules and tensors but those that it reads.
        """
        read = {
            str(node.target): value_at(self.traced, str(node.target))
            for node in self.graph.nodes
            if node.op in _READ
        }
        for node, name in self._wished.items():
            if not node._erased:
                free = self._free(name)
                read[free] = read.pop(str(node.target))
                node.target = free
        made = fx.GraphModule(read, self.graph)
        made.graph.lint()
        return made

    def _free(self, name: str) -> str:
        """`name`, or with a number behind it where nodes still read what has it."""
        read = [str(node.target) for node in self.graph.nodes if node.op in _READ]
        free, number = name, 1
        while any(f"{path}.".startswith(f"{free}.") for path in read):
            number += 1
            free = f"{name}_{number}"
        return free


class _Shapes(fx.Interpreter):
    """Runs a graph, and writes to each node the shape of what it gives."""

    def run_node(self, n: fx.Node) -> Any:
        """What `n` gives."""
        result = super().run_node(n)
        if isinstance(result, Tensor):
            n.meta[_SHAPE] = tuple(result.shape)
        return result


_NEW = "fused"
_SHAPE = "shape of the example"
_READ = ("call_module", "get_attr")


def _name(node: fx.Node) -> str:
    """Of a convolution: the path of its module, or of what its weight is in."""
    if node.op == "call_module":
        return str(node.target)
    weights = [x for x in node.all_input_nodes if x.op == "get_attr"]
    name = str(weights[0].target) if weights else node.name
    return name.rpartition(".")[0] or name


def convolution_module(
    like: Convolution, weight: Tensor, bias: Tensor | None
) -> nn.Module:
    """A module of torch with these tensors, that computes as `like` does."""
    out, inside = weight.shape[0], weight.shape[1] * like.groups
    channels = (out, inside) if like.transposed else (inside, out)
    options = {"output_padding": like.output_padding} if like.transposed else {}
    with torch.device("meta"):
        module: Any = _CLASSES[weight.ndim, like.transposed](
            *channels,
            like.kernel,
            stride=like.stride,
            padding=like.padding,
            dilation=like.dilation,
            groups=like.groups,
            bias=bias is not None,
            **options,
        )
    module.weight = nn.Parameter(weight.detach(), requires_grad=False)
    if bias is not None:
        module.bias = nn.Parameter(bias.detach(), requires_grad=False)
    made: nn.Module = module.eval()
    return made
