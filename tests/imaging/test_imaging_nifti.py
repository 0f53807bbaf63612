"""NIfTI: read as nibabel does, written as it reads, and hostile files refused."""

from __future__ import annotations

import builtins
import contextlib
import gzip
import tracemalloc
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from nestgen.errors import DataError
from nestgen.imaging import picture
from nestgen.imaging.masks import read_mask, write_mask
from nestgen.imaging.picture import open_picture
from nestgen.imaging.read import image_channels, read_image, read_pixels
from nestgen.imaging.volume import write_volume

RNG = np.random.default_rng(0)
XYZ = RNG.integers(0, 100, (7, 5, 3)).astype(np.int16)
"""Three sides that differ: an axis that goes astray is seen."""
AFFINE = np.array([[0, -2.5, 0, 7], [1.5, 0, 0, -3], [0, 0, 4, 11], [0, 0, 0, 1.0]])

quick = settings(
    max_examples=80,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def nifti(array: NDArray[Any], kind: Any = nibabel.Nifti1Image, **fields: Any) -> bytes:
    """An image whose header's raw fields are set at last, true or not."""
    image = kind(array, AFFINE)
    data = bytearray(image.to_bytes())
    header = image.header_class(bytes(data[: image.header.sizeof_hdr]), check=False)
    for name, value in fields.items():
        header[name] = value
    data[: image.header.sizeof_hdr] = header.binaryblock
    return bytes(data)


def put(folder: Path, data: bytes) -> Path:
    path = folder / "image.nii"
    path.write_bytes(data)
    return path


def loaded(path: Path) -> Any:
    """As nibabel itself reads the file."""
    return nibabel.load(path)


def refused(path: Path) -> str:
    with pytest.raises(DataError) as error:
        read_pixels(path)
    message = str(error.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message.removeprefix(f"{path}: ")


@pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "u4", "i4", "f4", "f8"])
def test_voxels_are_read_slow_axis_first(
    tmp_path: Path, kind: Any, pack: Any, order: str, dtype: str
) -> None:
    header = kind.header_class(endianness=order)
    header.set_data_dtype(dtype)
    image = kind(XYZ.astype(dtype), AFFINE, header)
    path = put(tmp_path, pack(image.to_bytes()))
    pixels = read_pixels(path)
    np.testing.assert_array_equal(pixels, XYZ.transpose(2, 1, 0)[None])
    assert pixels.dtype == np.dtype(dtype)
    assert pixels.dtype.isnative
    assert image_channels(path) == 1
    assert read_image(path, 1, dims=3).shape == (1, 3, 5, 7)


def test_the_last_axis_is_channels(tmp_path: Path) -> None:
    four = RNG.integers(0, 9, (7, 5, 3, 2)).astype(np.uint8)
    for array in (four, four.reshape(7, 5, 3, 1, 2)):
        path = put(tmp_path, nifti(array))
        np.testing.assert_array_equal(read_pixels(path), four.transpose(3, 2, 1, 0))
        assert image_channels(path) == 2
    flat = put(tmp_path, nifti(four[:, :, 0, 0]))
    np.testing.assert_array_equal(read_pixels(flat)[0], four[:, :, 0, 0].T)


def test_intensities_are_scaled_as_the_header_says(tmp_path: Path) -> None:
    path = put(tmp_path, nifti(XYZ, scl_slope=0.5, scl_inter=-3))
    expected = loaded(path).get_fdata().transpose(2, 1, 0)
    np.testing.assert_array_equal(read_pixels(path)[0], expected)
    for slope in (0, np.nan, np.inf):
        path = put(tmp_path, nifti(XYZ, scl_slope=slope, scl_inter=4))
        np.testing.assert_array_equal(read_pixels(path)[0], XYZ.transpose(2, 1, 0))


def test_whole_labels_stored_as_floats_are_labels(tmp_path: Path) -> None:
    labels = (XYZ % 4).astype(np.float32)
    path = put(tmp_path, nifti(labels))
    np.testing.assert_array_equal(read_mask(path), labels.transpose(2, 1, 0))
    path = put(tmp_path, nifti(labels + np.float32(0.5)))
    with pytest.raises(DataError, match="labels are whole numbers"):
        read_mask(path)


@pytest.mark.parametrize(
    ("array", "fields", "said"),
    [
        (XYZ.astype(np.complex64), {}, "neither integers nor real numbers"),
        (np.zeros((3, 3, 3), [(c, "u1") for c in "RGB"]), {}, "neither integers nor"),
        (XYZ, {"datatype": 9999}, "broken or not supported"),
        (XYZ, {"datatype": 1}, "neither integers nor real"),
        (XYZ, {"magic": b"ni1"}, "not a NIfTI file with its voxels in it"),
        (XYZ, {"magic": b""}, "not a NIfTI file with its voxels in it"),
        (XYZ, {"vox_offset": 0}, "voxels at byte 0; they begin at 352"),
        (XYZ, {"vox_offset": 1e30}, "voxels at byte 1"),
        (XYZ, {"vox_offset": np.nan}, "broken or not supported"),
        (XYZ, {"vox_offset": 353}, "the file is cut short"),
        (XYZ, {"scl_slope": 2, "scl_inter": np.nan}, "broken or not supported"),
        (XYZ, {"scl_slope": 1e38, "scl_inter": 1}, "not finite"),
        (XYZ, {"dim": [0, 7, 5, 3, 1, 1, 1, 1]}, "x, y, z and channels are read"),
        (XYZ, {"dim": [1, 105, 1, 1, 1, 1, 1, 1]}, "axes of 105; x, y, z and"),
        (XYZ, {"dim": [3, 7, 5, 0, 1, 1, 1, 1]}, "axes of 7x5x0; x, y, z"),
        (XYZ, {"dim": [3, 7, -5, 3, 1, 1, 1, 1]}, "axes of 7x-5x3; x, y, z"),
        (XYZ, {"dim": [5, 7, 5, 1, 3, 1, 1, 1]}, None),
        (XYZ, {"dim": [5, 7, 1, 1, 5, 3, 1, 1]}, "axes of 7x1x1x5x3; x, y, z"),
        (XYZ, {"dim": [9, 7, 5, 3, 1, 1, 1, 1]}, "x, y, z and channels"),
        (XYZ, {"dim": [3, 7, 5, 4, 1, 1, 1, 1]}, "the file is cut short"),
    ],
)
def test_what_a_header_may_not_say(
    tmp_path: Path,
    array: NDArray[Any],
    fields: dict[str, Any],
    said: str | None,
    capfd: pytest.CaptureFixture[str],
) -> None:
    path = put(tmp_path, nifti(array, **fields))
    if said is None:
        assert read_pixels(path).shape == (3, 1, 5, 7)
    else:
        assert said in refused(path)
    assert capfd.readouterr() == ("", "")


