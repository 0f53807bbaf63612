"""Pixels into a file."""

from __future__ import annotations

import io
import os
from typing import Any

from numpy.typing import NDArray
from PIL import Image

from nestgen.files import write_whole


def write_png(path: str | os.PathLike[str], pixels: NDArray[Any]) -> None:
    """Write uint8 or uint16 `[H, W]`, or uint8 `[H, W, 3]`, whole or not at all.

    >>> import tempfile
    >>> import numpy as np
    >>> from nestgen.imaging.read import read_pixels
    >>> path = tempfile.mkdtemp() + "/a.png"
    >>> write_png(path, np.zeros((2, 3), np.uint8))
    >>> read_pixels(path).shape
    (1, 2, 3)
    """
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    write_whole(path, buffer.getvalue())
