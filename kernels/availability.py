"""Whether Triton's kernels can run here, and on what."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec

import torch
from torch import Tensor

from nestgen.kernels.images import is_channels_last

DTYPES = (torch.float32, torch.float16, torch.bfloat16)


def why_no_triton(images: Sequence[Tensor]) -> str | None:
    """Why no kernel of Triton can read `images`, or None where one may.

    >>> why_no_triton([torch.zeros(1, 1, 2, 2, dtype=torch.float64)])
    'torch.float64, only torch.float32, torch.float16, torch.bfloat16'
    """
    for image in images:
        if image.dtype not in DTYPES:
            return f"{image.dtype}, only {', '.join(map(str, DTYPES))}"
        if not is_channels_last(image):
            return f"an image of strides {image.stride()}, which is not channels_last"
    if find_spec("triton") is None:
        return "triton is not installed"
    return _why_not_on(images[0].device)


def _why_not_on(device: torch.device) -> str | None:
    if device.type != "cuda":
        from nestgen.kernels.tiles import INTERPRETED

        return None if INTERPRETED.value else f"device {device}, only cuda (or ROCm)"
    if torch.version.hip is None and torch.cuda.get_device_capability(device) < (8, 0):
        return "no tensor-core code for this GPU, sm_80 at least"
    return None
