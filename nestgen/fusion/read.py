"""Read the nodes of a trace: modules, functions, methods and ATen operators alike."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import fx, nn
from torch._ops import OpOverload
from torch.nn import functional as F

from nestgen.fusion.operations import (
    Act,
    Concatenation,
    Convolution,
    Norm,
    Operation,
    Pool,
    Same,
    Up,
    UpMode,
)
from nestgen.surgery.script import value_at

aten = torch.ops.aten
Arguments = Mapping[str, Any]


def read(traced: fx.GraphModule, node: fx.Node) -> Operation | None:
    """What `node` does; None for all that fusing does not know, or that has hooks.

    >>> traced = fx.symbolic_trace(nn.Sequential(nn.LeakyReLU(0.1)))
    >>> node = next(iter(traced.graph.find_nodes(op="call_module", target="0")))
    >>> read(traced, node).slope
    0.1
    """
    if node.op == "call_module":
        return _read_module(traced.get_submodule(str(node.target)), node)
    if node.op == "call_method":
        function: Any = getattr(torch.Tensor, str(node.target), None)
    else:
        function = node.target
    known = _FUNCTIONS.get(function) if node.op in _CALLS else None
    if known is None:
        return None
    names, reader = known
    given = _given(traced, node, names)
    return None if given is None else reader(given)


def resizes(traced: fx.GraphModule, node: fx.Node) -> bool:
    """Whether `node` interpolates an image, in whatever way."""
    if node.op == "call_module":
        return isinstance(traced.get_submodule(str(node.target)), nn.Upsample)
    return node.target is F.interpolate or ".upsample" in _name(node.target)


def _name(target: object) -> str:
    """Of an operator of ATen; "" for others. One that is private is called the same."""
    name = str(target) if isinstance(target, OpOverload) else ""
    return name.replace("._", ".")


_CALLS = ("call_function", "call_method")


def _given(
    traced: fx.GraphModule, node: fx.Node, names: Sequence[str]
) -> Arguments | None:
    """Arguments by name: nodes for the first, the network's own tensors for others.

    None where there are more of them than `names`, and where others are computed.
    """
    spelled = {_SPELLED.get(name, name): value for name, value in node.kwargs.items()}
    given = dict(zip(names, node.args, strict=False)) | spelled
    first = given.pop(names[0], None)
    images = first if isinstance(first, Sequence) else [first]
    others = set(node.all_input_nodes) - set(images)
    if (
        len(node.args) > len(names)
        or not given.keys() <= set(names)
        or not all(isinstance(image, fx.Node) for image in images)
        or any(other.op != "get_attr" for other in others)
    ):
        return None
    own = {name: _tensor(traced, value) for name, value in given.items()}
    return {names[0]: first, **own}


_SPELLED = {"axis": "dim"}
"""What torch takes for the name of an argument, too."""


def _tensor(traced: fx.GraphModule, value: Any) -> Any:
    """The tensor that a node stands for, where it is one of the network's own."""
    if isinstance(value, fx.Node):
        return value_at(traced, str(value.target))
    return value


def _read_module(module: nn.Module, node: fx.Node) -> Operation | None:
    reader = _MODULES.get(type(module))
    if reader is None or has_hooks(module) or "forward" in vars(module):
        return None
    if node.kwargs or len(node.args) != 1 or not isinstance(node.args[0], fx.Node):
        return None
    return reader(module, node.args[0])


def has_hooks(module: nn.Module) -> bool:
    """Whether more happens, forward or backward, than the module itself does."""
    forward = (module._forward_hooks, module._forward_pre_hooks)
    return any((*forward, module._backward_hooks, module._backward_pre_hooks))


def _of_conv(module: Any, x: Any) -> Operation | None:
    transposed = isinstance(module, nn.modules.conv._ConvTransposeNd)
    padding = _padding(module.padding, module.kernel_size, module.dilation)
    if padding is None or module.padding_mode != "zeros":
        return None
    return Convolution(
        x, module.weight, module.bias, module.stride, padding, module.dilation,
        module.groups, transposed, module.output_padding if transposed else (),
    )  # fmt: skip


def _of_norm(module: Any, x: Any) -> Operation | None:
    if module.running_mean is None or module.running_var is None:
        return None
    return Norm(
        x, module.running_mean, module.running_var, module.weight, module.bias,
        module.eps, module.training,
    )  # fmt: skip


def _of_upsample(module: Any, x: Any) -> Operation | None:
    if module.size is not None or module.recompute_scale_factor:
        return None
    return _up(x, module.scale_factor, module.mode, module.align_corners)


