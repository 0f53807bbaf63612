"""`nestgen predict`: which files it writes, which it names, and how it ends."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from click.testing import CliRunner, Result
from PIL import Image
from torch import nn

from nestgen.checkpoint import load, save
from nestgen.cli import main
from nestgen.imaging.overlay import overlay
from nestgen.imaging.read import read_pixels
from nestgen.inference.predict import predict_file
from nestgen.surgery.cut import prune

Network = Callable[..., nn.Module]
RNG = np.random.default_rng(0)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["predict", *map(str, arguments)])


def error_of(result: Result, status: int = 2) -> str:
    assert result.exit_code == status, result.output
    assert result.stdout == ""
    (line,) = said(result)
    return line


def said(result: Result) -> list[str]:
    """The lines on stderr; the bar leaves an empty one where it goes away."""
    return [line for line in result.stderr.splitlines() if line]


def picture(path: Path, size: tuple[int, int] = (13, 9), mode: str = "RGB") -> Path:
    """An image of noise, `size` is width and height, in a mode of Pillow."""
    width, height = size
    colours = RNG.integers(0, 256, (height, width, 3), np.uint8)
    if mode == "I;16":
        deep = RNG.integers(0, 65536, (height, width)).astype(np.uint16)
        Image.fromarray(deep).save(path)
    else:
        Image.fromarray(colours).convert(mode).save(path)
    return path


def grey(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        assert image.format == "PNG"
        assert image.mode == "L"
        return np.array(image)


def tree(folder: Path) -> list[str]:
    """All files in a folder, hidden ones too."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return sorted(path.relative_to(folder).as_posix() for path in files)


@pytest.fixture(scope="session")
def model(network: Network, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("run") / "model.pt"
    save(network(), path)
    return path


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    return folder


def test_each_format_and_mode(model: Path, images: Path, tmp_path: Path) -> None:
    modes = {
        "png": ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"],
        "jpg": ["L", "RGB", "CMYK", "YCbCr"],
        "tif": ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "I", "F"],
        "bmp": ["L", "RGB"],
    }
    paths = [
        picture(images / f"{suffix}.{mode.replace(';', '_')}.{suffix}", mode=mode)
        for suffix, several in modes.items()
        for mode in several
    ]
    deep = images / "deep.tiff"
    tifffile.imwrite(
        deep, RNG.integers(0, 65536, (9, 13, 3), np.uint16), photometric="rgb"
    )
    result = run(model, images, "-o", tmp_path / "masks")
    assert result.exit_code == 0, result.output
    assert said(result) == []
    assert result.stdout.splitlines()[-1] == "predicted 24 of 24 images"
    network = load(model)
    for path in [*paths, deep]:
        mask = grey(tmp_path / "masks" / f"{path.stem}.png")
        assert mask.shape == (9, 13)
        np.testing.assert_array_equal(mask, predict_file(network, path).labels * 255)
    assert len(tree(tmp_path / "masks")) == 24


def test_each_mask_has_the_size_of_its_image(
    model: Path, images: Path, tmp_path: Path
) -> None:
    sizes = [(1, 1), (1, 6), (7, 1), (4, 4), (8, 8), (9, 17), (40, 33)]
    for width, height in sizes:
        picture(images / f"{width}x{height}.png", (width, height))
    flags = ("--probabilities", "--overlay")
    assert run(model, images, "-o", tmp_path / "out", *flags).exit_code == 0
    network, out = load(model), tmp_path / "out"
    for width, height in sizes:
        name = f"{width}x{height}"
        found = predict_file(network, images / f"{name}.png")
        mask = grey(out / f"{name}.png")
        np.testing.assert_array_equal(mask, found.labels * 255)
        values = tifffile.imread(out / "probabilities" / f"{name}.tif")
        np.testing.assert_array_equal(values, found.probabilities[0])
        drawn = overlay(read_pixels(images / f"{name}.png"), found.labels)
        with Image.open(out / "overlays" / f"{name}.png") as image:
            np.testing.assert_array_equal(np.array(image), drawn)
    assert len(tree(tmp_path / "out")) == 3 * len(sizes)


