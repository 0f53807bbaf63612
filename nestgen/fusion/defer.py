"""Norms, activations, resamplings and concatenations are left to who reads them."""

from __future__ import annotations

import operator
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import fx, nn
from torch.nn.modules.dropout import _DropoutNd

from nestgen.errors import ModuleError
from nestgen.fusion.normed import NormedConv, NormVectors, Own, Read, Reading
from nestgen.fusion.operations import (
    Act,
    Concatenation,
    Convolution,
    Norm,
    Operation,
    Same,
    Up,
)
from nestgen.fusion.read import read
from nestgen.fusion.report import Row
from nestgen.fusion.writes import writes


@dataclass(frozen=True)
class Deferred:
    """A tensor of the new graph, the vectors of its norm if it has one, its reading."""

    source: fx.Node
    vectors: fx.Node | None = None
    reading: Reading = field(default_factory=Reading)

    @property
    def is_there(self) -> bool:
        """Whether nothing is left to do."""
        return self.vectors is None and self.reading == Reading()


Value = tuple[Deferred, ...]
"""What is concatenated: one, or several."""


class Deferral:
    """Writes the graph of a network in training anew, one operation a convolution.

    `rows` tells of each convolution and each norm whether it is fused, and why not. The
    layers and their tensors stay those of `network`, of which `traced` is the trace.
    """

    def __init__(self, network: nn.Module, traced: fx.GraphModule) -> None:
        self.network, self.traced = network, traced
        self.rows: list[Row] = []
        self._graph = fx.Graph()
        self._root: dict[str, Any] = {}
        self._values: dict[fx.Node, Value] = {}
        self._made: dict[fx.Node, fx.Node] = {}
        self._statistics: dict[fx.Node, fx.Node] = {}

    def run(self) -> fx.GraphModule:
        """The network as it is run in training."""
        for node in self.traced.graph.nodes:
            operation = read(self.traced, node)
            _require_alone(self.traced, node)
            value = self._defer(node, operation)
            self._values[node] = (self._copy(node),) if value is None else value
            if isinstance(operation, (Convolution, Norm)):
                left = [] if value else [_why_not(operation)]
                self.rows.append(
                    Row(str(node.target), ["fused"] if value else [], left)
                )
        self._graph.lint()
        return fx.GraphModule(self._root, self._graph)

    def _defer(self, node: fx.Node, operation: Operation | None) -> Value | None:
        """What is left to the readers of `node`; None where it has to be computed."""
        if operation is None:
            return None
        if isinstance(operation, Concatenation):
            parts = operation.parts
            known = all(part in self._values for part in parts)
            return sum((self._values[part] for part in parts), ()) if known else None
        value, layer = self._values.get(operation.x), _layer(self.traced, node)
        if value is None:
            return None
        if isinstance(operation, Same):
            # dropout that is off may be on when it runs
            return None if isinstance(layer, _DropoutNd) else value
        if isinstance(operation, Convolution):
            if operation.is_up and isinstance(layer, nn.ConvTranspose2d):
                alone = len(node.users) == len(value) == 1
                return (
                    _resampled(value, Reading(1, "transpose", layer)) if alone else None
                )
            if isinstance(layer, nn.Conv2d) and _is_small(operation):
                return (self._convolve(node, layer, value),)
            return None
        if isinstance(operation, Norm):
            return self._norm(node, value)
        if isinstance(operation, Act):
            return _activated(value, operation.slope)
        mode = operation.mode if isinstance(operation, Up) else "pool"
        return _resampled(value, Reading(resampling=mode))

    def _convolve(self, node: fx.Node, layer: nn.Conv2d, value: Value) -> Deferred:
        normed = any(isinstance(read(self.traced, user), Norm) for user in node.users)
        given = tuple((one.source, one.vectors) for one in value)
        module = NormedConv(layer, [one.reading for one in value], normed)
        made = self._call(node, module, given)
        y = self._graph.call_function(operator.getitem, (made, 0))
        if normed:
            self._statistics[y] = made
        return Deferred(y)

    def _norm(self, node: fx.Node, value: Value) -> Value | None:
        layer, (first, *others) = _layer(self.traced, node), value
        made = self._statistics.get(first.source)
        if others or not first.is_there or made is None:
            return None
        if not isinstance(layer, nn.BatchNorm2d):
            return None
        mean, var = (
            self._graph.call_function(operator.getitem, (made, n)) for n in (1, 2)
        )
        vectors = self._call(node, NormVectors(layer), (first.source, mean, var))
        return (replace(first, vectors=vectors),)

    def _copy(self, node: fx.Node) -> Deferred:
        """The node as it is, of tensors that are made for it."""
        path = str(node.target)
        if node.op == "get_attr":
            owner, _, name = path.rpartition(".")
            return Deferred(
                self._call(node, Own(self.network.get_submodule(owner), name), ())
            )
        if node.op == "call_module":
            self._root[path] = self.network.get_submodule(path)
        copied = self._graph.node_copy(node, self._there)
        if node.op == "call_method" and node.target == "view":
            # what it reads is channels_last now, of which not all can be viewed
            copied.target = "reshape"
        return Deferred(copied)

    def _there(self, node: fx.Node) -> fx.Node:
        """The tensor that `node` stood for, made once."""
        if node not in self._made:
            tensors = [
                one.source
                if one.is_there
                else self._call(node, Read(one.reading), (one.source, one.vectors))
                for one in self._values[node]
            ]
            self._made[node] = (
                tensors[0]
                if len(tensors) == 1
                else self._graph.call_function(torch.cat, (tensors, 1))
            )
        return self._made[node]

    def _call(self, node: fx.Node, module: nn.Module, arguments: Any) -> fx.Node:
        """The call of a new module, whose name is that of `node`."""
        name = f"deferred.{node.name}_{len(self._root)}"
        self._root[name] = module
        return self._graph.call_module(name, arguments)


