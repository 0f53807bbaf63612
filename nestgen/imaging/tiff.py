"""A picture as tifffile decodes it: 16 bits, floats, any number of bands.

Pillow decodes what it reads without loss, palettes and CMYK among it: it brings the
codecs (LZW, JPEG, CCITT) that tifffile has only with the package imagecodecs.
"""

from __future__ import annotations

import logging
from typing import Any, BinaryIO

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import TiffImagePlugin
from tifffile import EXTRASAMPLE, PHOTOMETRIC, TiffPage

from nestgen.errors import DataError
from nestgen.imaging.raster import RasterPicture

# tifffile logs what it finds broken; without a handler that goes to stderr.
logging.getLogger("tifffile").addHandler(logging.NullHandler())

_COLOURS: dict[int, int] = {
    PHOTOMETRIC.MINISBLACK: 1,
    PHOTOMETRIC.RGB: 3,
    PHOTOMETRIC.YCBCR: 3,
    PHOTOMETRIC.SEPARATED: 4,
}
_PLAIN = (PHOTOMETRIC.MINISWHITE, PHOTOMETRIC.MINISBLACK, PHOTOMETRIC.RGB)
_ALPHA = (EXTRASAMPLE.ASSOCALPHA, EXTRASAMPLE.UNASSALPHA)


class TiffPicture:
    """See `nestgen.imaging.picture.Picture`."""

    def __init__(self, page: TiffPage) -> None:
        self._page = page

    @property
    def size(self) -> tuple[int, int]:
        return self._page.imagelength, self._page.imagewidth

    @property
    def channels(self) -> int:
        return self._page.samplesperpixel

    @property
    def has_alpha(self) -> bool:
        return _has_alpha(self._page)

    def pixels(self) -> NDArray[Any]:
        page = self._page
        array = page.asarray()
        if page.axes.endswith("S"):
            array = np.moveaxis(array, -1, 0)
        array = np.ascontiguousarray(array, array.dtype.newbyteorder("="))
        array = array.reshape(self.channels, *self.size)
        if page.photometric == PHOTOMETRIC.MINISWHITE and array.dtype.kind == "u":
            array = np.iinfo(array.dtype).max - array
        return array

    def indices(self) -> NDArray[Any]:
        return self.pixels()


def open_tiff(file: BinaryIO) -> TiffPicture | RasterPicture:
    """The one page of a TIFF file, by Pillow where that loses nothing.

    Raises `DataError` for a stack of pages and for a file cut short. Reduced
    copies of the page (overviews) and transparency masks are no pages.
    """
    # An OME file could name other files to be opened.
    tiff = tifffile.TiffFile(file, is_ome=False)
    if not len(tiff.pages):
        raise DataError("no page; the file is cut short")
    page = tiff.pages.first
    pages = _count_pages(tiff, page)
    if pages != 1:
        raise DataError(f"a stack of {pages} pages; an image of one page is read")
    # tifffile misreads several samples of one bit.
    kinds = "buif" if page.samplesperpixel == 1 else "uif"
    if page.dtype is None or page.dtype.kind not in kinds:
        raise DataError("its samples are neither integers nor real numbers")
    _refuse_cut_short(file, page)
    if _pillow_keeps(page):
        file.seek(0)
        return RasterPicture(TiffImagePlugin.TiffImageFile(file))
    if page.photometric not in _PLAIN:
        raise DataError("its colours are neither grey nor RGB")
    return TiffPicture(page)


def _count_pages(tiff: tifffile.TiffFile, page: TiffPage) -> int:
    # One page can stand for many that lie behind it in the file.
    promised = max(tiff.series[0].size // max(page.size, 1), page.imagedepth)
    stored = sum(
        not (entry.is_reduced or entry.is_mask)
        for entry in tiff.pages
        if isinstance(entry, TiffPage)
    )
    return max(promised, stored)


def _refuse_cut_short(file: BinaryIO, page: TiffPage) -> None:
    """tifffile fills what lies behind the end of the file with zeros."""
    end = file.seek(0, 2)
    spans = zip(page.dataoffsets, page.databytecounts, strict=True)
    if any(offset + count > end for offset, count in spans):
        raise DataError("the file is cut short")


def _has_alpha(page: TiffPage) -> bool:
    return len(page.extrasamples) == 1 and page.extrasamples[0] in _ALPHA


def _pillow_keeps(page: TiffPage) -> bool:
    """Whether Pillow reads these samples as they are."""
    dtype = np.dtype(page.dtype)
    swapped = page.parent.byteorder == ">"
    if swapped and page.parent.is_bigtiff:
        return False  # Pillow takes its tags apart in the wrong order
    if dtype in ("u2", "i4", "f4"):
        # Pillow does not turn the bytes of 32-bit samples that it decompresses.
        return (
            page.samplesperpixel == 1
            and page.photometric == PHOTOMETRIC.MINISBLACK
            and not (swapped and dtype.itemsize == 4)
        )
    if page.samplesperpixel == 1:
        return dtype in (bool, "u1")
    colours = page.samplesperpixel - _has_alpha(page)
    known = _COLOURS.get(page.photometric) == colours
    return known and dtype == "u1" and page.bitspersample == 8