def test_accurate_up_to_a_level_is_the_mean_of_its_heads(
    network: Network, images: Path, tmp_path: Path
) -> None:
    model = network(depth=3, widths=[2, 3, 4, 5])
    save(model, tmp_path / "three.pt")
    path = picture(images / "a.png", (24, 16))
    words = [tmp_path / "three.pt", path, "-o", tmp_path / "out", "--probabilities"]
    file = tmp_path / "out" / "probabilities" / "a.tif"
    for level, heads in (("2", [1, 2]), ("3", [1, 2, 3])):
        result = run(*words, "--mode", "accurate", "--level", level, "--force")
        assert result.exit_code == 0, result.output
        found = predict_file(prune(model, heads), path, mode="accurate")
        np.testing.assert_array_equal(tifffile.imread(file), found.probabilities[0])
    assert run(*words, "--mode", "accurate", "--force").exit_code == 0
    np.testing.assert_array_equal(tifffile.imread(file), found.probabilities[0])
    absent = run(*words, "--mode", "accurate", "--level", 4, "--force")
    assert error_of(absent).endswith("levels L1, L2, L3")
    assert "is not one of 'fast', 'accurate'" in error_of(run(*words, "--mode", "best"))


def test_several_classes_are_written_as_indices(
    network: Network, images: Path, tmp_path: Path
) -> None:
    save(network(classes=4, in_channels=1), tmp_path / "four.safetensors")
    path = picture(images / "a.png", (30, 21))
    out = tmp_path / "out"
    result = run(tmp_path / "four.safetensors", path, "-o", out, "--probabilities")
    assert result.exit_code == 0, result.output
    found = predict_file(load(tmp_path / "four.safetensors"), path)
    assert len(np.unique(found.labels)) > 2
    np.testing.assert_array_equal(grey(out / "a.png"), found.labels)
    values = tifffile.imread(out / "probabilities/a.tif")
    assert values.dtype == np.float32
    np.testing.assert_array_equal(values, found.probabilities)


def test_two_classes_are_indices_too(
    network: Network, images: Path, tmp_path: Path
) -> None:
    save(network(classes=2), tmp_path / "two.pt")
    path = picture(images / "a.png")
    assert run(tmp_path / "two.pt", path, "-o", images / "m").exit_code == 0
    assert set(np.unique(grey(images / "m/a.png"))) == {0, 1}


def test_a_level_is_what_prune_leaves(
    model: Path, images: Path, tmp_path: Path
) -> None:
    path = picture(images / "a.png", (20, 12))
    values = {}
    for name, options in {"all": [], "1": ["--level", 1], "2": ["--level", 2]}.items():
        out = tmp_path / name
        result = run(model, path, "-o", out, "--probabilities", *options)
        assert result.exit_code == 0, result.output
        values[name] = tifffile.imread(out / "probabilities/a.tif")
    small = predict_file(prune(load(model), 1), path)
    np.testing.assert_array_equal(values["1"], small.probabilities[0])
    np.testing.assert_array_equal(values["2"], values["all"])
    assert not np.array_equal(values["1"], values["2"])


