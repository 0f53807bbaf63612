from __future__ import annotations

import io
import logging
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from PIL import Image

from nestgen.errors import DataError
from nestgen.imaging import picture
from nestgen.imaging.read import image_channels, read_image, read_pixels, standardise

RNG = np.random.default_rng(0)
COLOUR = RNG.integers(0, 256, (6, 8, 3), dtype=np.uint8)
RGBA = RNG.integers(0, 256, (6, 8, 4), dtype=np.uint8)
DEEP = RNG.integers(0, 65536, (6, 8), dtype=np.uint16)
WIDE = RNG.integers(-(2**31), 2**31, (6, 8), dtype=np.int32)
REAL = RNG.normal(size=(6, 8)).astype(np.float32)

quick = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def tiff(array: NDArray[Any], **options: Any) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, array, **options)
    return buffer.getvalue()


def colour(mode: str) -> Image.Image:
    return Image.fromarray(COLOUR).convert(mode)


def put(folder: Path, data: bytes) -> Path:
    path = folder / "image"
    path.write_bytes(data)
    return path


def pixels_or_error(path: Path) -> NDArray[Any] | DataError:
    try:
        return read_pixels(path)
    except DataError as error:
        return error


def one_line(error: pytest.ExceptionInfo[DataError], path: Path) -> str:
    message = str(error.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message


MODES = [
    # image, kinds of file, channels of read_pixels, of image_channels, dtype
    (colour("1"), "PNG BMP TIFF", 1, 1, np.uint8),
    (colour("L"), "PNG BMP TIFF", 1, 1, np.uint8),
    (Image.fromarray(RGBA).convert("LA"), "PNG TIFF", 2, 1, np.uint8),
    (colour("P"), "PNG BMP TIFF", 3, 3, np.uint8),
    (colour("L").convert("P"), "PNG BMP TIFF", 1, 1, np.uint8),
    (colour("RGB"), "PNG BMP TIFF", 3, 3, np.uint8),
    (Image.fromarray(RGBA), "PNG TIFF", 4, 3, np.uint8),
    (colour("CMYK"), "TIFF", 3, 3, np.uint8),
    (colour("YCbCr"), "TIFF", 3, 3, np.uint8),
    (Image.fromarray(DEEP), "PNG TIFF", 1, 1, np.uint16),
    (Image.fromarray(WIDE), "TIFF", 1, 1, np.int32),
    (Image.fromarray(REAL), "TIFF", 1, 1, np.float32),
]


@pytest.mark.parametrize(
    ("image", "kind", "channels", "coloured", "dtype"),
    [
        pytest.param(image, kind, *rest, id=f"{image.mode}{rest[0]}-{kind}")
        for image, kinds, *rest in MODES
        for kind in kinds.split()
    ],
)
def test_every_mode_round_trips(
    tmp_path: Path,
    image: Image.Image,
    kind: str,
    channels: int,
    coloured: int,
    dtype: type[np.generic],
) -> None:
    path = put(tmp_path, encoded(image, kind))
    pixels = read_pixels(path)
    assert pixels.shape == (channels, 6, 8)
    assert pixels.dtype == dtype
    assert pixels.dtype.isnative
    assert image_channels(path) == coloured
    if image.mode in ("P", "CMYK", "YCbCr"):
        expected = np.array(image.convert("RGB"))[..., :channels]
    else:
        expected = np.array(image.convert("L") if image.mode == "1" else image)
    np.testing.assert_array_equal(pixels, np.moveaxis(np.atleast_3d(expected), -1, 0))


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_jpeg_comes_as_pillow_decodes_it(tmp_path: Path, mode: str) -> None:
    path = put(tmp_path, encoded(colour(mode), "JPEG"))
    with Image.open(path) as image:
        expected = np.atleast_3d(np.array(image.convert("L" if mode == "L" else "RGB")))
    np.testing.assert_array_equal(read_pixels(path), expected.transpose(2, 0, 1))
    assert image_channels(path) == expected.shape[-1]


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    "dtype", ["u1", "u2", "u4", "i1", "i2", "i4", "f2", "f4", "f8"]
)
@pytest.mark.parametrize(
    ("channels", "layout"),
    [
        (1, {}),
        (2, {"planarconfig": "contig", "photometric": "minisblack"}),
        (3, {"planarconfig": "contig", "photometric": "rgb"}),
        (3, {"planarconfig": "separate", "photometric": "rgb"}),
        (5, {"planarconfig": "separate", "photometric": "minisblack"}),
        (7, {"planarconfig": "contig", "photometric": "minisblack"}),
    ],
)
def test_tiff_of_any_samples_is_read_without_loss(
    tmp_path: Path,
    channels: int,
    layout: dict[str, str],
    dtype: str,
    order: str,
    compression: str | None,
) -> None:
    array = RNG.integers(0, 128, (channels, 6, 8)).astype(dtype)
    stored = array[0] if channels == 1 else array
    if layout.get("planarconfig") == "contig":
        stored = np.moveaxis(array, 0, -1)
    data = tiff(stored, byteorder=order, compression=compression, **layout)
    path = put(tmp_path, data)
    pixels = read_pixels(path)
    np.testing.assert_array_equal(pixels, array)
    assert pixels.dtype == np.dtype(dtype)
    assert image_channels(path) == channels


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "packbits"])
@pytest.mark.parametrize("image", [Image.fromarray(DEEP), Image.fromarray(REAL)])
def test_compressed_tiff_of_microscopes_is_read(
    tmp_path: Path, image: Image.Image, compression: str
) -> None:
    path = put(tmp_path, encoded(image, "TIFF", compression=compression))
    np.testing.assert_array_equal(read_pixels(path)[0], np.array(image))


