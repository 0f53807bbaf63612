"""One launch of a kernel as a value: run it, or compile it for what is not there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from nestgen.kernels.call import Call, Output
from nestgen.kernels.configurations import Configuration
from nestgen.kernels.packing import pack_phases, pack_weight

WIDEST_HEAD = 128
"""The channels of a pixel that one program can hold, to multiply them by a head."""


@dataclass(frozen=True)
class Launch:
    """A kernel with all that it is given.

    Attributes:
        kernel: a function under `triton.jit`.
        programs: how many, along one axis, of which there may be 2^31 - 1.
        arguments: by name, constants too. Where the launch is only compiled, tensors
            may be on the meta device.
        configuration: tells how the kernel is compiled.
    """

    kernel: Any
    programs: int
    arguments: Mapping[str, Any]
    configuration: Configuration

    def run(self) -> None:
        """Launch on the device of the tensors."""
        if self.programs > 0:
            tensors = (x for x in self.arguments.values() if isinstance(x, Tensor))
            with torch.cuda.device_of(next(tensors)):  # type: ignore[no-untyped-call]
                self.kernel[(self.programs,)](**self.arguments, **self._options)

    def compile(self) -> Any:
        """What would be launched, compiled for Triton's active driver."""
        grid = (self.programs,)
        return self.kernel.warmup(grid=grid, **self.arguments, **self._options)

    @property
    def _options(self) -> dict[str, Any]:
        return {
            "num_warps": self.configuration.warps,
            "num_stages": self.configuration.stages,
            "enable_fp_fusion": True,  # is the default in some versions of Triton
        }


def why_no_head(call: Call) -> str | None:
    """Why no head can read the result, all channels of which a program has to hold."""
    channels = call.weight.shape[0]
    if "logits" in call.outputs and channels > WIDEST_HEAD:
        return f"logits of {channels} channels, {WIDEST_HEAD} at most"
    return None


def call_arguments(
    call: Call, outputs: Mapping[Output, Tensor], configuration: Configuration
) -> dict[str, Any]:
    """What all kernels are given of a call, but for sizes and the blocks of pixels."""
    if "logits" in outputs and configuration.block_co < call.weight.shape[0]:
        least = f"at least the {call.weight.shape[0]} channels of the logits"
        raise ValueError(f"block_co={configuration.block_co} is not allowed, {least}")
    low_weight, head_weight = call.low_weight, call.head_weight
    pack_low = pack_phases if call.up == "phases" else pack_weight
    return {
        "skips": tuple(call.skips),
        "weight": pack_weight(call.weight),
        "low": call.low,
        "low_weight": None if low_weight is None else pack_low(low_weight),
        "bias": None if call.bias is None else call.bias.contiguous(),
        "head_weight": None if head_weight is None else head_weight.contiguous(),
        "head_bias": None if call.head_bias is None else call.head_bias.contiguous(),
        "features": outputs.get("features"),
        "pooled": outputs.get("pooled"),
        "logits": outputs.get("logits"),
        "WIDTHS": tuple(skip.shape[1] for skip in call.skips),
        "COLUMNS": call.weight.shape[1],
        "LOW": 0 if call.low is None else call.low.shape[1],
        "CO": call.weight.shape[0],
        "CLASSES": 0 if head_weight is None else head_weight.shape[0],
        "BORDERS": call.bias is not None and call.bias.ndim == 3,
        "SLOPE": call.slope,
        "BLOCK_CO": configuration.block_co,
        "BLOCK_CI": configuration.block_ci,
        "CACHE": configuration.cache,
    }


def require_even(configuration: Configuration) -> None:
    """Raises `ValueError` unless blocks are of whole windows of 2x2 pixels."""
    for name in ("block_h", "block_w"):
        side = getattr(configuration, name)
        if side % 2:
            raise ValueError(f"{name}={side} is not allowed, an even number")
