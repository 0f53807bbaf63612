from __future__ import annotations

import os
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

from nestgen.errors import DataError, OutputError
from nestgen.imaging.masks import classes_of, labels_for, read_mask, write_mask

LABELS = np.arange(48, dtype=np.uint8).reshape(6, 8) % 5

quick = settings(
    max_examples=50,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def shapes() -> Any:
    return hnp.array_shapes(min_dims=2, max_dims=2, max_side=9)


def indexed(labels: NDArray[Any]) -> Image.Image:
    height, width = labels.shape
    image = Image.frombytes("P", (width, height), labels.tobytes())
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255, 9, 9, 9, 1, 2, 3])
    return image


@pytest.mark.parametrize("suffix", [".png", ".tif", ".bmp"])
def test_one_bit_is_0_and_1_and_a_palette_its_indices(
    tmp_path: Path, suffix: str
) -> None:
    path = tmp_path / f"mask{suffix}"
    Image.fromarray(LABELS > 2).save(path)
    np.testing.assert_array_equal(read_mask(path), LABELS > 2)
    indexed(LABELS).save(path)
    np.testing.assert_array_equal(read_mask(path), LABELS)
    assert read_mask(path).dtype == np.uint8


@pytest.mark.parametrize("dtype", ["u1", "u2", "i4", "u4", "i2"])
def test_grey_values_are_the_labels(tmp_path: Path, dtype: str) -> None:
    labels = (LABELS * 25).astype(dtype)
    path = tmp_path / "mask.tif"
    tifffile.imwrite(path, labels)
    found = read_mask(path)
    np.testing.assert_array_equal(found, labels)
    assert found.dtype == (np.uint8 if dtype == "u1" else np.int64)


@pytest.mark.parametrize("mode", ["LA", "RGB", "RGBA"])
def test_colour_files_are_masks_where_the_colours_are_equal(
    tmp_path: Path, mode: str
) -> None:
    path = tmp_path / "mask.png"
    image = Image.fromarray(LABELS).convert(mode)
    if mode.endswith("A"):
        image.putalpha(Image.fromarray(255 - LABELS))
    image.save(path)
    np.testing.assert_array_equal(read_mask(path), LABELS)


def test_a_colour_mask_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mask.png"
    indexed(LABELS).convert("RGB").save(path)
    with pytest.raises(DataError, match="a colour mask; give label indices") as error:
        read_mask(path)
    assert str(error.value).startswith(f"{path}: ")


@pytest.mark.parametrize(
    ("array", "reason"),
    [
        (np.full((3, 4), 0.5, np.float32), "labels are whole numbers"),
        (np.full((3, 4), -1, np.int32), "label -1; labels are 0 or more"),
    ],
)
def test_fractions_and_negative_labels_are_refused(
    tmp_path: Path, array: NDArray[Any], reason: str
) -> None:
    path = tmp_path / "mask.tif"
    tifffile.imwrite(path, array)
    with pytest.raises(DataError, match=reason):
        read_mask(path)
    with pytest.raises(DataError, match=reason):
        write_mask(tmp_path / "mask.png", array)
    assert not (tmp_path / "mask.png").exists()


@quick
@given(hnp.arrays(np.int64, shapes(), elements=st.integers(0, 65535)))
def test_what_is_written_is_read(tmp_path: Path, labels: NDArray[Any]) -> None:
    path = tmp_path / "mask.png"
    write_mask(path, labels, classes=1 + int(labels.max(initial=1)))
    np.testing.assert_array_equal(read_mask(path), labels)
    write_mask(path, labels, classes=1)
    np.testing.assert_array_equal(read_mask(path), (labels != 0) * 255)
    np.testing.assert_array_equal(labels_for(read_mask(path), 1), labels != 0)
    with Image.open(path) as image:
        assert (image.mode, image.format) == ("L", "PNG")


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int64])
def test_binary_labels_are_written_as_0_and_255(tmp_path: Path, dtype: Any) -> None:
    path = tmp_path / "mask.png"
    write_mask(path, (LABELS > 2).astype(dtype))
    np.testing.assert_array_equal(read_mask(path), (LABELS > 2) * 255)
    # Of several classes, an image may have the first two alone.
    write_mask(path, (LABELS > 2).astype(dtype), classes=3)
    np.testing.assert_array_equal(read_mask(path), LABELS > 2)


def test_a_mask_is_written_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "mask.png"
    write_mask(path, LABELS)
    before = path.read_bytes()

    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(OutputError, match="No space left"):
        write_mask(path, LABELS * 0)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("name", "labels", "error"),
    [
        ("mask.tif", LABELS, OutputError),
        ("mask.png", LABELS[None], OutputError),
        ("mask.tif", LABELS[None, None], DataError),
        ("mask.nii.gz", np.full((2, 2, 2), 65536), DataError),
        ("mask.png", LABELS[:0], DataError),
        ("mask.png", np.full((2, 2), 65536), DataError),
    ],
)
def test_what_is_no_mask_is_not_written(
    tmp_path: Path, name: str, labels: NDArray[Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        write_mask(tmp_path / name, labels)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("values", "classes"),
    [
        ((0,), 1),
        ((0, 1), 1),
        ((0, 255), 1),
        ((255,), 1),
        ((0, 65535), 1),
        ((0, 1, 2), 3),
        ((1, 2), 3),
        ((0, 63, 7), 64),
    ],
)
def test_classes_follow_from_the_values(values: tuple[int, ...], classes: int) -> None:
    assert classes_of(values) == classes


@pytest.mark.parametrize("values", [(0, 1, 64), (0, 128, 255), tuple(range(0, 99, 3))])
def test_values_that_are_no_classes_are_refused(values: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match=f"up to {values[-1]}: .* 0 to 63"):
        classes_of(values)


@quick
@given(st.sets(st.integers(0, 63), min_size=1))
def test_labels_of_a_dataset_fit_its_own_classes(values: set[int]) -> None:
    labels = np.array([sorted(values)])
    classes = classes_of(values)
    fitted = labels_for(labels, classes)
    assert fitted.dtype == np.uint8
    assert fitted.max() < max(classes, 2)
    np.testing.assert_array_equal(fitted, labels != 0 if classes == 1 else labels)


def test_a_label_above_the_classes_is_refused() -> None:
    with pytest.raises(DataError, match="label 4: the network has classes 0 to 3"):
        labels_for(LABELS, 4)
    np.testing.assert_array_equal(labels_for(LABELS, 5), LABELS)
