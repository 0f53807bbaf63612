"""The images of a call, as the kernels read and write them: channels_last."""

from __future__ import annotations

import torch
from torch import Tensor

from nestgen.kernels.call import Call, Output
from nestgen.kernels.layout import empty_channels_last


def is_channels_last(image: Tensor) -> bool:
    """Whether the channels of a pixel, then the pixels, lie next to one another.

    >>> is_channels_last(torch.zeros(1, 2, 3, 3))
    False
    """
    return image.is_contiguous(memory_format=torch.channels_last)


def output_sizes(call: Call) -> dict[Output, tuple[int, int, int]]:
    """Channels, height and width of what `call` asks for, in that order.

    >>> one = torch.ones(1, 1, 5, 4)
    >>> output_sizes(Call([one], torch.ones(8, 1, 3, 3), outputs=["pooled"]))
    {'pooled': (8, 2, 2)}
    """
    height, width = call.size
    channels = call.weight.shape[0]
    classes = 0 if call.head_weight is None else call.head_weight.shape[0]
    sizes: dict[Output, tuple[int, int, int]] = {
        "features": (channels, height, width),
        "pooled": (channels, height // 2, width // 2),
        "logits": (classes, height, width),
    }
    return {name: sizes[name] for name in call.outputs}


def new_outputs(call: Call) -> dict[Output, Tensor]:
    """Images to be written, for what `call` asks for, in that order."""
    like = call.images[0]
    return {
        name: empty_channels_last(like, like.shape[0], *size)
        for name, size in output_sizes(call).items()
    }
