"""Volumes into files, in the format of the image that they belong to."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import tifffile
from numpy.typing import NDArray

from nestgen.errors import OutputError
from nestgen.files import write_whole
from nestgen.imaging.nifti import (
    NIFTI_SUFFIXES,
    NiftiPicture,
    is_nifti_name,
    write_nifti,
)
from nestgen.imaging.picture import open_picture

VOLUME_SUFFIXES = (".tif", ".tiff", *NIFTI_SUFFIXES)


def is_volume_name(path: str | os.PathLike[str]) -> bool:
    """Whether a file is named as one that holds a volume.

    >>> is_volume_name("a.nii.gz"), is_volume_name("a.png")
    (True, False)
    """
    return Path(path).name.lower().endswith(VOLUME_SUFFIXES)


def write_volume(
    path: str | os.PathLike[str],
    array: NDArray[Any],
    like: str | os.PathLike[str] | None = None,
) -> None:
    """Write `[D, H, W]` or `[C, D, H, W]` by the name of the file, compressed.

    A .tif has a page for each plane, its axes ZYX or CZYX; a .nii or .nii.gz the
    affine and the spacing of `like`, where that is NIfTI too. The same array gives
    the same bytes. Raises `OutputError` for other names, `DataError` where `like`
    cannot be read.

    >>> import tempfile
    >>> import numpy as np
    >>> path = tempfile.mkdtemp() + "/a.nii.gz"
    >>> write_volume(path, np.zeros((2, 3, 4), np.uint8))
    >>> with open_picture(path) as picture:
    ...     picture.size
    (2, 3, 4)
    """
    if not is_volume_name(path):
        named = ", ".join(VOLUME_SUFFIXES)
        raise OutputError(f"{os.fspath(path)}: a volume is one of {named}")
    if is_nifti_name(path):
        write_nifti(path, array, None if like is None else _header(like))
        return
    buffer = io.BytesIO()
    tifffile.imwrite(
        buffer,
        array,
        photometric="minisblack",
        compression="zlib",
        metadata={"axes": "CZYX"[-array.ndim :]},
    )
    write_whole(path, buffer.getvalue())


def _header(path: str | os.PathLike[str]) -> Any:
    with open_picture(path) as picture:
        return picture.header if isinstance(picture, NiftiPicture) else None
