from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from nestgen.errors import DataError
from nestgen.imaging import pairs as module
from nestgen.imaging.pairs import Pair, find_pairs, find_splits, load_labels

DATA = Path(os.environ.get("NESTGEN_DATA", "../shared/data"))
needs_data = pytest.mark.skipif(
    not DATA.is_dir(), reason="no folder of real images (NESTGEN_DATA)"
)


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def save(path: Path, labels: NDArray[Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(labels.astype(np.uint8)).save(path)


def names(pairs: tuple[Pair, ...]) -> list[str]:
    return [pair.name for pair in pairs]


def test_side_by_side(tmp_path: Path) -> None:
    root = touch(
        tmp_path,
        "images/b.PNG",
        "masks/b.tif",
        "images/c.0.nii.gz",
        "masks/c.0.NII",
        "images/a.b.jpg",
        "masks/a.b.bmp",
        "images/.hidden.png",
        "masks/Thumbs.db",
        "images/notes.txt",
        "README.md",
    )
    first, second, third = find_pairs(root)
    assert first == Pair("a.b", root / "images/a.b.jpg", (root / "masks/a.b.bmp",))
    assert second == Pair("b", root / "images/b.PNG", (root / "masks/b.tif",))
    mask = root / "masks/c.0.NII"
    assert third == Pair("c.0", root / "images/c.0.nii.gz", (mask,))


@pytest.mark.parametrize("inside", ["", "stage1_train/"])
def test_a_folder_for_each_image(tmp_path: Path, inside: str) -> None:
    touch(
        tmp_path,
        f"{inside}2/images/2.png",
        f"{inside}2/masks/y.png",
        f"{inside}2/masks/x.png",
        f"{inside}1/images/1.png",
        f"{inside}1/masks/z.png",
        f"{inside}1/masks/.z.png",
        f"{inside}.cache/images/3.png",
        f"{inside}labels.csv",
    )
    root = tmp_path / inside
    first, second = find_pairs(tmp_path)
    assert first == Pair(
        "1", root / "1/images/1.png", (root / "1/masks/z.png",), per_object=True
    )
    assert second.masks == (root / "2/masks/x.png", root / "2/masks/y.png")


def test_all_that_is_unpaired_is_told_at_once(tmp_path: Path) -> None:
    root = touch(
        tmp_path,
        "images/a.png",
        "images/b.png",
        "images/b.tif",
        "masks/b.png",
        "masks/c.png",
    )
    with pytest.raises(DataError) as error:
        find_pairs(root)
    assert str(error.value) == (
        f"3 problems: {root}/images/b.tif: b.png has the same name; "
        f"{root}/images/a.png: has no mask in masks/; "
        f"{root}/masks/c.png: has no image in images/"
    )


def test_all_that_is_unpaired_in_folders_is_told_at_once(tmp_path: Path) -> None:
    root = touch(
        tmp_path,
        "1/images/1.png",
        "2/masks/2.png",
        "3/images/3.png",
        "3/images/4.png",
        "3/masks/3.png",
        "5/images/5.png",
        "5/masks/5.png",
    )
    with pytest.raises(DataError) as error:
        find_pairs(root)
    assert str(error.value) == (
        f"3 problems: {root}/1/masks: has no mask; "
        f"{root}/2/images: has 0 images; ID/images/ has 1; "
        f"{root}/3/images: has 2 images; ID/images/ has 1"
    )


def test_twenty_problems_are_shown(tmp_path: Path) -> None:
    root = touch(tmp_path, "masks/0.png", *(f"images/{n}.png" for n in range(24)))
    with pytest.raises(DataError, match=r"^23 problems: ") as error:
        find_pairs(root)
    assert str(error.value).count("has no mask") == 23


def test_a_folder_with_neither_layout_says_what_was_looked_for(tmp_path: Path) -> None:
    touch(tmp_path, "a.png")
    for find in (find_pairs, find_splits):
        with pytest.raises(DataError, match="looked for images/ and masks/, or ID/"):
            find(tmp_path)
        with pytest.raises(DataError, match="not a folder"):
            find(tmp_path / "none")
    (tmp_path / "images").mkdir()
    with pytest.raises(DataError, match="has no images in images/"):
        find_pairs(tmp_path)


def dataset(root: Path, count: int) -> Path:
    for n in range(count):
        touch(root, f"images/{n}.png", f"masks/{n}.png")
    return root


def test_train_and_val_are_taken_as_they_are(tmp_path: Path) -> None:
    dataset(tmp_path / "train", 3)
    dataset(tmp_path / "val", 2)
    dataset(tmp_path / "test", 4)
    train, val = find_splits(tmp_path)
    assert (len(train), len(val)) == (3, 2)
    assert train[0].image.parent.parent.name == "train"
    with pytest.raises(DataError, match="has train/ and val/"):
        find_splits(tmp_path, 0.5)


def test_train_alone_is_split_on_request(tmp_path: Path) -> None:
    dataset(tmp_path / "train", 20)
    with pytest.raises(DataError, match="has train/ and no val/"):
        find_splits(tmp_path)
    train, val = find_splits(tmp_path, 0.5)
    assert len(train) + len(val) == 20


def test_a_split_is_a_partition_that_the_seed_alone_changes(tmp_path: Path) -> None:
    root = dataset(tmp_path, 60)
    train, val = find_splits(root, 0.3)
    assert sorted((*train, *val), key=lambda pair: pair.name) == list(find_pairs(root))
    assert len(val) == 18
    assert find_splits(root, 0.3) == (train, val)
    assert find_splits(root, 0.3, seed=1) != (train, val)
    assert find_splits(root)[1] == find_splits(root, 0.2)[1]
    assert set(find_splits(root, 0.1)[1]) < set(val)


@settings(max_examples=50, deadline=None)
@given(
    st.sets(st.text("abc012", min_size=1, max_size=4), min_size=12, max_size=60),
    st.integers(0, 99),
)
def test_a_split_stays_when_images_are_added(few: set[str], seed: int) -> None:
    def val(stems: set[str]) -> set[str]:
        pairs = tuple(Pair(stem, Path(stem), ()) for stem in sorted(stems))
        train, val = module._split(pairs, 0.4, seed)
        assert train
        assert val
        return set(names(val))

    many = few | {f"new{n}" for n in range(30)}
    stays = val(many) & few
    assert stays <= val(few) or stays >= val(few), "none has moved past another"


@pytest.mark.parametrize("fraction", [0, 1, -0.1, float("nan")])
def test_a_fraction_is_between_0_and_1(tmp_path: Path, fraction: float) -> None:
    with pytest.raises(DataError, match=r"val_fraction=.* between 0 and 1"):
        find_splits(dataset(tmp_path, 3), fraction)


@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("fraction", [1e-9, 1 - 1e-9])
def test_neither_side_is_left_empty(
    tmp_path: Path, count: int, fraction: float
) -> None:
    train, val = find_splits(dataset(tmp_path, count), fraction)
    assert min(len(train), len(val)) == 1


def test_one_image_cannot_be_split(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is alone"):
        find_splits(dataset(tmp_path, 1))


def test_masks_of_objects_are_united(tmp_path: Path) -> None:
    corner, row = np.zeros((2, 4, 5), int)
    corner[:2, :2] = 255
    row[1] = 7
    paths = (tmp_path / "1.png", tmp_path / "2.png")
    save(paths[0], corner)
    save(paths[1], row)
    pair = Pair("x", tmp_path / "x.png", paths, per_object=True)
    np.testing.assert_array_equal(load_labels(pair), (corner + row) > 0)
    # One object alone is 0 and 1 as well; a mask of labels is what it is.
    alone = Pair("x", pair.image, paths[1:], per_object=True)
    np.testing.assert_array_equal(load_labels(alone), row > 0)
    np.testing.assert_array_equal(load_labels(Pair("x", pair.image, paths[1:])), row)


def test_masks_of_objects_have_one_size(tmp_path: Path) -> None:
    paths = (tmp_path / "1.png", tmp_path / "2.png")
    save(paths[0], np.zeros((4, 5)))
    save(paths[1], np.zeros((5, 4)))
    pair = Pair("x", tmp_path / "x.png", paths, per_object=True)
    with pytest.raises(DataError, match=r"2\.png: 5x4, but 1\.png is 4x5"):
        load_labels(pair)


@needs_data
def test_real_folders_are_found() -> None:
    train, val = find_splits(DATA / "nuclei96")
    assert (len(train), len(val)) == (300, 120)
    pairs = find_pairs(DATA / "dsb2018-layout")
    assert len(pairs) == 8
    assert all(pair.per_object and pair.image.stem == pair.name for pair in pairs)
    assert set(np.unique(load_labels(pairs[0]))) == {0, 1}