def test_at_a_level_only_what_it_needs_is_computed(
    model: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[nn.Module] = []

    def spy(network: nn.Module, *arguments: Any) -> Any:
        seen.append(network)
        return predict_file(network, *arguments)

    monkeypatch.setattr("nestgen.inference.predict.predict_file", spy)
    run(model, picture(images / "a.png"), "-o", tmp_path / "out", "--level", 1)
    wanted = prune(load(model), 1).state_dict()
    assert seen[0].state_dict().keys() == wanted.keys()


def test_a_level_that_is_not_there_is_named(
    model: Path, images: Path, tmp_path: Path
) -> None:
    path = picture(images / "a.png")
    line = error_of(run(model, path, "-o", tmp_path / "out", "--level", 3))
    assert line.startswith("nestgen: L3: ")
    assert line.endswith("has the levels L1, L2")
    assert not (tmp_path / "out").exists()


def test_bad_files_are_named_and_the_others_done(
    model: Path, images: Path, tmp_path: Path
) -> None:
    picture(images / "a.png")
    (images / "b.png").write_bytes(b"no image")
    picture(images / "c.tif")
    cut = picture(images / "d.png", (60, 60))
    cut.write_bytes(cut.read_bytes()[:2000])
    result = run(model, images, "-o", tmp_path / "out")
    assert result.exit_code == 1
    assert tree(tmp_path / "out") == ["a.png", "c.png"]
    first, second = said(result)
    reason = "not a PNG, JPEG, BMP, TIFF or NIfTI image"
    assert first == f"nestgen: {images / 'b.png'}: {reason}"
    assert second.startswith(f"nestgen: {cut}: ")
    assert result.stdout.splitlines() == [
        f"wrote {tmp_path / 'out' / 'a.png'}",
        f"wrote {tmp_path / 'out' / 'c.png'}",
        "predicted 2 of 4 images",
    ]


def test_nothing_but_bad_files_is_a_mistake(
    model: Path, images: Path, tmp_path: Path
) -> None:
    (images / "b.png").touch()
    result = run(model, images, "-o", tmp_path / "out")
    assert result.exit_code == 2
    assert result.stdout == "predicted 0 of 1 images\n"
    assert said(result) == [f"nestgen: {images / 'b.png'}: the file is empty"]
    assert not (tmp_path / "out").exists()


def test_json_has_what_was_written_and_what_not(
    model: Path, images: Path, tmp_path: Path
) -> None:
    picture(images / "a.png")
    (images / "b.png").touch()
    out = tmp_path / "out"
    result = run(model, images, "-o", out, "--json", "--overlay", "--probabilities")
    assert result.exit_code == 1
    printed = json.loads(result.stdout)
    assert printed["skipped"] == {str(images / "b.png"): "the file is empty"}
    names = [Path(file).relative_to(out).as_posix() for file in printed["written"]]
    assert sorted(names) == tree(out)
    assert len(names) == 3
    assert said(result) == [f"nestgen: {images / 'b.png'}: the file is empty"]


def test_a_pattern_picks_files(model: Path, images: Path, tmp_path: Path) -> None:
    for name in ("a1.png", "a2.jpg", "b1.png"):
        picture(images / name)
    assert run(model, images / "a*", "-o", tmp_path / "out").exit_code == 0
    assert tree(tmp_path / "out") == ["a1.png", "a2.png"]
    line = error_of(run(model, images / "x*", "-o", tmp_path / "none"))
    assert line.startswith(f"nestgen: {images / 'x*'}: no image")


def test_images_of_one_stem_are_refused(
    model: Path, images: Path, tmp_path: Path
) -> None:
    picture(images / "a.png")
    picture(images / "a.jpg")
    line = error_of(run(model, images, "-o", tmp_path / "out"))
    assert line.endswith("their masks would have one name")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("there", ["b.png", "probabilities/b.tif", "overlays/b.png"])
def test_nothing_is_overwritten_without_force(
    model: Path, images: Path, tmp_path: Path, there: str
) -> None:
    for name in ("a.png", "b.png", "c.png"):
        picture(images / name)
    kept = tmp_path / "out" / there
    kept.parent.mkdir(parents=True)
    kept.write_text("mine")
    arguments = (model, images, "-o", tmp_path / "out", "--probabilities", "--overlay")
    line = error_of(run(*arguments))
    assert line == f"nestgen: {kept}: exists already; --force overwrites"
    assert tree(tmp_path / "out") == [there]
    assert kept.read_text() == "mine"
    assert run(*arguments, "--force").exit_code == 0
    assert kept.read_bytes() != b"mine"
    assert len(tree(tmp_path / "out")) == 9


def test_masks_that_are_not_written_may_exist(
    model: Path, images: Path, tmp_path: Path
) -> None:
    path = picture(images / "a.png")
    (tmp_path / "out/overlays").mkdir(parents=True)
    (tmp_path / "out/overlays/a.png").touch()
    assert run(model, path, "-o", tmp_path / "out").exit_code == 0


def test_an_image_is_never_overwritten(
    model: Path, images: Path, tmp_path: Path
) -> None:
    path = picture(images / "a.png")
    before = path.read_bytes()
    (tmp_path / "link").symlink_to(images)
    for folder in (images, tmp_path / "link", images / ".." / "images"):
        line = error_of(run(model, images, "-o", folder, "--force"))
        assert line.endswith("a.png: is one of the images; give another folder")
    overlays = tmp_path / "overlays"
    overlays.mkdir()
    picture(overlays / "a.png")
    line = error_of(run(model, overlays, "-o", tmp_path, "--force", "--overlay"))
    assert line.startswith(f"nestgen: {overlays / 'a.png'}: is one of the images")
    assert path.read_bytes() == before
    assert tree(images) == ["a.png"]


def test_masks_may_lie_beside_images_of_other_names(model: Path, images: Path) -> None:
    picture(images / "a.tif")
    assert run(model, images, "-o", images).exit_code == 0
    assert tree(images) == ["a.png", "a.tif"]


def test_a_file_in_the_place_of_the_folder_is_named(model: Path, images: Path) -> None:
    path = picture(images / "a.png")
    line = error_of(run(model, path, "-o", model, "--force"))
    assert line == f"nestgen: {model}: is a file; the masks go into a folder"


def test_a_huge_image_is_skipped_and_the_others_done(
    model: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hungry(path: str, device: str) -> nn.Module:
        network = load(path, device=device)
        network.register_forward_pre_hook(
            lambda _, inputs: torch.empty(2**60) if inputs[0].shape[-1] > 60 else None
        )
        return network

    monkeypatch.setattr("nestgen.checkpoint.load", hungry)
    picture(images / "a.png", (70, 5))
    picture(images / "b.png")
    result = run(model, images, "-o", tmp_path / "out")
    assert result.exit_code == 1
    reason = "5x70 pixels on cpu: not enough memory"
    assert said(result) == [f"nestgen: {images / 'a.png'}: {reason}"]
    assert tree(tmp_path / "out") == ["b.png"]


@pytest.mark.parametrize("stop_at", range(1, 7))
def test_an_interrupt_leaves_whole_files_alone(
    model: Path,
    images: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    stop_at: int,
) -> None:
    picture(images / "a.png")
    picture(images / "b.png")
    calls = []
    durable = os.fsync

    def stop(file: int) -> None:
        calls.append(file)
        if len(calls) == stop_at:
            raise KeyboardInterrupt
        durable(file)

    monkeypatch.setattr(os, "fsync", stop)
    out = tmp_path / "out"
    result = run(model, images, "-o", out, "--probabilities", "--overlay")
    assert error_of(result, 130) == "nestgen: interrupted"
    written = tree(out)
    assert len(written) == stop_at - 1
    for name in written:
        assert read_pixels(out / name).shape[1:] == (9, 13)
    for mask in out.glob("*.png"):
        assert f"overlays/{mask.name}" in written
        assert f"probabilities/{mask.stem}.tif" in written


@pytest.mark.parametrize("name", ["gpu", "meta", "cuda:99"])
def test_a_device_that_is_not_there_is_named(
    model: Path, images: Path, tmp_path: Path, name: str
) -> None:
    path = picture(images / "a.png")
    result = run(model, path, "-o", tmp_path / "out", "--device", name)
    assert error_of(result).startswith(f"nestgen: --device: '{name}' is not there")


def test_a_device_can_be_chosen(model: Path, images: Path, tmp_path: Path) -> None:
    path = picture(images / "a.png")
    result = run(model, path, "-o", tmp_path / "out", "--device", "cpu")
    assert result.exit_code == 0, result.output


def test_a_model_that_is_none_is_named(model: Path, images: Path) -> None:
    path = picture(images / "a.png")
    line = error_of(run(model.with_name("no.pt"), path, "-o", images / "out"))
    assert line.startswith(f"nestgen: {model.with_name('no.pt')}: cannot be read")
