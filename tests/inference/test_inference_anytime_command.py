"""`nestgen calibrate`, and what `nestgen predict` does with what it found."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image
from torch import nn

from nestgen.checkpoint import load, read, save
from nestgen.cli import main
from nestgen.inference.anytime import Calibration, calibration_of
from nestgen.inference.predict import predict_file
from nestgen.surgery.cut import prune

Network = Callable[..., nn.Module]


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, list(map(str, arguments)))


def error_of(result: Result) -> str:
    assert result.exit_code == 2, result.output
    (line,) = [line for line in result.stderr.splitlines() if line]
    return line


@pytest.fixture
def model(network: Network, tmp_path: Path) -> Path:
    save(network(), tmp_path / "model.pt")
    return tmp_path / "model.pt"


@pytest.fixture
def stopping(network: Network, tmp_path: Path) -> Path:
    """A checkpoint whose images all stop at L1."""
    rule = Calibration("entropy", {"L1": (0.0, -1.0)}, -9.0, 0.01, 0.9, 80)
    file = tmp_path / "stopping.safetensors"
    save(network(), file, extra={"calibration": rule.to_plain()})
    return file


def labels(path: Path) -> Any:
    with Image.open(path) as image:
        return np.asarray(image) // 255


def test_what_it_finds_is_in_its_file(model: Path, pictures: Path) -> None:
    before = model.read_bytes()
    words = ("calibrate", model, "--data", pictures, "--rounds", 1, "--loss", 0.9)
    result = run(*words, "--json", "--plot", model.with_name("ways.svg"))
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    target = model.with_name("model-anytime.pt")
    assert told["written"] == [str(target), str(model.with_name("ways.svg"))]
    assert model.with_name("ways.svg").read_text("utf-8").startswith("<?xml")
    assert model.read_bytes() == before
    rule = calibration_of(load(target))
    assert rule.to_plain() == told["rule"]
    assert (rule.loss, rule.confidence, rule.images) == (0.9, 0.9, 32)
    assert list(told["signals"]) == ["agreement", "entropy", "gain"]
    assert [way["name"] for way in told["ways"]] == ["L1", "L2", "rule", "oracle"]
    assert all(sum(way["stopped"].values()) == 48 for way in told["ways"])


def test_it_prints_tables_and_its_promise(
    model: Path, pictures: Path, tmp_path: Path
) -> None:
    words = ("calibrate", model, "--data", pictures, "--rounds", 1)
    others = shutil.copytree(pictures, tmp_path / "others")
    for image in (others / "images").iterdir():
        with Image.open(image) as picture:
            Image.eval(picture, lambda grey: 255 - grey).save(image)
    few = ("--val-fraction", 0.25, "--report", others)
    result = run(*words, *few, "-o", model.with_name("out.pt"))
    assert result.exit_code == 0, result.output
    text = result.stdout
    assert "nothing could be certified on 8 images, every image goes to L2" in text
    assert "48 images; MACs and time of one, on average" in text


def test_what_calibrates_is_not_held_out(
    model: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not by another name of the folder either; before the network is read."""
    alias = model.with_name("alias")
    alias.symlink_to(pictures)
    monkeypatch.setattr("nestgen.cli.calibrate.load_on", None)
    for part in ((), ("--val-fraction", 0.25)):
        words = ("calibrate", model, "--data", pictures, *part, "--report", alias)
        line = error_of(run(*words))
        assert re.search(
            r"\.png: is .*, and so among the images by which the choice is", line
        )
    assert not model.with_name("model-anytime.pt").exists()


def test_nothing_is_overwritten(model: Path, pictures: Path) -> None:
    words = ("calibrate", model, "--data", pictures, "--rounds", 1)
    for target in (model, model.with_name("there.pt")):
        save(load(model), model.with_name("there.pt"))
        before = target.read_bytes()
        assert str(target) in error_of(run(*words, "-o", target))
        assert target.read_bytes() == before
    assert read(model).extra is None


