"""Images with the channels of a pixel beside each other in memory."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def channels_last(x: Tensor) -> Tensor:
    """`x` [N, C, H, W] with the strides of channels_last, copied only where it must be.

    A side of 1 lets torch call other strides contiguous too; here they are always the
    same, as a traced program expects.

    >>> channels_last(torch.zeros(1, 1, 2, 3)).stride()
    (6, 1, 3, 1)
    """
    x = x.contiguous(memory_format=torch.channels_last)
    _, channels, height, width = x.shape
    strides = (channels * height * width, 1, width * channels, channels)
    return x if x.stride() == strides else x.as_strided(x.shape, strides)


def concatenated(images: Sequence[Tensor]) -> Tensor:
    """Images [N, C, H, W] as one, by channels; one alone is itself, and no copy.

    >>> one = torch.zeros(1, 1, 2, 2)
    >>> concatenated([one]) is one, concatenated([one, one]).shape
    (True, torch.Size([1, 2, 2, 2]))
    """
    return images[0] if len(images) == 1 else torch.cat(list(images), 1)


def empty_channels_last(like: Tensor, *shape: int) -> Tensor:
    """An image [N, C, H, W] without contents, of the dtype and device of `like`."""
    _, channels, height, width = shape
    strides = (channels * height * width, 1, width * channels, channels)
    return like.new_empty_strided(shape, strides)
