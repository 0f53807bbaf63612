"""How exactly a GPU multiplies."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch


@contextmanager
def without_tf32() -> Iterator[None]:
    """float32 is multiplied as such on a GPU, not with the ten bits of TF32.

    >>> with without_tf32():
    ...     torch.backends.cudnn.conv.fp32_precision
    'ieee'
    """
    # not allow_tf32, which cannot be read where someone has set these
    known: Any = torch.backends
    places = [known.cuda.matmul, known.cudnn.conv]
    before = [place.fp32_precision for place in places]
    try:
        for place in places:
            place.fp32_precision = "ieee"
        yield
    finally:
        for place, precision in zip(places, before, strict=True):
            place.fp32_precision = precision
