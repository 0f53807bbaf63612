"""What all tests share."""

from __future__ import annotations

import os
from collections.abc import Generator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import torch
from hypothesis import settings

# kernels run in Python on the CPU; settled when triton is imported, by torch too
os.environ.setdefault("TRITON_INTERPRET", "1")

# time says nothing about a machine that others use too
settings.register_profile("nestgen", deadline=None, derandomize=True)
settings.load_profile("nestgen")

try:
    import torchvision
except ImportError:
    pass
except RuntimeError:
    # its operators were built for another torch; timm imports it and calls none of them
    declared = torch.library.Library("torchvision", "DEF")  # type: ignore[no-untyped-call]
    for name in ("nms", "qnms"):
        schema = f"{name}(Tensor dets, Tensor scores, float iou) -> Tensor"
        declared.define(schema)  # type: ignore[no-untyped-call]
    import torchvision  # noqa: F401

# the tests' networks are so small that threads only wait for each other
os.environ.setdefault("OMP_NUM_THREADS", "1")
torch.set_num_threads(1)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Generator[None, object, object]:
    """Skip what Triton 3.6 cannot interpret with numpy >= 2.4, and say so."""
    try:
        return (yield)
    except Exception as error:
        known = type(error).__name__ == "InterpreterError"
        if known and "only 0-dimensional arrays" in str(error):
            found = version("triton")
            if found.startswith("3.6."):
                pytest.skip(
                    f"Triton {found} cannot interpret a range up to an argument with "
                    f"numpy {np.__version__}"
                )
        raise


BALLS = (7, 16, 20)
"""Depth, height and width of the volumes."""


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real nuclei, named by NESTGEN_DATA; skips where it is not there."""
    default = Path(__file__).parents[2] / "shared" / "data"
    folder = Path(os.environ.get("NESTGEN_DATA", default))
    if not folder.is_dir():
        pytest.skip(f"{folder}: no real images here; NESTGEN_DATA names their folder")
    return folder


def write_balls(folder: Path, number: int, seed: int = 0) -> Path:
    """`number` noisy volumes of thick slices with one ball each, and their masks."""
    generator = np.random.default_rng(seed)
    affine = np.diag([0.5, 0.5, 2, 1])
    for side in ("images", "masks"):
        (folder / side).mkdir(parents=True, exist_ok=True)
    z, y, x = np.mgrid[: BALLS[0], : BALLS[1], : BALLS[2]]
    for index in range(number):
        at = generator.integers(4, 12, size=2)
        inside = (2 * (z - 3)) ** 2 + (y - at[0]) ** 2 + (x - at[1]) ** 2 <= 16
        grey = np.where(inside, 140, 30) + generator.normal(0, 8, BALLS)
        for side, volume in (("images", grey), ("masks", inside)):
            stored = volume.clip(0, 255).astype(np.uint8).T
            path = folder / side / f"{index:02}.nii.gz"
            image: Any = nibabel.Nifti1Image(stored, affine)  # type: ignore[no-untyped-call]
            image.to_filename(path)
    return folder


@pytest.fixture(scope="session")
def volumes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """train/ and val/ of balls in volumes that are larger than their patches."""
    root = tmp_path_factory.mktemp("balls")
    write_balls(root / "train", 4)
    write_balls(root / "val", 3, seed=1)
    return root
