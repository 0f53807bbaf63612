"""What all tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from hypothesis import settings

# time says nothing about a machine that others use too
settings.register_profile("nestgen", deadline=None, derandomize=True)
settings.load_profile("nestgen")

# the tests' networks are so small that threads only wait for each other
os.environ.setdefault("OMP_NUM_THREADS", "1")
torch.set_num_threads(1)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real nuclei, named by NESTGEN_DATA; skips where it is not there."""
    default = Path(__file__).parents[2] / "shared" / "data"
    folder = Path(os.environ.get("NESTGEN_DATA", default))
    if not folder.is_dir():
        pytest.skip(f"{folder}: no real images here; NESTGEN_DATA names their folder")
    return folder
