"""Images as a network is fed with them."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nestgen.errors import DataError
from nestgen.imaging.picture import open_picture
from nestgen.imaging.size import size_text

_LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601
_LARGEST = float(np.finfo(np.float32).max)


def read_image(
    path: str | os.PathLike[str], channels: int, dims: int = 2
) -> NDArray[np.float32]:
    """Read an image as a network of `channels` input channels and `dims` axes takes it.

    Returns float32 `[channels, H, W]`, of a volume `[channels, D, H, W]` with the slow
    axis first, standardised (see `standardise`). Alpha is dropped, unless the file
    with its alpha has just as many channels as asked for.
    Grey is repeated for three channels, and colour becomes grey by its luminance
    (ITU-R BT.601). The EXIF orientation is not applied: masks are drawn on the
    pixels as they are stored. Raises `DataError` for a file that cannot be read, for
    any other number of channels, and for a volume where an image is taken.

    >>> import tempfile
    >>> from PIL import Image
    >>> path = tempfile.mkdtemp() + "/grey.png"
    >>> Image.linear_gradient("L").save(path)
    >>> read_image(path, 3).shape
    (3, 256, 256)
    """
    with open_picture(path) as picture:
        _refuse_dims(picture.size, dims)
        pixels = _finite(picture.pixels())
        if picture.has_alpha and picture.channels != channels:
            pixels = pixels[:-1]
        return standardise(_with_channels(pixels, channels))


def read_pixels(path: str | os.PathLike[str]) -> NDArray[Any]:
    """Read an image as it is: `[C, H, W]` in the file's own dtype, alpha included.

    A volume is `[C, D, H, W]`, its slow axis first: the pages of a TIFF stack, z of a
    NIfTI file, whose intensities are scaled as its header says.

    Palettes and CMYK become RGB (a palette of greys: one channel), one bit a pixel
    becomes 0 and 255; colours of 16 bits are kept in TIFF, in PNG Pillow reads them
    as 8. Raises `DataError`, also for values that are not finite.

    >>> import tempfile
    >>> from PIL import Image
    >>> path = tempfile.mkdtemp() + "/colour.png"
    >>> Image.new("RGB", (3, 2)).save(path)
    >>> read_pixels(path).shape
    (3, 2, 3)
    """
    with open_picture(path) as picture:
        return _finite(picture.pixels())


def image_channels(path: str | os.PathLike[str]) -> int:
    """The channels of an image from its header alone; alpha is not counted.

    >>> import tempfile
    >>> from PIL import Image
    >>> path = tempfile.mkdtemp() + "/transparent.png"
    >>> Image.new("RGBA", (3, 2)).save(path)
    >>> image_channels(path)
    3
    """
    with open_picture(path) as picture:
        return picture.channels - picture.has_alpha


def standardise(array: NDArray[Any]) -> NDArray[np.float32]:
    """Subtract the mean of all values and divide by their standard deviation.

    One mean and one deviation for all channels and pixels, so that the result does
    not depend on the unit: 8 bits, 16 bits and floats come out alike. Values that
    are all equal become zeros. Takes any shape of finite values.

    >>> standardise(np.array([1, 3])), standardise(np.array([7, 7]))
    (array([-1.,  1.], dtype=float32), array([0., 0.], dtype=float32))
    """
    low, high = float(array.min()), float(array.max())
    if low == high:
        return np.zeros(array.shape, np.float32)
    # float32 holds integers of 16 bits exactly, wider values it would round.
    exact = np.float32 if array.dtype.itemsize <= 2 else np.float64
    values: NDArray[np.floating[Any]] = array.astype(exact)
    values = (values - low) / (high - low)
    values -= values.mean(dtype=np.float64)
    values /= values.std(dtype=np.float64)
    return values.astype(np.float32, copy=False)


def _refuse_dims(size: tuple[int, ...], dims: int) -> None:
    if len(size) == dims:
        return
    text, taken = size_text(size), "volumes" if dims == 3 else f"{dims}-D images"
    found = f"a volume of {text}" if len(size) == 3 else f"{text} is {len(size)}-D"
    raise DataError(f"{found}; the network takes {taken}")


def _with_channels(pixels: NDArray[Any], channels: int) -> NDArray[Any]:
    match len(pixels), channels:
        case own, wanted if own == wanted:
            return pixels
        case 1, 3:
            return np.repeat(pixels, 3, axis=0)
        case 3, 1:
            return np.tensordot(_LUMINANCE, pixels, axes=1)[None]
        case own, wanted:
            raise DataError(f"{own} channels; the network takes {wanted}")


def _finite(pixels: NDArray[Any]) -> NDArray[Any]:
    if pixels.dtype.kind == "f" and not (np.abs(pixels) <= _LARGEST).all():
        raise DataError("values that are not finite numbers of 32 bits")
    return pixels
