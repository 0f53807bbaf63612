"""What an image goes through before the network sees it in training."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from monai.transforms import (
    Compose,
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


class Patches:
    """Cuts a patch out of an image, and varies it where `augment` is set.

    Flips, rotations by right angles, scale (0.8 to 1.25), and, on the standardised
    image, contrast and brightness. A smaller image is padded by reflection. What comes
    out depends on the image and the seed alone.
    """

    def __init__(self, patch: tuple[int, int], augment: bool) -> None:
        # mirrored where possible: an image may be smaller than what it is padded by
        square = patch[0] == patch[1]
        turn: list[Any] = [RandRotate90d(BOTH, prob=0.5)] if augment else []
        cut: list[Any] = [
            SpatialPadd(BOTH, spatial_size=patch, mode="symmetric"),
            RandSpatialCropd(BOTH, roi_size=patch, random_size=False),
        ]
        vary: list[Any] = [
            RandZoomd(
                BOTH,
                prob=0.5,
                min_zoom=0.8,
                max_zoom=1.25,
                mode=["bilinear", "nearest"],
                padding_mode="reflect",
            ),
            RandFlipd(BOTH, prob=0.5, spatial_axis=0),
            RandFlipd(BOTH, prob=0.5, spatial_axis=1),
            *(turn if square else []),
            RandScaleIntensityd("image", factors=0.25, prob=0.5),
            RandShiftIntensityd("image", offsets=0.25, prob=0.5),
        ]
        # what is turned after it was cut has to be square
        first = [] if square else turn
        self.transform = Compose(first + cut + (vary if augment else []))

    def __call__(
        self, image: NDArray[np.float32], labels: NDArray[np.uint8], seed: int
    ) -> tuple[Tensor, Tensor]:
        """float32 [C, h, w] and labels [1, h, w] from [C, H, W] and [H, W]."""
        self.transform.set_random_state(seed=seed)
        sample: dict[str, Any] = {"image": image, "labels": labels[None]}
        varied = self.transform(sample)
        return _plain(varied["image"]).float(), _plain(varied["labels"]).float()


def _plain(value: Any) -> Tensor:
    """A tensor without MONAI's record of what was done to it."""
    made = torch.as_tensor(value)
    return made.as_subclass(Tensor).contiguous()
