"""What a call has to fulfil, before anything reads memory by it."""

from __future__ import annotations

from torch import Tensor

from nestgen.kernels.call import OUTPUTS, UPS, Call


def check_call(call: Call) -> None:
    """Raises `ValueError`, in one line, where words, shapes, dtypes or devices misfit.

    >>> import torch
    >>> check_call(Call([torch.zeros(1, 2, 4, 4)], torch.zeros(8, 3, 3, 3)))
    Traceback (most recent call last):
    ValueError: weight: [8, 3, 3, 3] is not allowed, [8, 2, 3, 3]
    """
    _check_words(call)
    tensors = _tensors(call)
    _check_presence(call, tensors)
    allowed = _allowed_shapes(call)
    first = call.images[0]
    for name, tensor in tensors.items():
        if list(tensor.shape) not in allowed[name]:
            shapes = " or ".join(map(str, allowed[name]))
            raise ValueError(f"{name}: {list(tensor.shape)} is not allowed, {shapes}")
        if (tensor.dtype, tensor.device) != (first.dtype, first.device):
            raise ValueError(
                f"{name}: {tensor.dtype} on {tensor.device} is not allowed, "
                f"{first.dtype} on {first.device} as the images"
            )
    _check_size(call)


def _check_words(call: Call) -> None:
    if call.up not in UPS:
        raise ValueError(f"up={call.up!r} is not allowed, {', '.join(UPS)}")
    named = list(call.outputs)
    if not named or len(set(named)) < len(named) or not set(named) <= set(OUTPUTS):
        allowed = f"some of {', '.join(OUTPUTS)}, each once"
        raise ValueError(f"outputs={named} is not allowed, {allowed}")


def _tensors(call: Call) -> dict[str, Tensor]:
    """All tensors that there are, and what they are called."""
    skips = {f"skips[{index}]": skip for index, skip in enumerate(call.skips)}
    others = ("weight", "low", "low_weight", "bias", "head_weight", "head_bias")
    named = {name: getattr(call, name) for name in others}
    return skips | {name: each for name, each in named.items() if each is not None}


def _check_presence(call: Call, tensors: dict[str, Tensor]) -> None:
    for name in ("low", "low_weight"):
        if (name in tensors) != (call.up != "none"):
            rule = "None where up is 'none', a tensor elsewhere"
            raise ValueError(f"{name} with up={call.up!r} is not allowed, {rule}")
    if not call.images:
        raise ValueError("skips=[] is not allowed, at least one where up is 'none'")
    if call.head_weight is None and (
        "logits" in call.outputs or "head_bias" in tensors
    ):
        rule = "a tensor for 'logits' or a head_bias"
        raise ValueError(f"head_weight=None is not allowed, {rule}")
    for name, tensor in tensors.items():
        if name.startswith(("skips", "low", "weight", "head_w")) and tensor.ndim != 4:
            raise ValueError(f"{name}: {list(tensor.shape)} is not allowed, 4 axes")


def _allowed_shapes(call: Call) -> dict[str, list[list[int]]]:
    batch, outputs = call.images[0].shape[0], call.weight.shape[0]
    height, width = call.size
    columns = sum(skip.shape[1] for skip in call.skips)
    shapes = {
        f"skips[{index}]": [[batch, skip.shape[1], height, width]]
        for index, skip in enumerate(call.skips)
    }
    shapes["weight"] = [[outputs, columns, 3, 3]]
    shapes["bias"] = [[outputs], [3, 3, outputs]]
    if call.low is not None:
        inputs = call.low.shape[1]
        shapes["low"] = [[batch, inputs, (height + 1) // 2, (width + 1) // 2]]
        weights = {
            "nearest": [outputs, inputs, 3, 3],
            "phases": [inputs, outputs, 4, 4],
        }
        shapes["low_weight"] = [weights[call.up]]
    if call.head_weight is not None:
        classes = call.head_weight.shape[0]
        shapes["head_weight"] = [[classes, outputs, 1, 1]]
        shapes["head_bias"] = [[classes]]
    return shapes


def _check_size(call: Call) -> None:
    height, width = call.size
    if call.up == "phases" and (height % 2 or width % 2):
        raise ValueError(f"skips: {height} x {width} is not allowed, even for 'phases'")
    if "pooled" in call.outputs and min(height, width) < 2:
        raise ValueError(
            f"skips: {height} x {width} is not allowed, 2 x 2 to be pooled"
        )
