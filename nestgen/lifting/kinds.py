"""What kinds of operations there are, by ATen's names."""

from __future__ import annotations

from nestgen.lifting.record import Operation

_MIXING = {"convolution", "addmm", "mm", "bmm", "linear"}

_MOVING = {
    *("view", "_unsafe_view", "_reshape_alias", "reshape", "unsqueeze", "squeeze"),
    *("permute", "transpose", "expand", "clone", "alias", "detach", "_to_copy"),
    *("pixel_shuffle", "constant_pad_nd", "slice", "index_select"),
    *(f"{kind}_pad{n}d" for kind in ("replication", "reflection") for n in (1, 2, 3)),
}

_SWITCHES = {"sigmoid", "softmax", "_softmax", "hardsigmoid", "tanh"}


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
