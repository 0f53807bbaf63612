"""A hot path in a network, as a module that launches one kernel."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from nestgen.fusion.choice import Choice
from nestgen.kernels.call import Output
from nestgen.kernels.layout import channels_last
from nestgen.kernels.lowering import Lowered


class HotConv(nn.Module):
    """`nestgen::fused_conv` with weights of its own, made once.

    It takes the lower input first, where its form reads one, then the skips, and gives
    its `outputs` in a list (see `Call`).
    """

    def __init__(
        self,
        lowered: Lowered,
        slope: float,
        choice: Choice,
        outputs: tuple[Output, ...] = ("features",),
        head: tuple[Tensor | None, Tensor | None] = (None, None),
    ) -> None:
        super().__init__()
        for name, tensor in (
            ("weight", lowered.weight),
            ("bias", lowered.bias),
            ("low_weight", lowered.low_weight),
            ("head_weight", head[0]),
            ("head_bias", head[1]),
        ):
            kept = None if tensor is None else tensor.detach().clone()
            self.register_buffer(name, kept)
        self.up, self.slope, self.choice = lowered.up, slope, choice
        self.outputs = list(outputs)

    def forward(self, *images: Tensor) -> list[Tensor]:
        """Images [N, C, H, W] of the call's outputs, channels_last."""
        packed = [channels_last(image) for image in images]
        low = None if self.up == "none" else packed.pop(0)
        made: list[Tensor] = torch.ops.nestgen.fused_conv(
            packed,
            self.weight,
            self.bias,
            low,
            self.low_weight,
            self.up,
            self.slope,
            self.outputs,
            self.head_weight,
            self.head_bias,
            self.choice.impl,
            "" if self.choice.configuration is None else str(self.choice.configuration),
        )
        return made

    def extra_repr(self) -> str:
        """What it launches."""
        return f"{self.choice}, {' and '.join(self.outputs)}"