def test_every_image_stops_where_the_rule_says(
    stopping: Path, pictures: Path, tmp_path: Path
) -> None:
    images, masks = pictures / "images", tmp_path / "masks"
    result = run("predict", stopping, images, "-o", masks, "--anytime")
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[-1] == "predicted 48 of 48 images, 48 at L1"
    small = prune(load(stopping), 1)
    for image in sorted(images.iterdir())[::8]:
        # 16 wide and 13 high are padded alike by the whole and by the cut
        expected = predict_file(small, image).labels
        differ = (labels(masks / image.name) != expected).mean()
        assert differ < 0.1, "rows near the padding may"


def test_a_budget_reaches_every_level_or_the_first(
    model: Path, pictures: Path, tmp_path: Path
) -> None:
    words = ("predict", model, pictures / "images", "--json", "-o")
    for budget, level in ((1e-6, "L1"), (1e6, "L2")):
        result = run(*words, tmp_path / level, "--budget-ms", budget)
        assert json.loads(result.stdout)["stopped"] == {level: 48}
    parts = run(*words, tmp_path / "parts", "--budget-ms", 1e-6, "--window", 8)
    assert json.loads(parts.stdout)["stopped"] == {"L2": 48}
    whole = run(*words, tmp_path / "whole")
    assert "stopped" not in json.loads(whole.stdout)
    for image in (pictures / "images").iterdir():
        same = [(tmp_path / name / image.name).read_bytes() for name in ("L2", "whole")]
        assert same[0] == same[1]


def test_sizes_go_apart_and_what_cannot_be_read_is_named(
    stopping: Path, tmp_path: Path
) -> None:
    images = tmp_path / "images"
    images.mkdir()
    generator = np.random.default_rng(0)
    sizes = [(9, 7), (9, 7), (12, 12), (9, 7), (5, 20)]
    for index, size in enumerate(sizes):
        pixels = generator.integers(0, 256, (*size, 3), np.uint8)
        Image.fromarray(pixels).save(images / f"{index}.png")
    (images / "3a.png").write_bytes(b"no image")
    result = run("predict", stopping, images, "-o", tmp_path / "masks", "--anytime")
    assert result.exit_code == 1
    assert result.stdout.splitlines()[-1] == "predicted 5 of 6 images, 5 at L1"
    assert "3a.png" in result.stderr
    for index, size in enumerate(sizes):
        assert labels(tmp_path / "masks" / f"{index}.png").shape == size


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--anytime",), "has no calibration, nestgen calibrate makes one"),
        (("--anytime", "--budget-ms", 5), "one of --level, --anytime and --budget-ms"),
        (("--anytime", "--level", 1), "one of --level, --anytime and --budget-ms"),
        (("--budget-ms", 5, "--level", 1), "one of --level, --anytime and"),
        (("--mode", "accurate", "--anytime"), "--mode accurate needs all heads"),
        (("--budget-ms", 0), "0 ms is not allowed, above 0"),
    ],
)
def test_what_makes_no_sense_is_one_line(
    options: tuple[object, ...],
    words: str,
    model: Path,
    pictures: Path,
    tmp_path: Path,
) -> None:
    masks = tmp_path / "masks"
    result = run("predict", model, pictures / "images", "-o", masks, *options)
    assert words in error_of(result)
    assert not masks.exists()


def test_a_cut_network_has_nowhere_to_stop(
    stopping: Path, pictures: Path, tmp_path: Path
) -> None:
    save(prune(load(stopping), 1), tmp_path / "cut.pt")
    for option in (("--anytime",), ("--budget-ms", 5)):
        words = ("predict", tmp_path / "cut.pt", pictures / "images", *option)
        line = error_of(run(*words, "-o", tmp_path / "masks"))
        assert "has the level L1 alone" in line


def test_a_cut_leaves_the_calibration_behind(stopping: Path) -> None:
    cut = stopping.with_name("cut.safetensors")
    result = run("prune", stopping, "--level", 1, "-o", cut)
    assert result.exit_code == 0, result.output
    assert read(stopping).extra is not None
    assert read(cut).extra is None
