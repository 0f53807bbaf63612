"""A small data set of discs, and settings that train on it in a second."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nestgen.arch.spec import NestSpec
from nestgen.training.settings import Settings

SIDE = 16


def write_discs(folder: Path, number: int, classes: int = 1, seed: int = 0) -> Path:
    """`number` noisy images of one disc each, and their masks."""
    generator = np.random.default_rng(seed)
    rows, columns = np.mgrid[:SIDE, :SIDE]
    for side in ("images", "masks"):
        (folder / side).mkdir(parents=True, exist_ok=True)
    for index in range(number):
        y, x = generator.integers(4, SIDE - 4, size=2)
        inside = (rows - y) ** 2 + (columns - x) ** 2 <= 9
        label = 1 + index % max(1, classes - 1)
        grey = np.where(inside, 60 * label + 80, 30) + generator.normal(
            0, 8, (SIDE, SIDE)
        )
        Image.fromarray(grey.clip(0, 255).astype(np.uint8)).save(
            folder / "images" / f"{index:02}.png"
        )
        mask = np.where(inside, 255 if classes == 1 else label, 0).astype(np.uint8)
        Image.fromarray(mask).save(folder / "masks" / f"{index:02}.png")
    return folder


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """train/ and val/ of binary discs."""
    root = tmp_path_factory.mktemp("discs")
    write_discs(root / "train", 6)
    write_discs(root / "val", 4, seed=1)
    return root


@pytest.fixture
def make_discs() -> Callable[..., Path]:
    """How other discs are made."""
    return write_discs


@pytest.fixture
def spec() -> NestSpec:
    """Dropout, so that a run that does not count its randomness is found out."""
    return NestSpec(depth=2, widths=2, in_channels=1, block={"dropout": 0.2})


@pytest.fixture
def settings() -> Settings:
    """Three epochs of sixteen steps."""
    return Settings(epochs=3, batch_size=2, patch=(SIDE, SIDE), learning_rate=1e-2)
