"""The way of volumes through the commands: train, levels, prune, predict."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import tifffile
from click.testing import CliRunner, Result
from PIL import Image

from nestgen import checkpoint
from nestgen.cli import main
from nestgen.imaging.masks import read_mask
from nestgen.imaging.read import read_pixels
from nestgen.inference.predict import predict_file

SPEC = """
depth = 2
widths = 4
strides = [[1, 2, 2], 2]
kernel_sizes = [[1, 3, 3], 3, 3]
"""
"""For slices that are thicker than pixels."""


def run(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


def done(*words: object) -> str:
    result = run(*words)
    assert result.exit_code == 0, result.output
    return result.stdout


def refused(result: Result) -> str:
    assert result.exit_code == 2, result.output
    (line,) = [line for line in result.stderr.splitlines() if line]
    return line


@pytest.fixture(scope="module")
def model(volumes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("volumes")
    (out / "thick.toml").write_text(SPEC)
    words = ["--spec", out / "thick.toml", "--epochs", 2, "--patch", "4x16x16"]
    done("train", volumes, *words, "-o", out / "run")
    return out / "run" / "model.pt"


def test_train_fuses_no_volumes(volumes: Path, tmp_path: Path) -> None:
    words = ["--depth", 1, "--widths", 2, "--epochs", 1, "--fused", "-o"]
    said = refused(run("train", volumes, *words, tmp_path / "run"))
    assert "nothing of it can be fused for training, its kernel is 3x3x3" in said
    assert not (tmp_path / "run").exists()


def test_train_reads_the_axes_off_the_data(model: Path) -> None:
    spec = checkpoint.read_spec(model)
    assert (spec.dims, spec.in_channels, spec.classes) == (3, 1, 1)
    extra = checkpoint.read(model.with_name("last.pt")).extra
    assert extra is not None
    assert extra["settings"]["patch"] == [4, 16, 16]
    assert extra["settings"]["batch_size"] == 2


def test_without_a_patch_it_is_the_volume(volumes: Path, tmp_path: Path) -> None:
    words = ["--depth", 1, "--widths", 2, "--epochs", 1, "-o", tmp_path / "run"]
    done("train", volumes, *words)
    extra = checkpoint.read(tmp_path / "run" / "last.pt").extra
    assert extra is not None
    assert extra["settings"]["patch"] == [8, 16, 20]


def test_from_the_levels_to_the_mask(
    model: Path, volumes: Path, tmp_path: Path
) -> None:
    val = volumes / "val"
    words = ["levels", model, "--data", val, "--rounds", 1, "--json"]
    whole = json.loads(done(*words))
    assert whole["timed_at"] == [8, 16, 20]
    by_window = json.loads(done(*words, "--window", "4x16x16"))
    assert by_window["timed_at"] == [4, 16, 16]
    assert by_window["levels"][1]["peak_bytes"] < whole["levels"][1]["peak_bytes"]
    table = done(
        "levels", model, "--data", val, "--rounds", 1, "-o", tmp_path / "a.png"
    )
    assert "time and memory at 8x16x20, batch 1" in table
    cut = tmp_path / "cut.pt"
    done(
        "prune",
        model,
        "--level",
        "auto",
        "--data",
        val,
        "--max-params",
        "4k",
        "-o",
        cut,
    )
    assert checkpoint.read_spec(cut).depth == 1
    done("predict", cut, val / "images", "-o", tmp_path / "masks", "--overlay")
    for image in sorted((val / "images").iterdir()):
        found = predict_file(checkpoint.load(cut), image)
        mask = tmp_path / "masks" / image.name
        np.testing.assert_array_equal(read_mask(mask), found.labels * 255)
        written: Any = nibabel.load(mask)
        np.testing.assert_array_equal(written.affine, np.diag([0.5, 0.5, 2, 1]))
        drawn = tmp_path / "masks" / "overlays" / image.name
        drawn = drawn.with_name(drawn.name.replace(".nii.gz", ".png"))
        assert read_pixels(drawn).shape == (3, 16, 20)


def test_a_stack_of_pages_gets_one(model: Path, volumes: Path, tmp_path: Path) -> None:
    volume = read_pixels(next((volumes / "val" / "images").iterdir()))[0]
    image, out = tmp_path / "stack.tif", tmp_path / "out"
    tifffile.imwrite(image, volume, photometric="minisblack")
    flags = ("--probabilities", "--window", "4x16x16")
    done("predict", model, image, "-o", out, *flags)
    found = predict_file(checkpoint.load(model), image, (4, 16, 16))
    np.testing.assert_array_equal(read_mask(out / "stack.tif"), found.labels * 255)
    values = read_pixels(out / "probabilities" / "stack.tif")
    np.testing.assert_array_equal(values, found.probabilities)
    first = (out / "stack.tif").read_bytes()
    done("predict", model, image, "-o", out, *flags, "--force")
    assert (out / "stack.tif").read_bytes() == first


def test_an_image_is_no_volume(model: Path, tmp_path: Path) -> None:
    Image.new("L", (9, 8)).save(tmp_path / "a.png")
    result = run("predict", model, tmp_path / "a.png", "-o", tmp_path / "out")
    said = f"nestgen: {tmp_path / 'a.png'}: 8x9 is 2-D; the network takes volumes"
    assert refused(result) == said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--dims", 2], "dims: 2 is not allowed, the images have 3 axes"),
        (["--patch", "8x16"], "patch: 8x16 is not allowed"),
        (
            ["--patch", "8x16x18"],
            "patch: 8x16x18 is not allowed, multiples of 4 from 8",
        ),
    ],
)
def test_train_refuses(
    volumes: Path, tmp_path: Path, words: list[object], said: str
) -> None:
    short = ["--depth", 2, "--widths", 2, "--epochs", 1, "-o", tmp_path / "run"]
    assert said in refused(run("train", volumes, *short, *words))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("window", ["16x16", "4x16x17", "2x16x16"])
def test_predict_refuses_a_window(
    model: Path, volumes: Path, tmp_path: Path, window: str
) -> None:
    words = [model, volumes / "val" / "images", "-o", tmp_path / "out"]
    line = refused(run("predict", *words, "--window", window))
    assert f"{window} is not allowed" in line
    assert not (tmp_path / "out").exists()


def test_images_among_volumes_are_named(volumes: Path, tmp_path: Path) -> None:
    for split in ("train", "val"):
        for side in ("images", "masks"):
            (tmp_path / split / side).mkdir(parents=True)
            source = sorted((volumes / split / side).iterdir())[0]
            (tmp_path / split / side / source.name).write_bytes(source.read_bytes())
    for side in ("images", "masks"):
        grey = Image.linear_gradient("L").resize((20, 16))
        grey.save(tmp_path / "train" / side / "a.png")
    words = ["--depth", 1, "--epochs", 1, "-o", tmp_path / "run"]
    assert "images and volumes in one dataset" in refused(
        run("train", tmp_path, *words)
    )