def test_white_is_zero_is_turned_round(tmp_path: Path) -> None:
    for dtype in (np.uint8, np.uint16):
        array = DEEP.astype(dtype)
        path = put(tmp_path, tiff(array, photometric="miniswhite"))
        np.testing.assert_array_equal(read_pixels(path)[0], np.iinfo(dtype).max - array)


def test_a_deep_palette_is_not_taken_for_grey(tmp_path: Path) -> None:
    colours = RNG.integers(0, 65536, (3, 65536), dtype=np.uint16)
    path = put(tmp_path, tiff(DEEP, photometric="palette", colormap=colours))
    with pytest.raises(DataError, match="neither grey nor RGB"):
        read_pixels(path)


def test_an_overview_is_no_page(tmp_path: Path) -> None:
    path = tmp_path / "pyramid.tif"
    with tifffile.TiffWriter(path) as writer:
        writer.write(DEEP, metadata=None)
        writer.write(DEEP[::2, ::2], subfiletype=1, metadata=None)
    np.testing.assert_array_equal(read_pixels(path)[0], DEEP)


@pytest.mark.parametrize("options", [{}, {"metadata": None}, {"truncate": True}])
def test_a_stack_is_refused_where_images_are_taken(
    tmp_path: Path, options: dict[str, Any]
) -> None:
    path = put(tmp_path, tiff(np.zeros((5, 6, 8), np.uint8), **options))
    with pytest.raises(DataError) as error:
        read_image(path, 1)
    said = "a volume of 5x6x8; the network takes 2-D images"
    assert one_line(error, path) == f"{path}: {said}"


def test_an_image_is_refused_where_volumes_are_taken(tmp_path: Path) -> None:
    path = put(tmp_path, tiff(DEEP))
    with pytest.raises(DataError) as error:
        read_image(path, 1, dims=3)
    said = "6x8 is 2-D; the network takes volumes"
    assert one_line(error, path) == f"{path}: {said}"


@pytest.mark.parametrize(
    ("mode", "wanted", "accepted"),
    [
        ("L", 1, True),
        ("L", 3, True),
        ("L", 2, False),
        ("L", 4, False),
        ("LA", 1, True),
        ("LA", 2, True),
        ("LA", 3, True),
        ("RGB", 3, True),
        ("RGB", 1, True),
        ("RGB", 4, False),
        ("RGBA", 3, True),
        ("RGBA", 1, True),
        ("RGBA", 4, True),
        ("RGBA", 5, False),
    ],
)
def test_channels_are_fitted_or_refused(
    tmp_path: Path, mode: str, wanted: int, accepted: bool
) -> None:
    path = put(tmp_path, encoded(Image.fromarray(RGBA).convert(mode), "PNG"))
    if not accepted:
        own = len(mode.replace("A", ""))
        with pytest.raises(DataError, match=rf"{own} channels.* takes {wanted}"):
            read_image(path, wanted)
        return
    image = read_image(path, wanted)
    assert image.shape == (wanted, 6, 8)
    assert image.dtype == np.float32


def test_a_fourth_band_is_not_dropped(tmp_path: Path) -> None:
    data = tiff(RGBA, photometric="rgb", extrasamples=["unspecified"])
    path = put(tmp_path, data)
    assert image_channels(path) == 4
    assert read_image(path, 4).shape == (4, 6, 8)
    with pytest.raises(DataError, match="4 channels; the network takes 3"):
        read_image(path, 3)


def test_alpha_does_not_touch_the_standardised_colours(tmp_path: Path) -> None:
    path = put(tmp_path, encoded(Image.fromarray(RGBA), "PNG"))
    colours = RGBA[..., :3].transpose(2, 0, 1)
    np.testing.assert_array_equal(read_image(path, 3), standardise(colours))


