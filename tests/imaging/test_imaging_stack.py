"""Stacks of TIFF pages: the axes that the file notes, else all pages are depth."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from nestgen.errors import DataError
from nestgen.imaging.masks import read_mask, write_mask
from nestgen.imaging.read import image_channels, read_image, read_pixels
from nestgen.imaging.volume import write_volume

RNG = np.random.default_rng(0)
ZYX = RNG.integers(0, 60000, (3, 5, 7), np.uint16)
CZYX = RNG.integers(0, 60000, (2, 3, 5, 7), np.uint16)
ZCYX = CZYX.swapaxes(0, 1)


def put(folder: Path, array: NDArray[Any], **options: Any) -> Path:
    path = folder / "stack.tif"
    tifffile.imwrite(path, array, **{"photometric": "minisblack", **options})
    return path


def refused(path: Path) -> str:
    with pytest.raises(DataError) as error:
        read_pixels(path)
    assert "\n" not in str(error.value)
    return str(error.value).removeprefix(f"{path}: ")


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"metadata": None},
        {"compression": "zlib"},
        {"metadata": {"axes": "ZYX"}},
        {"truncate": True},
        {"truncate": True, "byteorder": ">"},
        {"imagej": True, "metadata": {"axes": "ZYX"}},
        {"ome": True, "metadata": {"axes": "ZYX"}},
        {"bigtiff": True, "byteorder": ">", "metadata": None},
        {"tile": (16, 16), "metadata": None},
    ],
)
@pytest.mark.parametrize("dtype", ["u1", "u2", "i2", "f4", "f8"])
def test_pages_are_depth(tmp_path: Path, options: dict[str, Any], dtype: str) -> None:
    if options.get("imagej") and dtype in ("i2", "f8"):
        pytest.skip("ImageJ has no such samples")
    volume = (ZYX % 100).astype(dtype)
    path = put(tmp_path, volume, **options)
    pixels = read_pixels(path)
    np.testing.assert_array_equal(pixels, volume[None])
    assert pixels.dtype == np.dtype(dtype)
    assert image_channels(path) == 1
    assert read_image(path, 1, dims=3).shape == (1, 3, 5, 7)


@pytest.mark.parametrize("compression", ["tiff_lzw", "packbits", "tiff_adobe_deflate"])
def test_what_pillow_writes_is_read(tmp_path: Path, compression: str) -> None:
    first, *others = [Image.fromarray(plane) for plane in ZYX]
    path = tmp_path / "stack.tif"
    first.save(path, save_all=True, append_images=others, compression=compression)
    np.testing.assert_array_equal(read_pixels(path), ZYX[None])


@pytest.mark.parametrize(
    ("array", "options"),
    [
        (ZCYX, {"imagej": True, "metadata": {"axes": "ZCYX"}}),
        (ZCYX, {"metadata": {"axes": "ZCYX"}}),
        (CZYX, {"metadata": {"axes": "CZYX"}}),
        (CZYX, {"metadata": {"axes": "CZYX"}, "truncate": True}),
        (ZCYX, {"ome": True, "metadata": {"axes": "ZCYX"}}),
        (CZYX, {"ome": True, "metadata": {"axes": "CZYX"}}),
        (CZYX[:, None], {"metadata": {"axes": "CTZYX"}}),
    ],
)
def test_channels_and_depth_are_told_apart(
    tmp_path: Path, array: NDArray[Any], options: dict[str, Any]
) -> None:
    path = put(tmp_path, array, **options)
    np.testing.assert_array_equal(read_pixels(path), CZYX)
    assert image_channels(path) == 2


def test_pages_of_channels_are_an_image(tmp_path: Path) -> None:
    path = put(tmp_path, ZYX, imagej=True, metadata={"axes": "CYX"})
    np.testing.assert_array_equal(read_pixels(path), ZYX)
    assert read_image(path, 3).shape == (3, 5, 7)


@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_a_stack_of_colours(tmp_path: Path, planar: str) -> None:
    colours = RNG.integers(0, 255, (3, 3, 5, 7), np.uint8)
    stored = np.moveaxis(colours, 1, -1) if planar == "contig" else colours
    options = {"photometric": "rgb", "planarconfig": planar, "metadata": None}
    path = put(tmp_path, np.ascontiguousarray(stored), **options)
    np.testing.assert_array_equal(read_pixels(path), colours.swapaxes(0, 1))
    assert image_channels(path) == 3


@pytest.mark.parametrize(
    ("axes", "said"),
    [
        ("TYX", "a stack of axes TYX; Z, C, Y and X are read"),
        ("TZYX", "a stack of axes TZYX; Z, C, Y and X are read"),
        ("QQYX", "a stack of axes QQYX; Z, C, Y and X are read"),
    ],
)
def test_other_axes_are_refused(tmp_path: Path, axes: str, said: str) -> None:
    array = ZYX if len(axes) == 3 else CZYX
    assert refused(put(tmp_path, array, metadata={"axes": axes})) == said


def test_pages_of_several_sizes_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "stack.tif"
    with tifffile.TiffWriter(path) as writer:
        writer.write(ZYX[0], metadata=None)
        writer.write(ZYX[0, :4], metadata=None)
    assert refused(path) == "a stack of pages that are not all alike"


def test_an_overview_is_no_page_of_a_stack(tmp_path: Path) -> None:
    path = tmp_path / "pyramid.tif"
    with tifffile.TiffWriter(path) as writer:
        for plane in ZYX:
            writer.write(plane, metadata=None)
            writer.write(plane[::2, ::2], subfiletype=1, metadata=None)
    np.testing.assert_array_equal(read_pixels(path), ZYX[None])


def ome(**sizes: object) -> str:
    noted = " ".join(f'{name}="{value}"' for name, value in sizes.items())
    return f"<OME><Image><Pixels {noted}></Pixels></Image></OME>"


def test_an_ome_header_that_names_other_pages_is_refused(tmp_path: Path) -> None:
    text = ome(DimensionOrder="XYZCT", SizeZ=3, SizeC=2, SizeT=1)
    path = put(tmp_path, ZYX, description=text, metadata=None)
    assert refused(path) == "3 pages; its OME header speaks of 6"
    text = ome(DimensionOrder="XYWVU", SizeZ=3)
    path = put(tmp_path, ZYX, description=text, metadata=None)
    assert refused(path) == "an OME header with the axes 'XYWVU'"
    block = '<TiffData FirstZ="1" IFD="2"/>'
    text = ome(SizeZ=3).replace("</Pixels>", f"{block}</Pixels>")
    path = put(tmp_path, ZYX, description=text, metadata=None)
    assert refused(path) == "its OME header has the pages in an order of its own"
    path = put(tmp_path, ZYX, description=text.replace('"2"', '"1"'), metadata=None)
    np.testing.assert_array_equal(read_pixels(path), ZYX[None])


def test_a_promise_of_many_planes_is_not_believed(tmp_path: Path) -> None:
    text = '{"shape": [40000, 4, 4]}'
    path = put(tmp_path, ZYX[0, :4, :4], description=text, metadata=None)
    assert refused(path) == "the file is cut short"
    text = "ImageJ=1.11a\nimages=9\nslices=9\n"
    path = put(tmp_path, ZYX, description=text, metadata=None)
    wanted = "its header does not fit its pages; the file is cut short"
    assert refused(path) == wanted


def test_many_pages_are_refused_by_their_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nestgen.imaging.picture.MAX_PIXELS", 100)
    assert refused(put(tmp_path, ZYX)) == "3x5x7 pixels; 1 to 100 are read"


@pytest.mark.parametrize("largest", [1, 4, 300])
def test_a_mask_is_a_page_for_each_plane(tmp_path: Path, largest: int) -> None:
    labels = (ZYX % (largest + 1)).astype(np.int64)
    path = tmp_path / "mask.tif"
    write_mask(path, labels)
    found = read_mask(path)
    np.testing.assert_array_equal(found, labels * 255 if largest == 1 else labels)
    with tifffile.TiffFile(path) as tiff:
        assert len(tiff.pages) == 3
        assert tiff.series[0].axes == "ZYX"
        assert tiff.pages.first.compression == tifffile.COMPRESSION.ADOBE_DEFLATE
        assert tiff.pages.first.dtype == ("u2" if largest > 255 else "u1")
    with Image.open(path) as image:
        assert getattr(image, "n_frames", 1) == 3, "others read it too"
    first = path.read_bytes()
    write_mask(path, labels)
    assert path.read_bytes() == first, "the same mask, the same bytes"


def test_probabilities_of_classes_are_channels(tmp_path: Path) -> None:
    values = RNG.random((2, 3, 5, 7), np.float32)
    path = tmp_path / "p.tif"
    write_volume(path, values)
    np.testing.assert_array_equal(read_pixels(path), values)
    buffer = io.BytesIO(path.read_bytes())
    assert tifffile.imread(buffer).shape == (2, 3, 5, 7)
