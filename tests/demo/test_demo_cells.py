"""The demo's images: the same from the same seed, and worth learning from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from nestgen.demo.cells import blur, make_field, write_cells
from nestgen.imaging.inventory import check_pairs
from nestgen.imaging.pairs import find_pairs, find_splits, load_labels

FEW = {"train": 3, "val": 2, "test": 1}


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*.png")
    }


def test_a_seed_gives_the_same_bytes_and_another_gives_others(tmp_path: Path) -> None:
    for name, seed in (("one", 0), ("again", 0), ("other", 1)):
        write_cells(tmp_path / name, seed, FEW, side=48)
    one, again, other = (files(tmp_path / name) for name in ("one", "again", "other"))
    assert len(one) == 2 * sum(FEW.values())
    assert one == again
    assert one.keys() == other.keys()
    assert all(one[name] != other[name] for name in one)


def test_one_more_image_changes_no_other(tmp_path: Path) -> None:
    write_cells(tmp_path / "few", 0, FEW, side=48)
    write_cells(tmp_path / "more", 0, {**FEW, "train": 4}, side=48)
    few, more = files(tmp_path / "few"), files(tmp_path / "more")
    assert few.items() < more.items()


def test_no_two_images_are_alike(tmp_path: Path) -> None:
    write_cells(tmp_path, 0, FEW, side=48)
    images = [path.read_bytes() for path in tmp_path.glob("*/images/*.png")]
    assert len(set(images)) == len(images)


def test_what_is_written_is_a_data_set(tmp_path: Path) -> None:
    write_cells(tmp_path, 0, FEW, side=48)
    train, val = find_splits(tmp_path)
    assert (len(train), len(val), len(find_pairs(tmp_path / "test"))) == (3, 2, 1)
    found = check_pairs(train + val)
    assert (found.channels, found.classes, found.values) == (1, 1, (0, 255))
    assert found.sizes == (((48, 48), 5),)
    for index, pair in enumerate(train):
        image, mask = make_field(np.random.default_rng((0, 0, index)), 48)
        assert np.array_equal(load_labels(pair) > 0, mask)
        with Image.open(pair.image) as written:
            assert written.mode == "L"
            assert np.array_equal(np.array(written), image)


@pytest.mark.parametrize("seed", range(3))
def test_foreground_is_neither_rare_nor_everywhere(seed: int) -> None:
    shares = [
        make_field(np.random.default_rng((seed, index)), 96)[1].mean()
        for index in range(10)
    ]
    assert min(shares) > 0.01
    assert max(shares) < 0.75
    assert 0.2 < np.mean(shares) < 0.5
    assert max(shares) - min(shares) > 0.15  # sparse ones and crowded ones


def shrunk(mask: NDArray[np.bool_], pixels: int) -> NDArray[np.bool_]:
    """The mask without what is `pixels` or fewer steps away from its outside."""
    for _ in range(pixels):
        wide = np.pad(mask, 1, mode="edge")
        mask = (
            mask & wide[2:, 1:-1] & wide[:-2, 1:-1] & wide[1:-1, 2:] & wide[1:-1, :-2]
        )
    return mask


def test_cells_are_bright_rims_around_dim_insides() -> None:
    rims, insides, outsides = [], [], []
    for index in range(8):
        image, mask = make_field(np.random.default_rng(index), 96)
        rims.append(image[mask & ~shrunk(mask, 3)].mean())
        insides.append(image[shrunk(mask, 6)].mean())
        outsides.append(image[shrunk(~mask, 3)].mean())
    assert np.mean(rims) > 1.5 * np.mean(outsides)
    assert np.mean(rims) > 1.3 * np.mean(insides)


@pytest.mark.parametrize("index", range(4))
def test_a_mask_fits_its_image_where_it_lies_and_nowhere_else(index: int) -> None:
    image, mask = make_field(np.random.default_rng(index), 96)
    rim = mask & ~shrunk(mask, 3)
    moved = [np.roll(rim, 9, 0), np.roll(rim, 9, 1), rim[::-1], rim[:, ::-1], rim.T]
    assert image[rim].mean() > max(image[other].mean() for other in moved)


def test_blur_keeps_the_light_and_spreads_it() -> None:
    point = np.zeros((33, 33))
    point[16, 16] = 1.0
    spread = blur(point, 2.0)
    assert spread.sum() == pytest.approx(1.0)
    y, x = np.mgrid[:33, :33] - 16
    assert (spread * x**2).sum() == pytest.approx(4.0, rel=0.01)
    assert (spread * y**2).sum() == pytest.approx(4.0, rel=0.01)