def test_a_bomb_is_refused_by_its_header(tmp_path: Path) -> None:
    path = put(tmp_path, gzip.compress(nifti(XYZ, dim=[3, 2048, 2048, 65, 1, 1, 1, 1])))
    assert refused(path) == "65x2048x2048 pixels; 1 to 268435456 are read"
    dim = [4, 1024, 1024, 256, 9, 1, 1, 1]
    path = put(tmp_path, nifti(XYZ, dim=dim))
    assert "of 9 channels; at most" in refused(path)


def test_no_more_is_read_than_the_header_asks_for(tmp_path: Path) -> None:
    path = put(tmp_path, gzip.compress(nifti(XYZ) + bytes(2**27)))
    read_pixels(path)  # what the first call imports is not counted
    tracemalloc.start()
    np.testing.assert_array_equal(read_pixels(path)[0], XYZ.transpose(2, 1, 0))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2**20


def test_a_broken_checksum_is_seen(tmp_path: Path) -> None:
    data = bytearray(gzip.compress(nifti(XYZ)))
    data[-8] ^= 1
    assert "broken" in refused(put(tmp_path, bytes(data)))


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_cut_at_any_byte_it_is_refused(tmp_path: Path, pack: Any) -> None:
    data = pack(nifti(XYZ))
    for length in range(len(data)):
        refused(put(tmp_path, data[:length]))


@quick
@given(st.data())
def test_bytes_changed_at_random_never_raise_anything_else(
    tmp_path: Path, data: st.DataObject
) -> None:
    content = bytearray(nifti(XYZ))
    places = st.integers(0, 360)
    for place in data.draw(st.lists(places, min_size=1, max_size=4)):
        content[place] = data.draw(st.integers(0, 255))
    path = put(tmp_path, bytes(content))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(picture, "MAX_PIXELS", 2**14)
        with contextlib.suppress(DataError):
            assert read_pixels(path)[0].size <= 2**14


def test_gzip_in_which_something_else_lies_is_refused(tmp_path: Path) -> None:
    assert refused(put(tmp_path, gzip.compress(b"x" * 999))) == "not a NIfTI file"
    assert refused(put(tmp_path, gzip.compress(b""))) == "not a NIfTI file"


@pytest.mark.parametrize("name", ["mask.nii.gz", "mask.nii"])
@pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image])
def test_a_mask_lies_where_its_image_lies(tmp_path: Path, kind: Any, name: str) -> None:
    image = kind(XYZ, AFFINE)
    image.header.set_xyzt_units("mm", "sec")
    image.header.set_slope_inter(3, 1)
    source = put(tmp_path, image.to_bytes())
    before = source.read_bytes()
    labels = (XYZ.transpose(2, 1, 0) % 3).astype(np.int64)
    target = tmp_path / name
    write_mask(target, labels, classes=3, like=source)
    np.testing.assert_array_equal(read_mask(target), labels)
    written = loaded(target)
    np.testing.assert_array_equal(written.affine, AFFINE)
    assert written.header.get_zooms() == image.header.get_zooms()
    assert written.header.get_xyzt_units() == ("mm", "sec")
    assert written.get_data_dtype() == np.uint8
    np.testing.assert_array_equal(written.get_fdata(), XYZ % 3)
    first = target.read_bytes()
    write_mask(target, labels, classes=3, like=source)
    assert target.read_bytes() == first, "the same mask, the same bytes"
    assert name.endswith(".nii") or first[4:8] == bytes(4), "whenever it is written"
    assert source.read_bytes() == before


def test_probabilities_of_several_classes_are_a_fourth_axis(tmp_path: Path) -> None:
    values = RNG.random((2, 3, 5, 7), np.float32)
    target = tmp_path / "p.nii.gz"
    write_volume(target, values, put(tmp_path, nifti(XYZ)))
    np.testing.assert_array_equal(read_pixels(target), values)
    written = loaded(target)
    assert written.shape == (7, 5, 3, 2)
    np.testing.assert_array_equal(written.affine, AFFINE)


def test_without_nibabel_one_line_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = builtins.__import__

    def without(name: str, *rest: Any, **options: Any) -> Any:
        if name == "nibabel":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return found(name, *rest, **options)

    path = put(tmp_path, nifti(XYZ))
    monkeypatch.setattr(builtins, "__import__", without)
    wanted = "nibabel is not installed; pip install 'nestgen[3d]'"
    assert refused(path) == wanted


def test_the_voxels_are_not_read_for_the_size(tmp_path: Path) -> None:
    data = nifti(XYZ)[:352]
    with open_picture(put(tmp_path, data)) as opened:
        assert opened.size == (3, 5, 7)
