"""A picture as Pillow decodes it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile

_CHANNELS = {"1": 1, "L": 1, "I": 1, "F": 1, "LA": 2, "RGBA": 4}
_CONVERTED = {"1": "L", "P": "RGB", "PA": "RGB", "CMYK": "RGB", "YCbCr": "RGB"}


class RasterPicture:
    """See `nestgen.imaging.picture.Picture`."""

    def __init__(self, image: ImageFile.ImageFile) -> None:
        self._image = image
        self._grey_palette = image.mode == "P" and _is_grey(image)

    @property
    def size(self) -> tuple[int, int]:
        return self._image.height, self._image.width

    @property
    def channels(self) -> int:
        if self._grey_palette or self._image.mode.startswith("I;16"):
            return 1
        return _CHANNELS.get(self._image.mode, 3)

    @property
    def has_alpha(self) -> bool:
        return self._image.mode in ("LA", "RGBA")

    def pixels(self) -> NDArray[Any]:
        mode = _CONVERTED.get(self._image.mode)
        pixels = _planes(self._image.convert(mode) if mode else self._image)
        return pixels[:1] if self._grey_palette else pixels

    def indices(self) -> NDArray[Any]:
        if self._image.mode in ("1", "P"):
            return _planes(self._image)
        return self.pixels()


class Frames(Sequence[RasterPicture]):
    """The frames of one opened file; the one that was asked for last can be decoded."""

    def __init__(self, image: ImageFile.ImageFile, places: Sequence[int]) -> None:
        self._image, self._places = image, places

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, index: Any) -> Any:
        self._image.seek(self._places[index])
        return RasterPicture(self._image)


def _planes(image: Image.Image) -> NDArray[Any]:
    array = np.array(image)
    array = array[None] if array.ndim == 2 else array.transpose(2, 0, 1)
    native = np.uint8 if array.dtype == bool else array.dtype.newbyteorder("=")
    return np.ascontiguousarray(array, native)


def _is_grey(image: Image.Image) -> bool:
    """Whether all colours of the palette are grey, without decoding the image."""
    swatch = Image.new("P", (1, 1))
    swatch.putpalette(image.palette or b"")
    colours = np.array(swatch.getpalette(), np.uint8).reshape(-1, 3)
    return bool((colours == colours[:, :1]).all())