def _layer(traced: fx.GraphModule, node: fx.Node) -> nn.Module | None:
    return traced.get_submodule(str(node.target)) if node.op == "call_module" else None


def _is_small(operation: Convolution) -> bool:
    return operation.is_plain and operation.kernel in ((3, 3), (1, 1))


def _activated(value: Value, slope: float) -> Value | None:
    """Where nothing but a norm stands before the activation, and it is monotonous."""
    if slope < 0 or any(one.reading != Reading() for one in value):
        return None
    return tuple(replace(one, reading=Reading(slope)) for one in value)


def _resampled(value: Value, how: Reading) -> Value | None:
    if any(one.reading.resampling != "same" for one in value):
        return None
    return tuple(
        replace(one, reading=replace(how, slope=one.reading.slope)) for one in value
    )


def _why_not(operation: Convolution | Norm) -> str:
    if isinstance(operation, Norm):
        return "it reads no fused convolution"
    if operation.is_up:
        return "what it gives is read more than once, or not by a convolution"
    if _is_small(operation):
        return "it is no layer of its own"
    kernel = "x".join(map(str, operation.kernel))
    return (
        f"its kernel is {kernel}, its stride {operation.stride[0]}, its groups "
        f"{operation.groups}; 3x3 and 1x1 of stride 1 and one group are fused"
    )


_ALIASES = {"view", "reshape", "flatten", "permute", "transpose", "squeeze"}


def _require_alone(traced: fx.GraphModule, node: fx.Node) -> None:
    """Raise `ModuleError` where `node` writes over what others read too."""
    if not writes(traced, node):
        return
    [written, *_] = node.all_input_nodes
    alias = written.op == "call_method" and written.target in _ALIASES
    if len(written.users) > 1 or written.op == "placeholder" or alias:
        raise ModuleError(
            f"{node.name}: writes over {written.name}, which is read elsewhere too"
        )
