"""Read the nodes of a trace: modules, functions, methods and ATen operators alike."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn
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
    named = {_RENAMED.get(name, name): x for name, x in node.kwargs.items()}
    given = dict(zip(names, node.args, strict=False)) | named
    tensors = {name: _tensor(traced, x) for name, x in given.items()}
    return reader({name: tensors[name] for name in given if name in names})


_CALLS = ("call_function", "call_method")
_RENAMED = {
    "input": "x",
    "tensors": "parts",
    "negative_slope": "slope",
    "kernel_size": "kernel",
    "scale_factor": "scale",
    "align_corners": "aligned",
    "running_mean": "mean",
    "running_var": "var",
    "pad": "sides",
}
"""torch's names of arguments."""


def _tensor(traced: fx.GraphModule, value: Any) -> Any:
    """The tensor that a node stands for, where it is one of the network's own."""
    if isinstance(value, fx.Node) and value.op == "get_attr":
        return value_at(traced, str(value.target))
    return value


def _read_module(module: nn.Module, node: fx.Node) -> Operation | None:
    hooks = (module._forward_hooks, module._forward_pre_hooks)
    reader = _MODULES.get(type(module))
    if any(hooks) or reader is None or len(node.args) != 1 or node.kwargs:
        return None
    return reader(module, node.args[0])