def _of_pool(module: Any, x: Any) -> Operation | None:
    if module.return_indices or module.ceil_mode:
        return None
    return _pool(x, module.kernel_size, module.stride, module.padding, module.dilation)


_Reader = Callable[[Any, Any], Operation | None]
_MODULES: dict[type, _Reader] = {
    **dict.fromkeys((nn.Conv1d, nn.Conv2d, nn.Conv3d), _of_conv),
    nn.ConvTranspose1d: _of_conv,
    nn.ConvTranspose2d: _of_conv,
    nn.ConvTranspose3d: _of_conv,
    **dict.fromkeys((nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d), _of_norm),
    nn.ReLU: lambda module, x: Act(x, 0.0),
    nn.LeakyReLU: lambda module, x: Act(x, module.negative_slope),
    nn.Upsample: _of_upsample,
    nn.UpsamplingNearest2d: _of_upsample,
    nn.UpsamplingBilinear2d: _of_upsample,
    **dict.fromkeys((nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d), _of_pool),
    nn.Identity: lambda module, x: Same(x),
    **dict.fromkeys(
        (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d),
        lambda module, x: None if module.training else Same(x),
    ),
}


def _several(value: Any, axes: int) -> tuple[int, ...]:
    several = (value,) * axes if isinstance(value, int) else tuple(value)
    return several * axes if len(several) == 1 else several


def _convolution(given: Arguments) -> Operation | None:
    weight = given["weight"]
    kernel, transposed = tuple(weight.shape[2:]), "output_padding" in given
    axes = len(kernel)
    dilation = _several(given.get("dilation", 1), axes)
    padding = _padding(given.get("padding", 0), kernel, dilation)
    if padding is None:
        return None
    return Convolution(
        given["input"], weight, given.get("bias"),
        _several(given.get("stride", 1), axes), padding, dilation,
        given.get("groups", 1), transposed,
        _several(given["output_padding"], axes) if transposed else (),
    )  # fmt: skip


