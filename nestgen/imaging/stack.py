"""A stack of pages as one picture: which axes the pages run through."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from tifffile import TiffPage

from nestgen.errors import DataError


@dataclass(frozen=True)
class Layout:
    """The axes that the planes of a stack run through, the slowest first."""

    axes: str
    sides: tuple[int, ...]

    @property
    def planes(self) -> int:
        return math.prod(self.sides)

    def side(self, axis: str) -> int:
        return self.sides[self.axes.index(axis)] if axis in self.axes else 1


class TiffStack:
    """See `nestgen.imaging.picture.Picture`; `pictures` are the planes, one by one."""

    def __init__(self, layout: Layout, pictures: Sequence[Any]) -> None:
        self._layout, self._pictures = layout, pictures

    @property
    def size(self) -> tuple[int, ...]:
        deep = (self._layout.side("Z"),) if "Z" in self._layout.axes else ()
        return (*deep, *self._pictures[0].size)

    @property
    def channels(self) -> int:
        channels: int = self._pictures[0].channels
        return self._layout.side("C") * channels

    @property
    def has_alpha(self) -> bool:
        return "C" not in self._layout.axes and self._pictures[0].has_alpha

    def pixels(self) -> NDArray[Any]:
        return self._gather(lambda picture: picture.pixels())

    def indices(self) -> NDArray[Any]:
        return self._gather(lambda picture: picture.indices())

    def _gather(self, decode: Any) -> NDArray[Any]:
        decoded = map(decode, self._pictures)
        first = next(decoded)
        planes = np.empty((self._layout.planes, *first.shape), first.dtype)
        planes[0] = first
        for place, plane in enumerate(decoded, 1):
            planes[place] = plane
        shape = (self._layout.side("C"), self._layout.side("Z"), *first.shape)
        if self._layout.axes == "ZC":
            planes = planes.reshape(shape[1], shape[0], *first.shape).swapaxes(0, 1)
        # [C, Z, samples, H, W]: the samples of a page are channels too
        planes = planes.reshape(shape).swapaxes(1, 2)
        return np.ascontiguousarray(planes).reshape(-1, *self.size)


def layout_of(tiff: tifffile.TiffFile, pages: Sequence[TiffPage]) -> Layout:
    """What ImageJ, OME or tifffile noted of the axes; else all pages are depth.

    `pages` are those that the file stores; tifffile and ImageJ let one stand for the
    many that lie behind it. Raises `DataError` for axes other than Z and C.
    """
    found = _noted(tiff, pages) or Layout("Z", (len(pages),))
    if found.planes == 1:
        return Layout("", ())
    kept = [pair for pair in zip(*_parts(found), strict=True) if pair[1] != 1]
    axes = "".join(axis for axis, _ in kept)
    if axes not in ("Z", "C", "ZC", "CZ"):
        # without a name it is a stack of pages like any other
        if axes not in ("Q", "I"):
            raise DataError(f"a stack of axes {found.axes}YX; Z, C, Y and X are read")
        axes = "Z"
    return Layout(axes, tuple(side for _, side in kept))


def _parts(layout: Layout) -> tuple[str, tuple[int, ...]]:
    return layout.axes, layout.sides


def _noted(tiff: tifffile.TiffFile, pages: Sequence[TiffPage]) -> Layout | None:
    first = pages[0]
    if first.is_ome:
        return _by_ome(first.description, first.samplesperpixel, len(pages))
    if not (tiff.is_imagej or tiff.is_shaped):
        return None
    if len(tiff.series) > 1:
        return None
    series, inner = tiff.series[0], len(first.axes)
    if series.kind == "generic" and tiff.is_imagej:
        raise DataError("its header does not fit its pages; the file is cut short")
    found = Layout(series.axes[:-inner], tuple(series.shape[:-inner]))
    if len(pages) not in (1, found.planes):
        raise DataError(f"{len(pages)} pages; its header speaks of {found.planes}")
    return found


def _by_ome(text: str, samples: int, pages: int) -> Layout:
    """OME's XML is searched and not parsed: a few numbers are all that counts."""
    tag = re.search(r"<(?:\w+:)?Pixels\b([^>]*)>", text)
    noted = dict(re.findall(r'(\w+)="([^"]{1,9})"', tag[1] if tag else ""))
    order = noted.get("DimensionOrder", "XYZCT")
    if sorted(order) != sorted("XYZCT") or order[:2] != "XY":
        raise DataError(f"an OME header with the axes {order!a}")
    sides = {axis: int(noted.get(f"Size{axis}", 1)) for axis in "ZCT"}
    sides["C"] //= samples
    axes = order[:1:-1]
    found = Layout(axes, tuple(sides[axis] for axis in axes))
    if found.planes != pages:
        raise DataError(f"{pages} pages; its OME header speaks of {found.planes}")
    for block in re.findall(r"<(?:\w+:)?TiffData\b([^>]*)>", text):
        _refuse_other_order(found, dict(re.findall(r'(\w+)="(\d{1,9})"', block)))
    return found


def _refuse_other_order(layout: Layout, block: dict[str, str]) -> None:
    at = [int(block.get(f"First{axis}", 0)) for axis in layout.axes]
    place = sum(
        index * math.prod(layout.sides[axis + 1 :]) for axis, index in enumerate(at)
    )
    if int(block.get("IFD", place)) != place:
        raise DataError("its OME header has the pages in an order of its own")
