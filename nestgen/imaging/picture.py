"""One opened image file: its size first, its pixels on request."""

from __future__ import annotations

import contextlib
import math
import os
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from numpy.typing import NDArray
from PIL import BmpImagePlugin, ImageFile, JpegImagePlugin, PngImagePlugin

from nestgen.errors import DataError
from nestgen.imaging.nifti import NIFTI_SUFFIXES, open_nifti, starts_nifti
from nestgen.imaging.raster import RasterPicture
from nestgen.imaging.size import size_text
from nestgen.imaging.tiff import open_tiff

MAX_PIXELS = 2**28
SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", *NIFTI_SUFFIXES}
)

# The classes and not Image.open: that has a lower limit of its own, kept in a global.
_RASTERS: dict[bytes, Callable[[BinaryIO], ImageFile.ImageFile]] = {
    b"\x89PNG\r\n\x1a\n": PngImagePlugin.PngImageFile,
    b"\xff\xd8\xff": JpegImagePlugin.JpegImageFile,
    b"BM": BmpImagePlugin.BmpImageFile,
}
_TIFFS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


class Picture(Protocol):
    """What a file holds: known from its header, but for `pixels` and `indices`."""

    @property
    def size(self) -> tuple[int, ...]:
        """Height and width; of a volume depth, height and width."""

    @property
    def channels(self) -> int:
        """How many channels `pixels` has, alpha counted."""

    @property
    def has_alpha(self) -> bool:
        """Whether the last channel is alpha."""

    def pixels(self) -> NDArray[Any]:
        """`[C, *size]` in the file's dtype, native byte order; palettes as RGB."""

    def indices(self) -> NDArray[Any]:
        """`[C, *size]` as stored: palette indices, and bits as 0 and 1."""


@contextlib.contextmanager
def open_picture(path: str | os.PathLike[str]) -> Iterator[Picture]:
    """Open an image file by its content, whatever it is named.

    Whatever fails inside, here or in a decoder, is a `DataError` of one line with
    the file and the reason; the decoders' warnings are not shown. An image of more
    than `MAX_PIXELS` pixels is refused before it is decoded.
    """
    try:
        with warnings.catch_warnings(), open(path, "rb") as file:
            warnings.simplefilter("ignore")
            yield _picture(file)
    except Exception as error:  # a decoder fed with any bytes can raise anything
        text = f"{os.fspath(path)}: {_reason(error)}"
        raise DataError(" ".join(text.splitlines())) from error


def is_image_name(path: Path) -> bool:
    """Whether a file is named like an image and not hidden.

    >>> is_image_name(Path("a.TIF")), is_image_name(Path(".a.png"))
    (True, False)
    """
    return _suffix(path) != "" and not path.name.startswith(".")


def stem_of(path: Path) -> str:
    """The name of an image without what tells its format.

    >>> stem_of(Path("a/brain.1.nii.gz")), stem_of(Path("cell.png"))
    ('brain.1', 'cell')
    """
    return path.name.removesuffix(_suffix(path)) or path.stem


def _suffix(path: Path) -> str:
    """The longest end of a name that is an image's, in the case in which it stands."""
    lower = path.name.lower()
    found = max((s for s in SUFFIXES if lower.endswith(s)), key=len, default="")
    return path.name[len(lower) - len(found) :]


def _picture(file: BinaryIO) -> Picture:
    start = file.read(8)
    file.seek(0)
    picture = _decoder(file, start)
    pixels, size = math.prod(picture.size), size_text(picture.size)
    if not 0 < pixels <= MAX_PIXELS:
        raise DataError(f"{size} pixels; 1 to {MAX_PIXELS} are read")
    if pixels * picture.channels > 4 * MAX_PIXELS:
        raise DataError(
            f"{size} pixels of {picture.channels} channels; "
            f"at most {4 * MAX_PIXELS} values are read"
        )
    return picture


def _decoder(file: BinaryIO, start: bytes) -> Picture:
    if not start:
        raise DataError("the file is empty")
    if start.startswith(_TIFFS):
        return open_tiff(file)
    for magic, raster in _RASTERS.items():
        if start.startswith(magic):
            return RasterPicture(raster(file))
    if starts_nifti(start):
        return open_nifti(file)
    raise DataError("not a PNG, JPEG, BMP, TIFF or NIfTI image")


def _reason(error: Exception) -> str:
    if isinstance(error, DataError):
        return str(error)
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, MemoryError):
        return "not enough memory"
    # Others, and those that Pillow wraps, speak of its own buffers and keys.
    speaks = isinstance(error, (OSError, SyntaxError, ValueError))
    if speaks and error.__cause__ is None:
        return f"broken or not supported ({error})"
    return "broken or not supported"
