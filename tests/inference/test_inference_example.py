"""The example does what its docstring says."""

from __future__ import annotations

import runpy
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torch import nn

from nestgen.checkpoint import load, save
from nestgen.imaging.masks import read_mask
from nestgen.inference.predict import predict_file

EXAMPLE = Path(__file__).parents[2] / "examples/prune_and_predict.py"


def test_prune_and_predict(
    network: Callable[..., nn.Module],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    save(network(), tmp_path / "model.pt")
    image = tmp_path / "images" / "a.png"
    image.parent.mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (9, 13, 3), np.uint8)
    Image.fromarray(noise).save(image)
    out = tmp_path / "pruned"
    arguments = [tmp_path / "model.pt", 1, image.parent, "-o", out]
    runpy.run_path(str(EXAMPLE))["main"]([str(argument) for argument in arguments])
    small = load(out / "model-L1.pt")
    assert small.spec.heads == (1,)  # type: ignore[union-attr]
    labels = predict_file(small, image).labels
    np.testing.assert_array_equal(read_mask(out / "masks/a.png"), labels * 255)
    assert capsys.readouterr().out.startswith(f"{out / 'masks/a.png'}: ")
