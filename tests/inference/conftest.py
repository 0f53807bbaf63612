"""What the tests of the inference share."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from nestgen.arch.spec import NestSpec
from nestgen.codegen.load import build
from nestgen.training.outputs import by_level


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> Iterator[None]:
    """Networks this small wait for a second thread longer than they compute."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def network() -> Callable[..., nn.Module]:
    """Tiny networks of depth 2 that give mixed labels, at each level others."""

    def fresh(**fields: object) -> nn.Module:
        spec = NestSpec(**{"depth": 2, "widths": [2, 3, 4], **fields})
        return copy.deepcopy(_network(spec))

    return fresh


@functools.cache
def _network(spec: NestSpec) -> nn.Module:
    torch.manual_seed(1)
    side = 32 if spec.dims == 2 else 16
    model, x = build(spec), torch.randn(2, spec.in_channels, *[side] * spec.dims)
    with torch.no_grad():
        for _ in range(10):
            model.train()(x)
        for name, logits in by_level(model.eval()(x), spec.heads).items():
            middle = logits.transpose(0, 1).flatten(1).median(1).values
            model.get_parameter(f"head_{name}.bias").sub_(middle)
    return model


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """images/ and masks/ of 48 pictures of noise and a disc, 13 high and 16 wide."""
    folder = tmp_path_factory.mktemp("pictures")
    generator = np.random.default_rng(0)
    rows, columns = np.mgrid[:13, :16]
    for side in ("images", "masks"):
        (folder / side).mkdir()
    for index in range(48):
        y, x = generator.integers(3, 10, size=2)
        inside = (rows - y) ** 2 + (columns - x) ** 2 <= 9
        noise = generator.normal(0, generator.uniform(2, 60), (13, 16, 3))
        colours = (np.where(inside, 180, 60)[..., None] + noise).clip(0, 255)
        Image.fromarray(colours.astype(np.uint8)).save(
            folder / "images" / f"{index:02}.png"
        )
        mask = Image.fromarray((255 * inside).astype(np.uint8))
        mask.save(folder / "masks" / f"{index:02}.png")
    return folder
