"""What kinds of operations there are, by ATen's names."""

from __future__ import annotations

import math

from nestgen.lifting.record import Operation

_MIXING = {"convolution", "addmm", "mm", "bmm", "linear"}

_MOVING = {
    *("view", "_unsafe_view", "_reshape_alias", "reshape", "unsqueeze", "squeeze"),
    *("permute", "transpose", "expand", "clone", "alias", "detach", "_to_copy"),
    *("pixel_shuffle", "constant_pad_nd", "slice", "index_select"),
    *(f"{kind}_pad{n}d" for kind in ("replication", "reflection") for n in (1, 2, 3)),
}

_SWITCHES = {"sigmoid", "softmax", "_softmax", "hardsigmoid", "tanh"}

_NORMS = ("batch_norm", "group_norm", "layer_norm")

_EVEN = {"cat", "add", "sub", "mul", "div", "mean"}

_BOUNDS: dict[str, tuple[float | None, float | None]] = {
    "relu": (0.0, None),
    "hardtanh": (-1.0, 1.0),
    "clamp": (None, None),
    "clamp_min": (None, None),
}
"""Between which values each keeps what it reads, where its arguments say nothing."""

_RESIZING = ("upsample", "max_pool", "avg_pool", "adaptive_avg", "_adaptive_avg")


def convolves(operation: Operation) -> bool:
    """Whether weights mix its channels."""
    return operation.name in _MIXING and bool(operation.reads)


def pointwise(operation: Operation) -> bool:
    """Whether a convolution reads no more than one pixel and keeps the size."""
    if operation.name != "convolution":
        return convolves(operation)
    stride, transposed = operation.values[3], operation.values[6]
    return not transposed and {*operation.weight[2:], *stride} == {1}


def moves(operation: Operation) -> bool:
    """Whether it puts values elsewhere and changes none but for those it leaves out."""
    return operation.name in _MOVING


def switches(operation: Operation) -> bool:
    """Whether it gives a gate its values, which say how much of something is let by."""
    return operation.name in _SWITCHES


def normalises(operation: Operation) -> bool:
    """Whether it is a norm, with weights or without."""
    return operation.name.endswith(_NORMS)


def even(operation: Operation) -> bool:
    """Whether it does the same to all values, so that some tell what it does.

    Others may do what no value that was tried shows, as a bound that none reaches.
    """
    known = moves(operation) or operation.name in _EVEN
    return known or operation.name.startswith(_RESIZING)


def bounds(operation: Operation) -> tuple[float, float] | None:
    """Between which values it keeps what it reads, where it does no more.

    >>> bounds(Operation("hardtanh", (0,), (None, 0.0, 6.0), (1, 1), ""))
    (0.0, 6.0)
    """
    usual = _BOUNDS.get(operation.name)
    if usual is None:
        return None
    given = operation.values[1:3]
    low, high = given + usual[len(given) :]
    return -math.inf if low is None else low, math.inf if high is None else high


def joins_channels(operation: Operation) -> bool:
    """Whether it concatenates."""
    return operation.name == "cat"


def stride(operation: Operation) -> tuple[int, ...] | None:
    """How many pixels it steps, for those that say so: not those that up-sample."""
    if operation.name == "convolution":
        transposed = operation.values[6]
        return None if transposed else tuple(operation.values[3])
    if operation.name.startswith(("max_pool", "avg_pool")):
        kernel, *given = operation.values[1:3]
        return tuple((given and given[0]) or kernel)
    if operation.name == "slice" and operation.values[4:] in ((), (1,)):
        return (1,)
    if operation.name == "index_select" or "_pad" in operation.name:
        return (1,)
    return None
