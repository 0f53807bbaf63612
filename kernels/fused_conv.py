"""The fused hot path by any of its implementations, and as one operator of torch.

The operator is for inference: no gradient flows through it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor

from .call import Call, Output, Up
from .call_check import check_call
from .call_reference import run_reference
from .configurations import Configuration
from .images import is_channels_last, new_outputs

DTYPES = (torch.float32, torch.float16, torch.bfloat16)
"""What Triton's kernels multiply; the reference takes every floating dtype."""


@dataclass(frozen=True)
class Implementation:
    """A way to run a call, and why it cannot, in words, or None where it can."""

    run: Callable[[Call, Configuration | None], list[Tensor]]
    why_not: Callable[[Call], str | None]


def fused_conv(
    call: Call, impl: str = "reference", configuration: Configuration | None = None
) -> list[Tensor]:
    """What `call` asks for, in the order of its outputs, as new channels_last images.

    `impl` is one of `IMPLEMENTATIONS`; nothing else runs in its place. `configuration`
    is how a kernel is cut into programs, by default as is shipped. `ValueError` says
    what does not fit in `call`, or why `impl` cannot run it.

    >>> one = torch.ones(1, 1, 2, 2)
    >>> fused_conv(Call([one], torch.ones(1, 1, 3, 3), slope=1.0))[0].tolist()
    [[[[4.0, 4.0], [4.0, 4.0]]]]
    """
    if impl not in IMPLEMENTATIONS:
        known = ", ".join(IMPLEMENTATIONS)
        raise ValueError(f"impl={impl!r} is not allowed, {known}")
    check_call(call)
    implementation = IMPLEMENTATIONS[impl]
    reason = implementation.why_not(call)
    if reason is not None:
        raise ValueError(f"impl={impl!r} cannot run this: {reason}")
    return implementation.run(call, configuration)


def _run_reference(call: Call, configuration: Configuration | None) -> list[Tensor]:
    outputs = new_outputs(call)
    for image, made in zip(outputs.values(), run_reference(call), strict=True):
        image.copy_(made)
    return list(outputs.values())


def _of_triton(name: str) -> Implementation:
    """The kernel of a file here with `run` and `why_not`, loaded when first needed."""

    def run(call: Call, configuration: Configuration | None) -> list[Tensor]:
        made: list[Tensor] = _file(name).run(call, configuration)
        return made

    def why_not(call: Call) -> str | None:
        reason: str | None = why_no_triton(call) or _file(name).why_not(call)
        return reason

    return Implementation(run, why_not)


def _file(name: str) -> Any:
    return import_module(f".{name}", __package__)


IMPLEMENTATIONS = {
    "reference": Implementation(_run_reference, lambda call: None),
    "gather": _of_triton("gather"),
}
"""By name."""


def why_no_triton(call: Call) -> str | None:
    """Why no kernel of Triton can run `call`, or None where one may.

    >>> image = torch.zeros(1, 1, 2, 2, dtype=torch.float64)
    >>> why_no_triton(Call([image], torch.zeros(1, 1, 3, 3)))
    'torch.float64, only torch.float32, torch.float16, torch.bfloat16'
    """
    like = call.images[0]
    if like.dtype not in DTYPES:
        return f"{like.dtype}, only {', '.join(map(str, DTYPES))}"
    for image in call.images:
        if not is_channels_last(image):
            return f"an image of strides {image.stride()}, not channels_last"
    if find_spec("triton") is None:
        return "triton is not installed"
    return _why_not_on(like.device)


def _why_not_on(device: torch.device) -> str | None:
    if device.type != "cuda":
        interpreted = _file("tiles").INTERPRETED.value
        return None if interpreted else f"device {device}, only cuda (or ROCm)"
    if torch.version.hip is None and torch.cuda.get_device_capability(device) < (8, 0):
        return "no tensor-core code for this GPU, sm_80 at least"
    return None


@torch.library.custom_op(
    "nestgen::fused_conv",
    mutates_args=(),
    schema="(Tensor[] skips, Tensor weight, Tensor? bias, Tensor? low, "
    "Tensor? low_weight, str up, float slope, str[] outputs, Tensor? head_weight, "
    "Tensor? head_bias, str impl) -> Tensor[]",
)
def fused_conv_operator(
    skips: Sequence[Tensor],
    weight: Tensor,
    bias: Tensor | None,
    low: Tensor | None,
    low_weight: Tensor | None,
    up: Up,
    slope: float,
    outputs: Sequence[Output],
    head_weight: Tensor | None,
    head_bias: Tensor | None,
    impl: str,
) -> list[Tensor]:
    """`fused_conv` as the operator `nestgen::fused_conv`, one node for torch's tools."""
    head = head_weight, head_bias
    call = Call(skips, weight, bias, low, low_weight, up, slope, outputs, *head)
    return fused_conv(call, impl)


@fused_conv_operator.register_fake
def _(*arguments: Any) -> list[Tensor]:
    *of_call, _impl = arguments
    return list(new_outputs(Call(*of_call)).values())
