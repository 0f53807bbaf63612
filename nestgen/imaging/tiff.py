"""A picture as tifffile decodes it: stacks, 16 bits, floats, any number of bands.

Pillow decodes what it reads without loss, palettes and CMYK among it: it brings the
codecs (LZW, JPEG, CCITT) that tifffile has only with the package imagecodecs.
"""

from __future__ import annotations

import logging
import struct
from collections.abc import Sequence
from typing import Any, BinaryIO

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import TiffImagePlugin
from tifffile import EXTRASAMPLE, PHOTOMETRIC, TiffPage

from nestgen.errors import DataError
from nestgen.imaging.raster import Frames, RasterPicture
from nestgen.imaging.stack import TiffStack, layout_of

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
    """See `nestgen.imaging.picture.Picture`; `place` counts planes behind the page."""

    def __init__(self, page: TiffPage, place: int = 0) -> None:
        self._page, self._place = page, place

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
        array = self._plane_behind() if self._place else page.asarray()
        if page.axes.endswith("S"):
            array = np.moveaxis(array, -1, 0)
        array = np.ascontiguousarray(array, array.dtype.newbyteorder("="))
        array = array.reshape(self.channels, *self.size)
        if page.photometric == PHOTOMETRIC.MINISWHITE and array.dtype.kind == "u":
            array = np.iinfo(array.dtype).max - array
        return array

    def indices(self) -> NDArray[Any]:
        return self.pixels()

    def _plane_behind(self) -> NDArray[Any]:
        page = self._page
        dtype = np.dtype(page.dtype).newbyteorder(page.parent.byteorder)
        offset = page.dataoffsets[0] + self._place * page.nbytes
        plane = page.parent.filehandle.read_array(dtype, page.size, offset)
        return np.asarray(plane).reshape(page.shape)


def open_tiff(file: BinaryIO) -> TiffPicture | RasterPicture | TiffStack:
    """The pages of a TIFF file, by Pillow where that loses nothing.

    One page is an image, several are a volume or, where the file says so, channels
    (see `layout_of`). Reduced copies of a page (overviews) and transparency masks are
    no pages. Raises `DataError` for a file cut short.
    """
    # OME and Micro-Manager files could name other files to be opened.
    tiff = tifffile.TiffFile(file, is_ome=False, is_mmstack=False, is_ndtiff=False)
    if not len(tiff.pages):
        raise DataError("no page; the file is cut short")
    _refuse_broken_chain(tiff)
    pages = _stored(tiff)
    for page in pages:
        _refuse_page(file, page, pages[0])
    layout = layout_of(tiff, pages)
    if layout.planes == 1:
        return _open_pages(file, pages)[0]
    if len(pages) == 1:
        _refuse_cut_short(file, pages[0], layout.planes)
        _refuse_colours(pages[0])
        behind = range(layout.planes)
        return TiffStack(layout, [TiffPicture(pages[0], place) for place in behind])
    return TiffStack(layout, _open_pages(file, pages))


def _stored(tiff: tifffile.TiffFile) -> list[TiffPage]:
    pages = [page for page in tiff.pages if isinstance(page, TiffPage)]
    whole = [page for page in pages if not (page.is_reduced or page.is_mask)]
    return whole or pages[:1]


def _refuse_broken_chain(tiff: tifffile.TiffFile) -> None:
    """tifffile lets pages go whose place lies behind the end of the file."""
    kind, file = tiff.tiff, tiff.filehandle
    file.seek(tiff.pages[len(tiff.pages) - 1].offset)
    (tags,) = struct.unpack(kind.tagnoformat, file.read(kind.tagnosize))
    file.seek(tags * kind.tagsize, 1)
    if file.read(kind.offsetsize) != bytes(kind.offsetsize):
        raise DataError("the file is cut short")


def _refuse_page(file: BinaryIO, page: TiffPage, first: TiffPage) -> None:
    if page.imagedepth > 1:
        raise DataError(f"a page of depth {page.imagedepth}; pages of 1 are read")
    # tifffile misreads several samples of one bit.
    kinds = "buif" if page.samplesperpixel == 1 else "uif"
    if page.dtype is None or page.dtype.kind not in kinds:
        raise DataError("its samples are neither integers nor real numbers")
    if (page.shape, page.dtype) != (first.shape, first.dtype):
        raise DataError("a stack of pages that are not all alike")
    _refuse_cut_short(file, page)


def _open_pages(
    file: BinaryIO, pages: Sequence[TiffPage]
) -> Sequence[TiffPicture | RasterPicture]:
    if all(map(_pillow_keeps, pages)):
        file.seek(0)
        image = TiffImagePlugin.TiffImageFile(file)
        return Frames(image, [page.index for page in pages])
    for page in pages:
        _refuse_colours(page)
    return [TiffPicture(page) for page in pages]


def _refuse_colours(page: TiffPage) -> None:
    if page.photometric not in _PLAIN:
        raise DataError("its colours are neither grey nor RGB")


def _refuse_cut_short(file: BinaryIO, page: TiffPage, planes: int = 1) -> None:
    """tifffile fills what lies behind the end of the file with zeros."""
    end = file.seek(0, 2)
    spans = zip(page.dataoffsets, page.databytecounts, strict=True)
    if any(offset + planes * count > end for offset, count in spans):
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