def test_grey_is_repeated_and_colour_becomes_luminance(tmp_path: Path) -> None:
    grey = put(tmp_path, encoded(colour("L"), "PNG"))
    one, three = read_image(grey, 1), read_image(grey, 3)
    np.testing.assert_allclose(three, np.repeat(one, 3, axis=0), atol=1e-6)
    path = put(tmp_path, encoded(colour("RGB"), "PNG"))
    luminance = COLOUR @ np.array([0.299, 0.587, 0.114])
    np.testing.assert_allclose(
        read_image(path, 1)[0], standardise(luminance), atol=1e-5
    )


def test_exif_orientation_is_not_applied(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    path = put(tmp_path, encoded(colour("RGB"), "PNG", exif=exif))
    np.testing.assert_array_equal(read_pixels(path), COLOUR.transpose(2, 0, 1))


def test_8_bits_16_bits_and_floats_come_out_alike(tmp_path: Path) -> None:
    grey = COLOUR[..., 0]
    eight = read_image(put(tmp_path, encoded(Image.fromarray(grey), "PNG")), 1)
    for same in (grey.astype(np.uint16) * 257, grey / 255, grey.astype("f4") - 7):
        other = read_image(put(tmp_path, tiff(same)), 1)
        np.testing.assert_allclose(other, eight, atol=1e-5)


@quick
@given(
    hnp.arrays(
        st.sampled_from([np.uint8, np.uint16, np.int32]),
        hnp.array_shapes(min_dims=3, max_dims=3, max_side=9),
    )
)
def test_standardised_is_mean_zero_deviation_one_or_all_zeros(
    array: NDArray[Any],
) -> None:
    result = standardise(array)
    assert result.shape == array.shape
    assert result.dtype == np.float32
    if (array == array.flat[0]).all():
        assert not result.any()
        return
    assert abs(result.mean(dtype=np.float64)) < 1e-6 * np.abs(result).max()
    assert abs(result.std(dtype=np.float64) - 1) < 1e-5
    order = np.argsort(array, axis=None)
    assert (np.diff(result.ravel()[order]) >= 0).all()


def test_large_integers_are_not_rounded() -> None:
    small = COLOUR.astype(np.int32)
    np.testing.assert_allclose(standardise(small + 2**30), standardise(small), 1e-5)


def test_constant_images_of_any_unit_are_zeros() -> None:
    for value in (0, 255, 0.1, 1e-30, -3e38):
        assert not standardise(np.full((1, 5, 7), value)).any()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300])
def test_values_that_are_not_finite_are_refused(tmp_path: Path, value: float) -> None:
    path = put(tmp_path, tiff(np.array([[0.0, value]])))
    with pytest.raises(DataError, match="not finite") as error:
        read_image(path, 1)
    one_line(error, path)


def test_complex_samples_are_refused(tmp_path: Path) -> None:
    path = put(tmp_path, tiff(np.zeros((6, 8), np.complex64)))
    with pytest.raises(DataError, match="neither integers nor real"):
        read_pixels(path)


FILES = {
    "png": encoded(colour("RGB"), "PNG"),
    "png16": encoded(Image.fromarray(DEEP), "PNG"),
    "palette": encoded(colour("P").quantize(4), "PNG"),
    "jpeg": encoded(colour("RGB"), "JPEG", quality=50),
    "progressive": encoded(colour("L"), "JPEG", progressive=True, quality=30),
    "bmp": encoded(colour("L").quantize(4), "BMP"),
    "tiff": tiff(DEEP),
    "tiff-bands": tiff(
        np.dstack([DEEP] * 5), photometric="minisblack", planarconfig="contig"
    ),
    "tiff-zlib": tiff(DEEP, compression="zlib", metadata=None),
    "tiff-tiles": tiff(DEEP.astype("f8"), tile=(16, 16), metadata=None),
    "tiff-big": tiff(DEEP, bigtiff=True, byteorder=">", metadata=None),
    "tiff-stack": tiff(np.stack([DEEP, DEEP + 1]), metadata=None),
    "tiff-stack-zlib": tiff(np.stack([DEEP, DEEP + 1]), compression="zlib"),
    "tiff-lzw": encoded(colour("RGB"), "TIFF", compression="tiff_lzw"),
    "tiff-jpeg": encoded(colour("RGB"), "TIFF", compression="jpeg"),
}


