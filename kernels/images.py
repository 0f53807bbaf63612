"""Images as the kernels read and write them: channels_last, one after another."""

from __future__ import annotations

import torch
from torch import Tensor


def new_image(like: Tensor, channels: int, height: int, width: int) -> Tensor:
    """An image [N, channels, height, width] to be written, with batch, dtype of `like`.

    >>> new_image(torch.zeros(2, 1, 1, 1), 3, 4, 5).stride()
    (60, 1, 15, 3)
    """
    return torch.empty(
        (like.shape[0], channels, height, width),
        dtype=like.dtype,
        device=like.device,
        memory_format=torch.channels_last,
    )


def is_channels_last(image: Tensor) -> bool:
    """Whether the channels of a pixel, then the pixels, lie next to one another.

    >>> is_channels_last(torch.zeros(1, 2, 3, 3))
    False
    """
    return image.is_contiguous(memory_format=torch.channels_last)
