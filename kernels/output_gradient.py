"""The gradient of a convolution's result, as it is before anybody has formed it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class OutputGradient:
    """g + offset + slope * y, of which g and y [N, Co, H, W] are stored.

    Attributes:
        g: what the result receives by itself.
        y: the result, where its statistics have received something.
        through: [2, Co], offset and slope, beside `y`.
    """

    g: Tensor
    y: Tensor | None = None
    through: Tensor | None = None

    @classmethod
    def of(
        cls, g: Tensor, y: Tensor, mean: Tensor, g_mean: Tensor, g_var: Tensor
    ) -> OutputGradient:
        """By way of the mean and the biased variance of `y`, too.

        g + g_mean / M + 2 g_var (y - mean) / M, of M numbers in a channel.

        >>> y, one = torch.tensor([0.0, 2.0]).view(2, 1, 1, 1), torch.ones(1)
        >>> OutputGradient.of(y, y, one, 4 * one, one).formed().flatten().tolist()
        [1.0, 5.0]
        """
        numbers = y.numel() // y.shape[1]
        slope = 2 * g_var / numbers
        return cls(g, y, torch.stack([g_mean / numbers - slope * mean, slope]))

    def formed(self) -> Tensor:
        """All of it, in the dtype of g."""
        if self.y is None or self.through is None:
            return self.g
        offset, slope = self.through[:, None, :, None, None]
        formed = torch.addcmul(offset, self.y.to(slope.dtype), slope)
        return formed.add_(self.g).to(self.g.dtype)