def _of_conv(module: Any, x: Any) -> Operation | None:
    transposed = isinstance(module, nn.modules.conv._ConvTransposeNd)
    if isinstance(module.padding, str) or module.padding_mode != "zeros":
        return None
    return Convolution(
        x, module.weight, module.bias, module.stride, module.padding, module.dilation,
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
    return _up(x, module.size, module.scale_factor, module.mode, module.align_corners)


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
    weight, bias = given["weight"], given.get("bias")
    own = isinstance(weight, Tensor) and isinstance(bias, (Tensor, type(None)))
    if not own or isinstance(given.get("padding"), str):
        return None
    axes = weight.ndim - 2
    transposed = "output_padding" in given
    by_axis = {
        name: _several(given.get(name, default), axes)
        for name, default in (("stride", 1), ("padding", 0), ("dilation", 1))
    }
    return Convolution(
        given["x"], weight, bias, **by_axis, groups=given.get("groups", 1),
        transposed=transposed,
        output_padding=_several(given["output_padding"], axes) if transposed else (),
    )  # fmt: skip


def _transposed(given: Arguments) -> Operation | None:
    return _convolution({"output_padding": 0} | dict(given))


def _norm(given: Arguments) -> Operation | None:
    mean, var = given.get("mean"), given.get("var")
    if not isinstance(mean, Tensor) or not isinstance(var, Tensor):
        return None
    return Norm(
        given["x"], mean, var, given.get("weight"), given.get("bias"),
        given.get("eps", 1e-5), given.get("training", False),
    )  # fmt: skip


def _first(given: Arguments) -> Operation | None:
    """What an operator with several results does, whose first one is taken."""
    several, place = given["x"], given["place"]
    if not isinstance(several, fx.Node) or place != 0:
        return None
    known: Any = several.target
    names = _FIRST_OF.get(known)
    if names is None:
        return None
    bound = dict(zip(names, several.args, strict=False)) | several.kwargs
    traced = several.graph.owning_module
    assert traced is not None
    return _norm({name: _tensor(traced, x) for name, x in bound.items()})


def _cat(given: Arguments) -> Operation | None:
    parts = given["parts"]
    if given.get("dim", 0) != 1 or not isinstance(parts, Sequence):
        return None
    return Concatenation(tuple(parts))


def _interpolate(given: Arguments) -> Operation | None:
    mode = given.get("mode", "nearest")
    return _up(
        given["x"], given.get("size"), given.get("scale"), mode, given.get("aligned")
    )


def _upsample(mode: str) -> Callable[[Arguments], Operation | None]:
    return lambda given: _interpolate({"mode": mode} | dict(given))


def _up(x: Any, size: Any, scale: Any, mode: str, aligned: Any) -> Operation | None:
    scales = scale if isinstance(scale, Sequence) else [scale]
    if size is not None or any(one != 2 for one in scales):
        return None
    names: dict[tuple[str, bool], UpMode] = {
        ("nearest", False): "nearest",
        ("bilinear", False): "bilinear",
        ("bilinear", True): "bilinear-aligned",
    }
    name = names.get((mode, bool(aligned)))
    return None if name is None else Up(x, name)


def _max_pool(given: Arguments) -> Operation | None:
    if given.get("ceil_mode") or given.get("return_indices"):
        return None
    return _pool(
        given["x"], given["kernel"], given.get("stride") or given["kernel"],
        given.get("padding", 0), given.get("dilation", 1),
    )  # fmt: skip


def _pool(
    x: Any, kernel: Any, stride: Any, padding: Any, dilation: Any
) -> Operation | None:
    wanted = ((kernel, 2), (stride, 2), (padding, 0), (dilation, 1))
    fits = all(set(_several(value, 1)) == {wish} for value, wish in wanted)
    return Pool(x) if fits else None


def _dropout(given: Arguments) -> Operation | None:
    return None if given.get("training", True) else Same(given["x"])


def _pad(given: Arguments) -> Operation | None:
    sides = given["sides"]
    nothing = isinstance(sides, Sequence) and all(side == 0 for side in sides)
    return Same(given["x"]) if nothing else None


_CONV = ("x", "weight", "bias", "stride", "padding", "dilation", "groups")
_CONV_TRANSPOSE = (*_CONV[:5], "output_padding", "groups", "dilation")
_LEAKY = ("x", "slope", "inplace")
_POOL = ("x", "kernel", "stride", "padding", "dilation", "ceil_mode", "return_indices")
_UPSAMPLE = ("x", "size", "aligned", "scale")
_STATISTICS = ("mean", "var", "weight", "bias", "training", "momentum", "eps")

_Known = tuple[tuple[str, ...], Callable[[Arguments], Operation | None]]
_FUNCTIONS: dict[Any, _Known] = {
    **dict.fromkeys(
        (F.conv1d, F.conv2d, F.conv3d, aten.conv1d.default, aten.conv2d.default,
         aten.conv3d.default),
        (_CONV, _convolution),
    ),
    **dict.fromkeys(
        (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d,
         aten.conv_transpose1d.default, aten.conv_transpose2d.input,
         aten.conv_transpose3d.input),
        (_CONV_TRANSPOSE, _transposed),
    ),
    F.batch_norm: (("x", *_STATISTICS), _norm),
    operator.getitem: (("x", "place"), _first),
    **dict.fromkeys(
        (F.relu, F.relu_, torch.relu, torch.relu_, torch.Tensor.relu,
         torch.Tensor.relu_, aten.relu.default),
        (("x", "inplace"), lambda given: Act(given["x"], 0.0)),
    ),
    **dict.fromkeys(
        (F.leaky_relu, F.leaky_relu_, aten.leaky_relu.default),
        (_LEAKY, lambda given: Act(given["x"], given.get("slope", 0.01))),
    ),
    **dict.fromkeys(
        (torch.cat, torch.concat, torch.concatenate, aten.cat.default),
        (("parts", "dim"), _cat),
    ),
    F.interpolate: (("x", "size", "scale", "mode", "aligned"), _interpolate),
    aten.upsample_nearest2d.vec: (("x", "size", "scale"), _upsample("nearest")),
    aten.upsample_bilinear2d.vec: (_UPSAMPLE, _upsample("bilinear")),
    **dict.fromkeys(
        (F.max_pool1d, F.max_pool2d, F.max_pool3d, torch.max_pool1d, torch.max_pool2d,
         torch.max_pool3d, aten.max_pool1d.default, aten.max_pool2d.default,
         aten.max_pool3d.default),
        (_POOL, _max_pool),
    ),
    F.dropout: (("x", "p", "training"), _dropout),
    **dict.fromkeys((F.pad, aten.pad.default), (("x", "sides"), _pad)),
}  # fmt: skip
_FIRST_OF: dict[Any, tuple[str, ...]] = {
    aten._native_batch_norm_legit_no_training.default: (
        "x", "weight", "bias", "mean", "var", "momentum", "eps",
    ),
}  # fmt: skip
