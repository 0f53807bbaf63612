"""What an image goes through before the network sees it in training."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
import torch
from monai.transforms import (
    Compose,
    RandCropByPosNegLabeld,
    RandFlipd,
    RandRotate90d,
    RandScaleIntensityd,
    RandShiftIntensityd,
    RandSpatialCropd,
    RandZoomd,
    SpatialPadd,
)
from numpy.typing import NDArray
from torch import Tensor

BOTH = ["image", "labels"]
_LINEAR = {1: "linear", 2: "bilinear", 3: "trilinear"}
MOST_CENTRES = 2**20
"""The places of a volume of which one becomes the middle of a patch."""


class Patches:
    """Cuts a patch out of an image, and varies it where `augment` is set.

    Of a volume, every second patch has a labelled voxel in it, if there is any: objects
    fill little of it. Flips on all axes, rotations by right angles, scale (0.8 to
    1.25), and, on the standardised image, contrast and brightness. Turned are the
    planes of `turned_planes`. A smaller image is padded by reflection. What comes out
    depends on the image and the seed alone.
    """

    def __init__(
        self, patch: tuple[int, ...], augment: bool, multiples: Sequence[int]
    ) -> None:
        axes = range(len(patch))
        before: list[Any] = []
        after: list[Any] = []
        for plane in turned_planes(patch, multiples) if augment else ():
            turn = RandRotate90d(BOTH, prob=0.5, spatial_axes=plane)
            # what is turned after it was cut has to be square
            square = patch[plane[0]] == patch[plane[1]]
            (after if square else before).append(turn)
        vary: list[Any] = [
            RandZoomd(
                BOTH,
                prob=0.5,
                min_zoom=0.8,
                max_zoom=1.25,
                mode=[_LINEAR[len(patch)], "nearest"],
                # two slices become one: nothing is left that could be mirrored
                padding_mode="reflect" if min(patch) > 2 else "edge",
            ),
            *(RandFlipd(BOTH, prob=0.5, spatial_axis=axis) for axis in axes),
            *after,
            RandScaleIntensityd("image", factors=0.25, prob=0.5),
            RandShiftIntensityd("image", offsets=0.25, prob=0.5),
        ]
        # mirrored where possible: an image may be smaller than what it is padded by
        pad = SpatialPadd(BOTH, spatial_size=patch, mode="symmetric")
        steps = [*before, pad, *_cut(patch), *(vary if augment else [])]
        self.transform = Compose(steps)

    def __call__(
        self, image: NDArray[np.float32], labels: NDArray[np.uint8], seed: int
    ) -> tuple[Tensor, Tensor]:
        """float32 [C, *patch] and labels [1, *patch] from [C, *size] and [*size]."""
        self.transform.set_random_state(seed=seed)
        varied: Any = self.transform({"image": image, "labels": labels[None]})
        if isinstance(varied, list):  # of a crop that could give several
            (varied,) = varied
        return _plain(varied["image"]).float(), _plain(varied["labels"]).float()


def turned_planes(
    patch: Sequence[int], multiples: Sequence[int]
) -> list[tuple[int, int]]:
    """The pairs of axes in whose plane an image may be turned by a right angle.

    The last two, and any other two on which patch and network are alike: where slices
    are thicker than pixels, both are not.

    >>> turned_planes((64, 64, 64), (16, 16, 16)), turned_planes((8, 64, 64), (4, 8, 8))
    ([(0, 1), (0, 2), (1, 2)], [(1, 2)])
    """
    sides = list(zip(patch, multiples, strict=True))
    planes = list(combinations(range(len(sides)), 2))
    return [
        (one, other)
        for one, other in planes
        if sides[one] == sides[other] or (one, other) == planes[-1]
    ]


def _cut(patch: tuple[int, ...]) -> list[Any]:
    if len(patch) < 3:
        return [RandSpatialCropd(BOTH, roi_size=patch, random_size=False)]
    crop = RandCropByPosNegLabeld(
        BOTH,
        label_key="labels",
        spatial_size=patch,
        fg_indices_key="labelled",
        bg_indices_key="anywhere",
    )
    return [_add_centres, crop]


def _add_centres(sample: dict[str, Any]) -> dict[str, Any]:
    """Flat indices of the voxels around which a patch may be cut, few of a large image.

    MONAI itself would list every voxel, eight bytes each.
    """
    labels = np.asarray(sample["labels"]).ravel()
    anywhere = np.arange(0, labels.size, -(-labels.size // MOST_CENTRES))
    labelled = np.flatnonzero(labels)
    labelled = labelled[:: -(-labelled.size // MOST_CENTRES) or 1]
    some = labelled if labelled.size else anywhere
    return {**sample, "labelled": some, "anywhere": anywhere}


def _plain(value: Any) -> Tensor:
    """A tensor without MONAI's record of what was done to it."""
    made = torch.as_tensor(value)
    return made.as_subclass(Tensor).contiguous()
