"""What a measured choice is for: a device, a dtype, and the sizes of a hot path."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal, NamedTuple

import torch
from pydantic import ConfigDict, Field

from nestgen.fusion.launch import outputs_of, readers
from nestgen.fusion.match import HotPath
from nestgen.fusion.work import Work
from nestgen.kernels.call import Output
from nestgen.machine import describe_machine

Count = Annotated[int, Field(ge=0, le=2**40)]


@dataclass(frozen=True)
class Signature:
    """What the time of a hot path follows from.

    Attributes:
        up: how its lower input is up-sampled, or "none".
        pixels: of all images of the result, to the next power of 2.
        skips: channels of each.
        low: channels of the lower input; 0 where there is none.
        raised: channels of it once it is up-sampled.
        channels: of the result.
        outputs: what is made of the result (see `Call`).
    """

    __pydantic_config__ = ConfigDict(extra="forbid", strict=True)

    up: Literal["none", "transpose", "nearest", "bilinear", "bilinear-aligned"]
    pixels: Count
    skips: tuple[Count, ...]
    low: Count
    raised: Count
    channels: Count
    outputs: tuple[Output, ...]


class Key(NamedTuple):
    """A signature, and on which device in which dtype."""

    device: str
    dtype: str
    signature: Signature


def key_of(work: Work, path: HotPath) -> Key:
    """What tells a hot path of a network from others in a table of choices."""
    weight = path.convolution.weight
    batch, channels, *sides = work.shape(path.node)
    low = 0 if path.low is None else work.shape(path.low)[1]
    up: Any = path.up
    signature = Signature(
        up=up,
        pixels=bucket(batch * torch.Size(sides).numel()),
        skips=tuple(work.shape(skip)[1] for skip in path.skips),
        low=low,
        raised=0 if path.of_up is None else path.of_up.shape[1],
        channels=channels,
        outputs=outputs_of(path, readers(work, path)),
    )
    return Key(device_name(weight.device), dtype_name(weight), signature)


def bucket(pixels: int) -> int:
    """The power of 2 that is next to a number of pixels, by their ratio.

    >>> [bucket(pixels) for pixels in (0, 90, 91, 96 * 96)]
    [1, 64, 128, 8192]
    """
    lower: int = 1 << max(pixels.bit_length() - 1, 0)
    return lower if pixels**2 < 2 * lower**2 else 2 * lower


def device_name(device: torch.device) -> str:
    """As the maker calls it."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return str(describe_machine([])["processor"])


def dtype_name(weight: torch.Tensor) -> str:
    """ "tf32" where a GPU's convolutions round the factors of float32.

    >>> dtype_name(torch.zeros(1, dtype=torch.bfloat16))
    'bfloat16'
    """
    known: Any = torch.backends
    rounds = weight.is_cuda and known.cudnn.conv.fp32_precision == "tf32"
    if weight.dtype == torch.float32 and rounds:
        return "tf32"
    return str(weight.dtype).removeprefix("torch.")
