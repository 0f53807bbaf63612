"""One launch of the fused hot path: what it reads, and what it is asked to give."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

Up = Literal["none", "nearest", "phases"]
UPS: tuple[Up, ...] = ("none", "nearest", "phases")
Output = Literal["features", "pooled", "logits"]
OUTPUTS: tuple[Output, ...] = ("features", "pooled", "logits")


@dataclass(frozen=True)
class Call:
    """y = act(conv3x3(cat(skips)) + raised(low) + bias), and what is made of y.

    Everything that does not depend on an image is computed before: norms are folded,
    weights composed (see `phases`). All tensors are of one floating dtype and on one
    device, images are channels_last, and sums are kept in float32 at least.

    Attributes:
        skips: [N, Ci, H, W] each, as many as there are, of any widths.
        weight: [Co, sum of Ci, 3, 3], the columns in the order of `skips`.
        low: [N, Cl, h, w], of half the resolution; None where `up` is "none".
        up: what `raised` is. "nearest": conv3x3 of the pixels of `low` doubled, H 2h or
            2h - 1. "phases": a transposed 4x4 convolution, stride 2, padding 1, H 2h.
        low_weight: [Co, Cl, 3, 3] for "nearest", [Cl, Co, 4, 4] for "phases".
        bias: [Co]; or [3, 3, Co], for the first, the inner and the last rows, by the
            first, the inner and the last columns; or None.
        slope: of act where its input is negative: 0 is ReLU, 1 no activation.
        outputs: what is returned, in this order: "features" is y [N, Co, H, W],
            "pooled" its 2x2 maxima [N, Co, H // 2, W // 2], "logits" its 1x1
            convolution by `head_weight` [K, Co, 1, 1] and `head_bias` [K], if any.
    """

    skips: Sequence[Tensor]
    weight: Tensor
    bias: Tensor | None = None
    low: Tensor | None = None
    low_weight: Tensor | None = None
    up: Up = "none"
    slope: float = 0.0
    outputs: Sequence[Output] = ("features",)
    head_weight: Tensor | None = None
    head_bias: Tensor | None = None

    @property
    def images(self) -> list[Tensor]:
        """The skips, then `low` where there is one: each is [N, C, *, *]."""
        return [*self.skips, *([] if self.low is None else [self.low])]

    @property
    def size(self) -> tuple[int, int]:
        """H and W of the result."""
        if self.skips:
            return self.skips[0].shape[2], self.skips[0].shape[3]
        assert self.low is not None
        return 2 * self.low.shape[2], 2 * self.low.shape[3]
