"""Train a network with less memory: what is between its convolutions is made again."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, fx, nn

from nestgen.errors import ModuleError, in_a_line
from nestgen.fusion.defer import Deferral
from nestgen.fusion.read import has_hooks
from nestgen.surgery.kept import Inputs, inputs_of, output_tensors
from nestgen.surgery.outside import told
from nestgen.surgery.proof import bits
from nestgen.surgery.trace import LayerTracer

EXACT = 1e-9
"""Of the largest tensor of its kind: how much both may differ in float64."""

Step = dict[str, dict[str, Tensor]]
"""Tensors by kind and name."""


class FusedTraining(nn.Module):
    """A network that keeps each convolution's output once while it trains.

    Attributes:
        network: whose layers and tensors are trained; its running statistics move as if
            it ran itself. In eval mode it does run itself.
        rows: of each convolution and each batch norm whether it is fused, or why not.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        deferral = Deferral(network, _traced(network))
        # no module of this one, since all of its layers are the network's
        self._inside = (deferral.run(),)
        self.rows = tuple(deferral.rows)

    def forward(self, *inputs: Tensor) -> Any:
        """What the network gives; of an empty batch, by itself."""
        fused = self.training and all(x.numel() for x in inputs)
        run = self._inside[0] if fused else self.network
        return run(*inputs)


def fuse_training(network: nn.Module, example: Tensor | Inputs) -> FusedTraining:
    """The network as a module that trains it with less memory.

    Between a convolution and the next, norm, activation, pooling or up-sampling and
    concatenation are not stored, but computed by whoever reads them, forward and
    backward (see `nestgen.kernels.normed_conv`). What cannot be fused runs as it is.

    `network` is in training mode and remains the owner of its weights, its running
    statistics and its state dict; each of its norms and dropouts may change its mode.
    What else is changed later, a layer that is replaced or a hook that is added, is not
    followed in training. `example` is an input, or a tuple of them, small:
    outputs, running statistics and gradients are held against the network's on it, in
    float64.

    Raises `ModuleError` for a network in eval mode, one that torch.fx cannot follow,
    one in which nothing can be fused, an example that it does not take, and where both
    differ.

    >>> import nestgen
    >>> network = nestgen.build(nestgen.NestSpec(depth=1, widths=2)).train()
    >>> fused = fuse_training(network, torch.randn(2, 3, 8, 8))
    >>> sum(row.done == ["fused"] for row in fused.rows), len(fused.rows)
    (14, 14)
    """
    inputs = inputs_of(example)
    if not network.training:
        raise ModuleError(f"{type(network).__name__}: is in eval mode, call train()")
    fused = FusedTraining(network)
    if not any(row.done for row in fused.rows):
        why = fused.rows[0].left[0] if fused.rows else "it has no convolution"
        raise ModuleError(
            f"{type(network).__name__}: nothing of it can be fused for training, {why}"
        )
    try:
        _require_equal(fused, inputs)
    except ModuleError:
        _require_followed(network, inputs)
        raise
    return fused


def _traced(network: nn.Module) -> fx.GraphModule:
    name = type(network).__name__
    for path, module in network.named_modules():
        if has_hooks(module) and next(module.children(), None) is not None:
            raise ModuleError(f"{name}: {path or 'it'} has hooks, and is not followed")
    try:
        return fx.GraphModule(network, LayerTracer().trace(network), name)
    except Exception as error:  # it runs the network, which may raise anything
        raise ModuleError(
            f"torch.fx cannot follow {name}: {in_a_line(error)}"
        ) from error


def _require_followed(network: nn.Module, inputs: Inputs) -> None:
    """Raise where torch.fx wrote down something else than what the network does."""
    name, doubled = type(network).__name__, tuple(x.double() for x in inputs)
    twin = copy.deepcopy(network).double()
    with told(f"{name}: does not train on the example"):
        expected = _one_step(copy.deepcopy(twin), doubled)["output"]
    with told(f"torch.fx does not follow {name}"):
        ours = _one_step(_traced(twin), doubled)["output"]
    if ours.keys() != expected.keys() or not all(
        _alike(ours[key], y) and torch.equal(bits(ours[key]), bits(y))
        for key, y in expected.items()
    ):
        raise ModuleError(f"torch.fx does not follow {name}: its trace gives others")


def _alike(x: Tensor, y: Tensor) -> bool:
    return (x.shape, x.dtype) == (y.shape, y.dtype)


def _require_equal(fused: FusedTraining, inputs: Inputs) -> None:
    twin: Any = copy.deepcopy(fused).double()
    try:
        # dropout draws in the order of memory, which is then the same
        found = _both(twin, inputs, torch.channels_last)
    except ModuleError:  # as a view may in this layout
        found = _both(twin, inputs, torch.contiguous_format)
    for kind, (expected, ours) in {
        kind: [one[kind] for one in found] for kind in found[0]
    }.items():
        most = max((x.norm() for x in expected.values()), default=torch.zeros(()))
        for name in {**expected, **ours}:
            if not _near(expected.get(name), ours.get(name), EXACT * most):
                raise ModuleError(f"{kind} {name} is another once the network is fused")


def _near(x: Tensor | None, y: Tensor | None, most: Tensor) -> bool:
    """Whether both are there, which they are not where a gradient is cut off."""
    if x is None or y is None or not _alike(x, y):
        return False
    return bool((x - y).norm() <= most)


def _both(twin: Any, inputs: Inputs, layout: Any) -> list[Step]:
    """A step of the network and one of the fused, both in `layout`."""
    ours = copy.deepcopy(twin).to(memory_format=layout)
    doubled = tuple(
        x.double().contiguous(memory_format=layout) if x.ndim == 4 else x.double()
        for x in inputs
    )
    theirs, name = copy.deepcopy(ours.network), type(twin.network).__name__
    with told(f"{name}: does not train on the example"):
        expected = _one_step(theirs, doubled)
    with told(f"{name}: does not train on the example once it is fused"):
        return [expected, _one_step(ours, doubled)]


def _one_step(module: nn.Module, inputs: Inputs) -> Step:
    """Outputs, gradients and buffers after one step, with the same draws."""
    network = module.network if isinstance(module, FusedTraining) else module
    assert isinstance(network, nn.Module)
    with torch.random.fork_rng({x.device for x in inputs if x.is_cuda}):
        torch.manual_seed(0)
        outputs = output_tensors(module(*inputs))
        loss = sum((y * torch.randn_like(y)).sum() for y in outputs.values())
        torch.autograd.backward(loss)
    return {
        "output": {name: y.detach() for name, y in outputs.items()},
        "the gradient of": {
            name: p.grad for name, p in network.named_parameters() if p.grad is not None
        },
        "the buffer": {name: b.double() for name, b in network.named_buffers()},
    }
