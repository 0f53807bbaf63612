from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from nestgen.errors import DataError
from nestgen.imaging.inventory import Inventory, check_pairs
from nestgen.imaging.pairs import Pair, find_pairs

DATA = Path(os.environ.get("NESTGEN_DATA", "../shared/data"))
GREY = np.zeros((4, 6), np.uint8)
COLOUR = np.zeros((4, 6, 3), np.uint8)
BANDS = np.zeros((4, 6, 5), np.uint8)
NOISE = np.arange(96, dtype=np.uint8).reshape(8, 12)
BINARY = np.eye(4, 6, dtype=np.uint8)


def add(root: Path, name: str, image: NDArray[Any], mask: NDArray[Any]) -> None:
    for side in ("images", "masks"):
        (root / side).mkdir(parents=True, exist_ok=True)
    if image.shape[-1] == 5:
        tifffile.imwrite(
            root / f"images/{name}.tif",
            image,
            photometric="minisblack",
            planarconfig="contig",
        )
    else:
        Image.fromarray(image).save(root / f"images/{name}.png")
    Image.fromarray(mask).save(root / f"masks/{name}.png")


def test_a_dataset_in_numbers(tmp_path: Path) -> None:
    add(tmp_path, "a", GREY, BINARY * 2)
    add(tmp_path, "b", COLOUR, BINARY)
    add(tmp_path, "c", GREY[:2], BINARY[:2])
    seen: list[Pair] = []
    pairs = find_pairs(tmp_path)
    found = check_pairs(pairs, seen.append)
    assert found == Inventory(3, 3, (((4, 6), 2), ((2, 6), 1)), (0, 1, 2))
    assert found.classes == 3
    assert tuple(seen) == pairs


@pytest.mark.parametrize(
    ("image", "channels"),
    [(GREY, 1), (COLOUR, 3), (np.zeros((4, 6, 4), np.uint8), 3), (BANDS, 5)],
)
def test_channels_follow_from_the_images(
    tmp_path: Path, image: NDArray[Any], channels: int
) -> None:
    add(tmp_path, "a", image, BINARY * 255)
    found = check_pairs(find_pairs(tmp_path))
    assert (found.channels, found.classes, found.values) == (channels, 1, (0, 255))


def test_all_problems_come_at_once(tmp_path: Path) -> None:
    add(tmp_path, "cut", GREY, BINARY)
    add(tmp_path, "empty", GREY, BINARY)
    add(tmp_path, "good", GREY, BINARY)
    add(tmp_path, "noise", NOISE, NOISE)
    add(tmp_path, "size", GREY, BINARY[:, :5])
    add(tmp_path, "text", GREY, BINARY)
    add(tmp_path, "bands", BANDS, BINARY)
    add(tmp_path, "void", COLOUR, BINARY * 255)
    cut = tmp_path / "images/cut.png"
    cut.write_bytes(cut.read_bytes()[:30])
    (tmp_path / "masks/empty.png").write_bytes(b"")
    (tmp_path / "images/text.png").write_bytes(b"text")
    with pytest.raises(DataError) as error:
        check_pairs(find_pairs(tmp_path))
    message = str(error.value)
    assert message.startswith("7 problems: ")
    assert "\n" not in message
    for part in (
        f"{cut}: broken",
        "masks/empty.png: the file is empty",
        "masks/noise.png: has 96 label values; at most 64 are classes",
        "images/size.png: 4x6, but its mask is 4x5",
        "images/text.png: not a PNG",
        "images of 1, 3, 5 channels in one dataset",
        "label values 0, 1, 255 up to 255: ",
    ):
        assert part in message


def test_more_than_twenty_problems_are_counted(tmp_path: Path) -> None:
    for n in range(23):
        add(tmp_path, f"{n:02}", GREY, BINARY[:3])
    with pytest.raises(DataError, match=r"^23 problems: .*19\.png: .*22\.png: "):
        check_pairs(find_pairs(tmp_path))


def test_masks_that_are_all_empty_are_refused(tmp_path: Path) -> None:
    add(tmp_path, "a", GREY, BINARY * 0)
    with pytest.raises(DataError, match="1 problem: all masks are empty"):
        check_pairs(find_pairs(tmp_path))
    add(tmp_path, "b", GREY, BINARY)
    assert check_pairs(find_pairs(tmp_path)).values == (0, 1)


def test_no_images_are_no_dataset() -> None:
    with pytest.raises(DataError, match="no images to check"):
        check_pairs(())


@pytest.mark.skipif(not DATA.is_dir(), reason="no real images (NESTGEN_DATA)")
@pytest.mark.parametrize(
    ("folder", "images", "sizes"),
    [("nuclei96/val", 120, 1), ("nuclei-full", 19, 7), ("dsb2018-layout", 8, 1)],
)
def test_real_data_is_in_order(folder: str, images: int, sizes: int) -> None:
    found = check_pairs(find_pairs(DATA / folder))
    assert (found.images, found.channels, len(found.sizes)) == (images, 3, sizes)
    assert (found.values, found.classes) == ((0, 1), 1)


def test_volumes_are_a_dataset_and_not_among_images(tmp_path: Path) -> None:
    for side in ("images", "masks"):
        (tmp_path / side).mkdir()
        volume = np.arange(2 * 4 * 6, dtype=np.uint8).reshape(2, 4, 6) % 3
        path = tmp_path / side / "a.tif"
        tifffile.imwrite(path, volume, photometric="minisblack")
    found = check_pairs(find_pairs(tmp_path))
    assert (found.dims, found.sizes, found.classes) == (3, (((2, 4, 6), 1),), 3)
    add(tmp_path, "b", GREY, BINARY)
    with pytest.raises(DataError, match="1 problem: images and volumes in one data"):
        check_pairs(find_pairs(tmp_path))
