from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from nestgen.errors import DataError
from nestgen.imaging.overlay import COLOURS, overlay


def disc(side: int, label: int = 1) -> NDArray[np.int64]:
    rows, columns = np.mgrid[:side, :side] - side // 2
    return np.where(rows**2 + columns**2 < (side // 3) ** 2, label, 0)


@settings(max_examples=60, deadline=None)
@given(hnp.arrays(np.uint8, (7, 9), elements=st.integers(0, 3)))
def test_exactly_the_rim_of_each_object_is_drawn(labels: NDArray[Any]) -> None:
    drawn = overlay(np.zeros((1, 7, 9)), labels)
    padded = np.pad(labels, 1, mode="edge")
    for row, column in np.ndindex(7, 9):
        here = int(labels[row, column])
        around = padded[row : row + 3, column : column + 3]
        beside = {*around[1].tolist(), *around[:, 1].tolist()}
        rim = here != 0 and beside != {here}
        colour = COLOURS[here - 1] if rim else (0, 0, 0)
        assert tuple(drawn[row, column].tolist()) == colour


@pytest.mark.parametrize(("side", "width"), [(511, 1), (512, 2)])
def test_a_large_image_has_a_wider_line(side: int, width: int) -> None:
    labels = disc(side)
    drawn = overlay(np.zeros((3, side, side), np.uint8), labels).max(axis=-1) > 0
    middle = drawn[side // 2]
    assert middle.sum() == 2 * width
    assert not (drawn & (labels == 0)).any()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.float32])
@pytest.mark.parametrize("channels", [1, 2, 3, 4, 7])
def test_any_image_is_shown_in_full_range(channels: int, dtype: Any) -> None:
    ramp = np.linspace(10, 90, 100).reshape(1, 10, 10)
    drawn = overlay(np.repeat(ramp, channels, 0).astype(dtype), np.zeros((10, 10), int))
    assert drawn.shape == (10, 10, 3)
    assert drawn.dtype == np.uint8
    assert (drawn.min(), drawn.max()) == (0, 255)
    assert (drawn == drawn[..., :1]).all()


def test_one_hot_pixel_does_not_make_the_image_dark() -> None:
    pixels = np.tile(np.arange(100, dtype=np.uint16), (1, 100, 1))
    pixels[0, 0, 0] = 65535
    shown = overlay(pixels, np.zeros((100, 100), int))
    assert shown.mean() == pytest.approx(127, abs=3)


def test_the_unit_of_an_image_does_not_change_it() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (3, 20, 20), dtype=np.uint8)
    labels = disc(20, 3)
    same = overlay(pixels.astype(np.uint16) * 257, labels)
    np.testing.assert_array_equal(overlay(pixels, labels), same)


def test_neither_argument_is_changed_and_constants_are_shown() -> None:
    pixels, labels = np.full((1, 9, 9), 7, np.uint8), disc(9)
    before = labels.copy()
    assert overlay(pixels, labels).max() == max(COLOURS[0])
    assert (pixels == 7).all()
    np.testing.assert_array_equal(labels, before)


def test_colours_are_distinct_and_come_round() -> None:
    assert len(set(COLOURS)) == 7
    zeros = np.zeros((1, 9, 9))
    np.testing.assert_array_equal(
        overlay(zeros, disc(9, 1)), overlay(zeros, disc(9, 8))
    )


def test_sizes_must_agree() -> None:
    with pytest.raises(DataError, match=r"\(9, 8\) for an image of shape \(1, 9, 9\)"):
        overlay(np.zeros((1, 9, 9)), np.zeros((9, 8), int))


def test_a_faint_spot_on_nothing_is_shown() -> None:
    pixels = np.zeros((1, 30, 30), np.float32)
    pixels[0, 3, 4] = 0.01
    assert overlay(pixels, np.zeros((30, 30), int))[3, 4].tolist() == [255] * 3


def test_of_a_volume_the_plane_with_the_most_labels_is_drawn() -> None:
    labels = np.zeros((5, 20, 20), int)
    labels[1], labels[3] = disc(20), np.eye(20)
    pixels = np.random.default_rng(0).random((1, 5, 20, 20))
    drawn = overlay(pixels, labels)
    np.testing.assert_array_equal(drawn, overlay(pixels[:, 1], labels[1]))
    empty = overlay(pixels, labels * 0)
    np.testing.assert_array_equal(empty, overlay(pixels[:, 2], labels[2] * 0))
