"""The fused hot path by any of its implementations, and as one operator of torch.

The operator is for inference: no gradient flows through it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from importlib import import_module
from typing import Any

import torch
from torch import Tensor

from nestgen.kernels.autocast import no_autocast
from nestgen.kernels.availability import why_no_triton
from nestgen.kernels.call import Call, Output, Up
from nestgen.kernels.call_check import check_call
from nestgen.kernels.call_reference import run_reference
from nestgen.kernels.configurations import KERNELS, Configuration, configuration_of
from nestgen.kernels.images import new_outputs
from nestgen.kernels.layout import channels_last


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
    with no_autocast(call.weight):
        return [channels_last(image) for image in run_reference(call)]


def _of_triton(name: str) -> Implementation:
    """The kernel of a file here with `launch` and `why_not`, loaded when first needed.

    Where no configuration is given, it is the first that is shipped.
    """

    def run(call: Call, configuration: Configuration | None) -> list[Tensor]:
        outputs = new_outputs(call)
        one = configuration or _first(name, call)
        _file(name).launch(call, outputs, one).run()
        return list(outputs.values())

    def why_not(call: Call) -> str | None:
        reason: str | None = why_no_triton(call.images) or _file(name).why_not(call)
        return reason

    return Implementation(run, why_not)


def _first(name: str, call: Call) -> Configuration:
    for one in KERNELS[name](call):
        return one
    raise ValueError(f"impl={name!r} cannot run this: nothing shipped fits its GPU")


def _file(name: str) -> Any:
    return import_module(f"nestgen.kernels.{name}")


IMPLEMENTATIONS = {
    "reference": Implementation(_run_reference, lambda call: None),
    **{name: _of_triton(name) for name in KERNELS},
}
"""By name."""


@torch.library.custom_op(
    "nestgen::fused_conv",
    mutates_args=(),
    schema="(Tensor[] skips, Tensor weight, Tensor? bias, Tensor? low, "
    "Tensor? low_weight, str up, float slope, str[] outputs, Tensor? head_weight, "
    "Tensor? head_bias, str impl, str configuration='') -> Tensor[]",
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
    configuration: str = "",
) -> list[Tensor]:
    """`fused_conv` as the operator `nestgen::fused_conv`: one node of a graph.

    `configuration` is the text of one; without it, it is as is shipped.
    """
    head = head_weight, head_bias
    call = Call(skips, weight, bias, low, low_weight, up, slope, outputs, *head)
    return fused_conv(
        call, impl, configuration_of(configuration) if configuration else None
    )


@fused_conv_operator.register_fake
def _(*arguments: Any) -> list[Tensor]:
    of_call = arguments[: len(fields(Call))]  # how it is run may follow
    return list(new_outputs(Call(*of_call)).values())
