"""What a data set says about its network, axis by axis."""

from __future__ import annotations

import pytest

from nestgen.errors import DataError
from nestgen.imaging.inventory import Inventory
from nestgen.training.prepare import check_dims, patch_size


@pytest.mark.parametrize(
    ("sizes", "multiples", "patch"),
    [
        # one size: the images as they are
        ([(100, 90)], (16, 16), (112, 96)),
        ([(300, 90)], (16, 16), (256, 96)),
        ([(20, 300, 300)], (16, 16, 16), (32, 64, 64)),
        ([(20, 300, 300)], (1, 8, 8), (20, 64, 64)),
        ([(3, 40, 50)], (4, 16, 16), (8, 48, 64)),
        # several: height and width alike, so that patches can be turned
        ([(100, 90), (30, 120)], (16, 16), (128, 128)),
        ([(20, 40, 30), (24, 20, 50)], (8, 8, 8), (24, 56, 56)),
        ([(200, 40, 30), (24, 20, 50)], (8, 8, 8), (64, 56, 56)),
    ],
)
def test_the_patch_follows_from_the_images(
    sizes: list[tuple[int, ...]], multiples: tuple[int, ...], patch: tuple[int, ...]
) -> None:
    inventory = Inventory(9, 1, tuple((size, 1) for size in sizes), (0, 1))
    assert patch_size(inventory, multiples) == patch


def test_axes_of_images_and_network_agree() -> None:
    volumes = Inventory(1, 1, (((8, 8, 8), 1),), (0, 1))
    check_dims(volumes, 3)
    with pytest.raises(DataError, match="dims: 2 is not allowed, the images have 3"):
        check_dims(volumes, 2)