@pytest.fixture
def small_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a size made by chance costs no gigabytes."""
    monkeypatch.setattr(picture, "MAX_PIXELS", 2**14)


@pytest.mark.parametrize("kind", FILES)
@pytest.mark.usefixtures("small_limit")
def test_cut_at_any_byte_it_is_refused_or_whole(
    tmp_path: Path, kind: str, capfd: pytest.CaptureFixture[str]
) -> None:
    data = FILES[kind]
    whole = read_pixels(put(tmp_path, data))
    refused = 0
    for length in range(len(data)):
        path = put(tmp_path, data[:length])
        pixels = pixels_or_error(path)
        if isinstance(pixels, DataError):
            refused += 1
            assert "\n" not in str(pixels)
        else:
            np.testing.assert_array_equal(pixels, whole)
    assert refused > len(data) / 3
    if kind != "tiff-jpeg":  # libtiff itself prints what the JPEG codec says
        assert capfd.readouterr() == ("", "")


@quick
@given(st.sampled_from(sorted(FILES)), st.data())
@pytest.mark.usefixtures("small_limit")
def test_bytes_changed_at_random_never_raise_anything_else(
    tmp_path: Path, kind: str, data: st.DataObject
) -> None:
    content = bytearray(FILES[kind])
    places = st.integers(0, len(content) - 1)
    for place in data.draw(st.lists(places, min_size=1, max_size=4)):
        content[place] = data.draw(st.integers(0, 255))
    path = put(tmp_path, bytes(content))
    pixels = pixels_or_error(path)
    if isinstance(pixels, DataError):
        assert str(pixels).startswith(f"{path}: ")
        assert "\n" not in str(pixels)
    else:
        assert pixels[0].size <= 2**14


@quick
@given(st.binary(max_size=60), st.sampled_from([b"", b"BM", b"II*\0", b"\xff\xd8\xff"]))
def test_any_bytes_are_no_image(tmp_path: Path, rest: bytes, start: bytes) -> None:
    path = put(tmp_path, start + rest)
    with pytest.raises(DataError) as error:
        read_pixels(path)
    one_line(error, path)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "the file is empty"),
        (b"GIF89a", "not a PNG, JPEG, BMP, TIFF or NIfTI image"),
        (b"hello, world", "not a PNG, JPEG, BMP, TIFF or NIfTI image"),
    ],
)
def test_other_files_are_refused_with_the_reason(
    tmp_path: Path, content: bytes, reason: str
) -> None:
    path = put(tmp_path, content)
    for read in (read_pixels, image_channels):
        with pytest.raises(DataError) as error:
            read(path)
        assert one_line(error, path) == f"{path}: {reason}"


def test_folders_and_missing_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"irectory|denied"):
        read_image(tmp_path, 1)
    with pytest.raises(DataError, match="No such file"):
        read_image(tmp_path / "none.png", 1)


def png_of_size(width: int, height: int) -> bytes:
    def chunk(name: bytes, data: bytes) -> bytes:
        crc = zlib.crc32(name + data)
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", crc)

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    body = chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + body


def tiff_of_size(width: int, height: int, samples: int = 1) -> bytes:
    """A TIFF file whose header promises more than lies behind it."""
    tags = [
        (256, 4, width),
        (257, 4, height),
        (258, 3, 16),
        (259, 3, 1),
        (262, 3, 1),
        (273, 4, 8),
        (277, 3, samples),
        (278, 4, height),
        (279, 4, 16),
    ]
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, n) for tag, kind, n in tags)
    directory = struct.pack("<H", len(tags)) + entries + bytes(4)
    return b"II*\0" + struct.pack("<I", 24) + bytes(16) + directory


@pytest.mark.parametrize("make", [png_of_size, tiff_of_size])
def test_bombs_are_refused_by_their_header(tmp_path: Path, make: Any) -> None:
    path = put(tmp_path, make(2**15, 2**13 + 1))
    for read in (read_pixels, image_channels):
        with pytest.raises(DataError) as error:
            read(path)
        assert one_line(error, path).endswith(
            "8193x32768 pixels; 1 to 268435456 are read"
        )


def test_bombs_of_many_bands_are_refused(tmp_path: Path) -> None:
    path = put(tmp_path, tiff_of_size(2**14, 2**13, 9))
    with pytest.raises(DataError, match="of 9 channels"):
        read_pixels(path)


def test_the_largest_image_is_larger_than_pillow_would_open(tmp_path: Path) -> None:
    path = put(tmp_path, png_of_size(2**14, 2**14))
    assert image_channels(path) == 1
    with pytest.raises(Image.DecompressionBombError):
        Image.open(path)


def test_a_promise_that_is_not_kept_is_refused(tmp_path: Path) -> None:
    path = put(tmp_path, tiff_of_size(2**9, 2**9))
    with pytest.raises(DataError):
        read_pixels(path)


def test_what_decoders_complain_about_is_not_shown(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    logger = logging.getLogger("tifffile")
    assert any(isinstance(each, logging.NullHandler) for each in logger.handlers)
    path = put(tmp_path, png_of_size(10_000, 10_000))
    assert image_channels(path) == 1
    assert capfd.readouterr() == ("", "")


def test_no_torch_is_imported() -> None:
    code = (
        "import sys, nestgen.imaging.inventory, nestgen.imaging.overlay;"
        "sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
