"""x[n, c, y, x] at ((n H + y) W + x) C + c: the channels of a pixel side by side."""

from __future__ import annotations

import torch

from nestgen.fusion.work import Work

_OTHERS = ("onnxruntime", "openvino")
"""Runtimes that lay tensors out themselves."""


def lay_out(work: Work) -> None:
    """Weights of images in channels_last; torch lays images out as weights are."""
    if work.target not in _OTHERS:
        for tensor in (*work.traced.parameters(), *work.traced.buffers()):
            if tensor.ndim == 4:
                tensor.data = tensor.data.contiguous(memory_format=torch.channels_last)
