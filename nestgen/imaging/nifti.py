"""NIfTI files, .nii and .nii.gz, headers by nibabel; the voxels are read here.

A file's axes are x, y, z and perhaps channels, x the fastest. An array has them the
other way round, `[C, D, H, W]` is channels, z, y, x: the slow axis first. Nothing is
turned or resampled. No more is read than the header asks for, however much a stream
holds.
"""

from __future__ import annotations

import gzip
import math
import os
from types import ModuleType
from typing import Any, BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray

from nestgen.errors import DataError
from nestgen.files import write_whole

GZIP = b"\x1f\x8b"
NIFTI_SUFFIXES = (".nii.gz", ".nii")
_SIZES = (348, 540)
"""Of the headers of NIfTI-1 and NIfTI-2."""
_ORDERS: tuple[Literal["little", "big"], ...] = ("little", "big")
_MAGIC = {348: b"n+1", 540: b"n+2"}
_FARTHEST = 2**26
"""Bytes before the voxels, extensions among them."""


class NiftiPicture:
    """See `nestgen.imaging.picture.Picture`."""

    has_alpha = False

    def __init__(self, header: Any, file: BinaryIO) -> None:
        self.header, self._file = header, file
        self._shape = _shape(header)
        self._dtype = _dtype(header)

    @property
    def size(self) -> tuple[int, ...]:
        return self._shape[1:]

    @property
    def channels(self) -> int:
        return self._shape[0]

    def pixels(self) -> NDArray[Any]:
        voxels = self._voxels()
        slope, inter = self.header.get_slope_inter()
        if slope is None or (slope, inter) == (1.0, 0.0):
            return voxels
        # float32 holds integers of 16 bits exactly, wider values it would round
        exact = np.float32 if voxels.dtype.itemsize <= 2 else np.float64
        scaled: NDArray[Any] = voxels.astype(exact)
        scaled *= slope
        scaled += inter
        return scaled

    def indices(self) -> NDArray[Any]:
        """Labels are often stored as floats; those that are whole are integers here."""
        values = self.pixels()
        if values.dtype.kind != "f" or not (np.abs(values) < 2**53).all():
            return values
        whole: NDArray[np.int64] = values.astype(np.int64)
        return whole if (whole == values).all() else values

    def _voxels(self) -> NDArray[Any]:
        stored = bytearray(math.prod(self._shape) * self._dtype.itemsize)
        self._skip(self.header.get_data_offset())
        self._fill(memoryview(stored))
        self._file.read(1)  # where the stream ends here, gzip compares its checksum
        voxels = np.frombuffer(stored, self._dtype).reshape(self._shape)
        return voxels.astype(self._dtype.newbyteorder("="), copy=False)

    def _skip(self, offset: int) -> None:
        nearest = self.header.single_vox_offset
        if not nearest <= offset <= _FARTHEST:
            raise DataError(
                f"voxels at byte {offset}; they begin at {nearest} to {_FARTHEST}"
            )
        self._file.seek(offset)

    def _fill(self, place: memoryview) -> None:
        while place:
            got = self._file.readinto(place[: 2**24])  # type: ignore[attr-defined]
            if not got:
                raise DataError("the file is cut short")
            place = place[got:]


def is_nifti_name(path: str | os.PathLike[str]) -> bool:
    """Whether a file is named as NIfTI.

    >>> is_nifti_name("a.NII.gz"), is_nifti_name("a.gz")
    (True, False)
    """
    return os.fspath(path).lower().endswith(NIFTI_SUFFIXES)


def starts_nifti(start: bytes) -> bool:
    """Whether a file that starts so is NIfTI, or gzip in which one may lie."""
    heads = [size.to_bytes(4, order) for size in _SIZES for order in _ORDERS]
    return start.startswith((GZIP, *heads))


def open_nifti(file: BinaryIO) -> NiftiPicture:
    """The volume in a file, compressed or not.

    Raises `DataError` for what is no NIfTI of one file, for more axes than x, y, z
    and channels, and for samples that are neither integers nor real numbers.
    """
    file.seek(0)
    compressed = file.read(2) == GZIP
    file.seek(0)
    stream = gzip.GzipFile(fileobj=file) if compressed else file
    return NiftiPicture(_read_header(stream), stream)  # type: ignore[arg-type]


def write_nifti(
    path: str | os.PathLike[str], array: NDArray[Any], header: Any = None
) -> None:
    """Write `[D, H, W]`, or `[C, D, H, W]`, as .nii or .nii.gz, whole or not at all.

    Affine, spacing and units are those of `header`, which stays as it is. The same
    array gives the same bytes.
    """
    header = _nibabel().Nifti1Header() if header is None else header.copy()
    header.set_data_dtype(array.dtype)
    header.set_data_shape(array.shape[::-1])
    _forget_intensities(header)
    header["magic"] = header.single_magic
    header["vox_offset"] = header.single_vox_offset
    no_extensions = bytes(4)
    voxels = array.astype(header.get_data_dtype()).tobytes()
    data = header.binaryblock + no_extensions + voxels
    compressed = os.fspath(path).lower().endswith(".gz")
    write_whole(path, gzip.compress(data, 6, mtime=0) if compressed else data)


def _forget_intensities(header: Any) -> None:
    header.set_slope_inter(1, 0)
    header.set_intent("none")
    header["cal_min"] = header["cal_max"] = 0


def _read_header(stream: Any) -> Any:
    # not nibabel's own reading: it would take extensions of any length apart
    start = stream.read(4)
    size = next((n for n in _SIZES if n in _either_order(start)), 0)
    block = start + stream.read(max(0, size - 4))
    if not size or len(block) != size:
        raise DataError("not a NIfTI file")
    nibabel = _nibabel()
    kind = nibabel.Nifti1Header if size == 348 else nibabel.Nifti2Header
    header = kind(block, check=False)
    if bytes(header["magic"].item())[:3] != _MAGIC[size]:
        raise DataError("not a NIfTI file with its voxels in it")
    return header


def _either_order(start: bytes) -> list[int]:
    return [int.from_bytes(start, order) for order in _ORDERS]


def _shape(header: Any) -> tuple[int, ...]:
    """[C, *sides], the slow axis first; axes of 1 behind z are none."""
    sides = tuple(int(side) for side in header.get_data_shape())
    inner, outer = sides[:3], [side for side in sides[3:] if side != 1]
    if len(inner) < 2 or len(outer) > 1 or any(side < 1 for side in sides):
        raise DataError(
            f"axes of {'x'.join(map(str, sides)) or 'nothing'}; "
            "x, y, z and channels are read"
        )
    return (*(outer or [1]), *inner[::-1])


def _dtype(header: Any) -> np.dtype[Any]:
    dtype: np.dtype[Any] = header.get_data_dtype()
    if dtype.kind not in "uif" or dtype.itemsize > 8:
        raise DataError("its samples are neither integers nor real numbers")
    return dtype


def _nibabel() -> ModuleType:
    try:
        import nibabel
    except ModuleNotFoundError:
        raise DataError("nibabel is not installed; pip install 'nestgen[3d]'") from None
    return nibabel