def _padding(
    padding: Any, kernel: tuple[int, ...], dilation: tuple[int, ...]
) -> tuple[int, ...] | None:
    """On both sides of each axis; None where "same" is not the same on both."""
    if not isinstance(padding, str):
        return _several(padding, len(kernel))
    if padding == "valid":
        return (0,) * len(kernel)
    both = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
    return tuple(p // 2 for p in both) if all(p % 2 == 0 for p in both) else None


def _transposed(given: Arguments) -> Operation | None:
    return _convolution({"output_padding": 0} | dict(given))


def _norm(given: Arguments) -> Operation | None:
    mean, var = given.get("running_mean"), given.get("running_var")
    if mean is None or var is None:
        return None
    return Norm(
        given["input"], mean, var, given.get("weight"), given.get("bias"),
        given.get("eps", 1e-5), given.get("training", False),
    )  # fmt: skip


def _first(given: Arguments) -> Operation | None:
    """What an operator with several results does, whose first one is taken."""
    several, place = given["several"], given["place"]
    first = isinstance(place, int) and place == 0  # it may be a tensor
    names = _FIRST_OF.get(several.target) if first else None
    traced = several.graph.owning_module
    if names is None or traced is None:
        return None
    inside = _given(traced, several, names)
    return None if inside is None else _norm(inside)


def _cat(given: Arguments) -> Operation | None:
    parts = given["tensors"]
    if given.get("dim", 0) != 1 or not isinstance(parts, Sequence):
        return None
    return Concatenation(tuple(parts))


def _interpolate(given: Arguments) -> Operation | None:
    names = ("size", "recompute_scale_factor", "antialias")
    if any(given.get(name) for name in names):
        return None
    return _up(
        given["input"], given.get("scale_factor"), given.get("mode", "nearest"),
        given.get("align_corners"),
    )  # fmt: skip


def _upsample(mode: str) -> Callable[[Arguments], Operation | None]:
    return lambda given: _interpolate({"mode": mode} | dict(given))


def _up(x: Any, scale: Any, mode: str, aligned: Any) -> Operation | None:
    scales = scale if isinstance(scale, Sequence) else [scale]
    names: dict[tuple[str, bool], UpMode] = {
        ("nearest", False): "nearest",
        ("bilinear", False): "bilinear",
        ("bilinear", True): "bilinear-aligned",
    }
    name = names.get((mode, bool(aligned)))
    twice = all(one == 2 for one in scales)
    return Up(x, name) if name is not None and twice else None


def _max_pool(given: Arguments) -> Operation | None:
    if given.get("ceil_mode") or given.get("return_indices"):
        return None
    return _pool(
        given["input"], given["kernel_size"],
        given.get("stride") or given["kernel_size"],
        given.get("padding", 0), given.get("dilation", 1),
    )  # fmt: skip


def _pool(
    x: Any, kernel: Any, stride: Any, padding: Any, dilation: Any
) -> Operation | None:
    wanted = ((kernel, 2), (stride, 2), (padding, 0), (dilation, 1))
    fits = all(set(_several(value, 1)) == {wish} for value, wish in wanted)
    return Pool(x) if fits else None


def _dropout(given: Arguments) -> Operation | None:
    return None if given.get("training", True) else Same(given["input"])


def _pad(given: Arguments) -> Operation | None:
    nothing = all(side == 0 for side in given["pad"])
    return Same(given["input"], copied=True) if nothing else None


_CONV = ("input", "weight", "bias", "stride", "padding", "dilation", "groups")
_CONV_TRANSPOSE = (*_CONV[:5], "output_padding", "groups", "dilation")
_POOL = (
    "input", "kernel_size", "stride", "padding", "dilation", "ceil_mode",
    "return_indices",
)  # fmt: skip
_INTERPOLATE = (
    "input", "size", "scale_factor", "mode", "align_corners", "recompute_scale_factor",
    "antialias",
)  # fmt: skip
_BATCH_NORM = (
    "input", "running_mean", "running_var", "weight", "bias", "training", "momentum",
    "eps",
)  # fmt: skip

_Known = tuple[tuple[str, ...], Callable[[Arguments], Operation | None]]
_FUNCTIONS: dict[Any, _Known] = {
    **dict.fromkeys(
        (F.conv1d, F.conv2d, F.conv3d, aten.conv1d.default, aten.conv2d.default,
         aten.conv3d.default, aten.conv1d.padding, aten.conv2d.padding,
         aten.conv3d.padding),
        (_CONV, _convolution),
    ),
    **dict.fromkeys(
        (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d,
         aten.conv_transpose1d.default, aten.conv_transpose2d.input,
         aten.conv_transpose3d.input),
        (_CONV_TRANSPOSE, _transposed),
    ),
    F.batch_norm: (_BATCH_NORM, _norm),
    operator.getitem: (("several", "place"), _first),
    **dict.fromkeys(
        (F.relu, F.relu_, torch.relu, torch.relu_, torch.Tensor.relu,
         torch.Tensor.relu_, aten.relu.default),
        (("input", "inplace"), lambda given: Act(given["input"], 0.0)),
    ),
    **dict.fromkeys(
        (F.leaky_relu, F.leaky_relu_, aten.leaky_relu.default),
        (
            ("input", "negative_slope", "inplace"),
            lambda given: Act(given["input"], given.get("negative_slope", 0.01)),
        ),
    ),
    **dict.fromkeys(
        (torch.cat, torch.concat, torch.concatenate, aten.cat.default,
         aten.concat.default, aten.concatenate.default),
        (("tensors", "dim"), _cat),
    ),
    F.interpolate: (_INTERPOLATE, _interpolate),
    **dict.fromkeys(
        (aten.upsample_nearest1d.vec, aten.upsample_nearest2d.vec,
         aten.upsample_nearest3d.vec),
        (("input", "size", "scale_factor"), _upsample("nearest")),
    ),
    aten.upsample_bilinear2d.vec: (
        ("input", "size", "align_corners", "scale_factor"), _upsample("bilinear"),
    ),
    **dict.fromkeys(
        (F.max_pool1d, F.max_pool2d, F.max_pool3d, torch.max_pool1d, torch.max_pool2d,
         torch.max_pool3d, aten.max_pool1d.default, aten.max_pool2d.default,
         aten.max_pool3d.default),
        (_POOL, _max_pool),
    ),
    **dict.fromkeys(
        (F.dropout, F.dropout1d, F.dropout2d, F.dropout3d),
        (("input", "p", "training", "inplace"), _dropout),
    ),
    **dict.fromkeys(
        (F.pad, aten.pad.default), (("input", "pad", "mode", "value"), _pad)
    ),
}  # fmt: skip
_FIRST_OF: dict[Any, tuple[str, ...]] = {
    aten._native_batch_norm_legit_no_training.default: (
        "input", "weight", "bias", "running_mean", "running_var", "momentum", "eps",
    ),
}  # fmt: skip
