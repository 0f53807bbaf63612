"""`nestgen train` and `nestgen levels` as a user meets them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from PIL import Image

from nestgen import checkpoint
from nestgen.cli import main
from nestgen.codegen.load import build

SHORT = ["--depth", "1", "--widths", "2", "--epochs", "1"]


def run(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


def refused(result: Result, status: int = 2) -> str:
    assert result.exit_code == status, result.output
    assert result.stderr.count("\n") == 1, result.stderr
    return result.stderr


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Four grey images with three labels and four with none but the background's."""
    root = tmp_path / "data"
    for seed, split in enumerate(("train", "val")):
        for side in ("images", "masks"):
            (root / split / side).mkdir(parents=True)
        for index in range(4):
            chance = np.random.default_rng([index, seed])
            noise = chance.integers(0, 255, (12, 20), np.uint8)
            mask = (noise // 100).astype(np.uint8)
            Image.fromarray(noise).save(root / split / "images" / f"{index}.png")
            Image.fromarray(mask).save(root / split / "masks" / f"{index}.png")
    return root


def test_reads_channels_and_classes_off_the_data(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    result = run("train", data, *SHORT, "-o", out)
    assert result.exit_code == 0, result.output
    spec = checkpoint.read_spec(out / "model.pt")
    assert (spec.in_channels, spec.classes, spec.heads) == (1, 3, (1,))
    state = checkpoint.read(out / "last.pt").extra
    assert state is not None
    assert state["settings"]["patch"] == [12, 20]
    lines = result.stdout.splitlines()
    assert lines[1].split()[0] == "1"
    assert lines[-1].startswith(f"wrote {out / 'model.pt'}: epoch 1, IoU")


def test_no_deep_supervision_trains_the_last_head(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    words = ["--depth", 2, "--widths", 2, "--epochs", 1, "--no-deep-supervision"]
    assert run("train", data, *words, "-o", out).exit_code == 0
    assert checkpoint.read_spec(out / "model.pt").heads == (2,)


@pytest.mark.parametrize(
    ("words", "dead"),
    [
        ("--family unet-e --no-deep-supervision", ["X[0,1]"]),
        ("--family unet-e --level-weight L1=0", ["X[0,1]", "head L1"]),
        ("--dense --level-weight L2=0", ["X[2,0]", "X[1,1]", "X[0,2]", "head L2"]),
        ("--family unet-e", []),
        ("--dense --no-deep-supervision", []),
        ("--family unet+ --no-deep-supervision", []),
        ("--family unet", []),
    ],
)
def test_warns_of_what_the_loss_does_not_train(
    words: str, dead: list[str], data: Path, tmp_path: Path
) -> None:
    out, short = tmp_path / "run", ["--depth", 2, "--widths", 2, "--epochs", 1]
    said = run("train", data, *short, *words.split(), "-o", out).stderr
    first, *others = said.splitlines()
    assert ("warning" in first) == bool(dead)
    assert "warning" not in "".join(others)
    again = run("train", data, "-o", out, "--resume").stderr
    assert again.splitlines()[0] == first
    if dead:
        assert f"reaches {', '.join(dead)}; " in first
        spec = checkpoint.read_spec(out / "last.pt")
        trained = checkpoint.load(out / "model.pt")
        torch.manual_seed(0)
        begun = dict(build(spec).named_parameters())
        assert sum(
            p.numel() for n, p in trained.named_parameters() if torch.equal(p, begun[n])
        ) == int(first.split("; ")[1].split()[0].replace(",", ""))


def test_one_folder_is_split(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    words = ["train", data / "train", *SHORT, "-o", out, "--val-fraction", 0.5]
    assert run(*words).exit_code == 0
    again = run("train", data / "train", "-o", out, "--resume")
    assert again.exit_code == 0, again.output


def test_a_run_is_not_lost(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert run("train", data, *SHORT, "-o", out).exit_code == 0
    before = (out / "last.pt").read_bytes()
    assert "--resume goes on, --force begins again" in refused(
        run("train", data, *SHORT, "-o", out)
    )
    assert "as it began" in refused(run("train", data, *SHORT, "-o", out, "--resume"))
    (data / "train" / "images" / "0.png").rename(data / "train" / "images" / "9.png")
    (data / "train" / "masks" / "0.png").rename(data / "train" / "masks" / "9.png")
    assert "other images" in refused(run("train", data, "-o", out, "--resume"))
    assert (out / "last.pt").read_bytes() == before
    assert run("train", data, *SHORT, "-o", out, "--force").exit_code == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--depth", 0], "depth: 0 is not allowed"),
        (["--classes", 2], "labels up to 2"),
        (["--patch", "13x20"], "patch: 13x20 is not allowed, multiples of 2"),
        (["--epochs", 0], "epochs: 0 is not allowed, 1 or more"),
        (["--level-weight", "L9=1"], "L9 is no level, L1"),
        (["--level-weight", "L1"], "as L2=0.5"),
        (["--val-fraction", 0.5], "has train/ and val/"),
        (["--resume"], "nothing can go on"),
    ],
)
def test_refuses(data: Path, tmp_path: Path, words: list[object], said: str) -> None:
    short = [] if words == ["--resume"] else SHORT[2:] if "--depth" in words else SHORT
    out = tmp_path / "run"
    assert said in refused(run("train", data, *short, *words, "-o", out))
    assert not out.exists()


def test_names_every_bad_file_before_the_first_step(data: Path, tmp_path: Path) -> None:
    (data / "train" / "images" / "0.png").write_bytes(b"")
    Image.new("L", (5, 5)).save(data / "train" / "masks" / "2.png")
    said = refused(run("train", data, *SHORT, "-o", tmp_path / "run"))
    assert "images/0.png" in said
    assert "images/2.png: 12x20, but its mask is 5x5" in said
    assert not (tmp_path / "run").exists()


@pytest.fixture
def model(data: Path, tmp_path: Path) -> Path:
    words = ["--depth", 2, "--widths", 2, "--epochs", 1]
    assert run("train", data, *words, "-o", tmp_path / "run").exit_code == 0
    return tmp_path / "run" / "model.pt"


def test_levels(model: Path, data: Path) -> None:
    words = ["levels", model, "--data", data / "val", "--rounds", 1]
    result = run(*words)
    assert result.exit_code == 0, result.output
    first = [line.split()[:1] for line in result.stdout.splitlines()]
    assert ["L1"] in first
    assert ["L2"] in first
    assert "choice: L" in result.stdout
    plots = [model.with_name(f"model-levels{s}") for s in (".png", ".svg")]
    assert all(plot.exists() for plot in plots)
    assert "exists already" in refused(run(*words))
    report = json.loads(run(*words, "--json", "--force").stdout)
    assert [level["level"] for level in report["levels"]] == ["L1", "L2"]
    assert report["choice"]["level"] in ("L1", "L2")


def test_levels_refuses(model: Path, data: Path, tmp_path: Path) -> None:
    words = ["levels", model, "--data", data / "val"]
    assert "one of .png, .svg, .pdf" in refused(run(*words, "-o", tmp_path / "a.gif"))
    assert "not a folder" in refused(run("levels", model, "--data", tmp_path / "none"))
    assert not list(model.parent.glob("*.png"))


RULES: list[tuple[list[object], str]] = [
    (["--margin", -1], "margin: -1.0 is not allowed, 0 or more"),
    (["--confidence", 95], "confidence: 95.0 is not allowed"),
    (["--class", 3], "class: 3 is not allowed, 1 to 2"),
    (["--metric", "f1"], "--metric: 'f1' is not allowed, iou, dice, PACKAGE"),
    (["--metric", "no.py:f"], "no.py:f: cannot be imported (FileNotFoundError"),
    (["--metric", "math:pi"], "math:pi: is no function"),
    (["--metric", "math:sqrt"], "math:sqrt: fails (TypeError: "),
    (["--metric", "math:dist", "--class", 1], "class: says nothing with a metric"),
    (["--max-params", "12x"], "'12x': a number, as 200000, 500k or 2MB"),
    (["--max-params", 2], "max_params: 2 is not allowed, the least that a level"),
    (["--max-ms", 0], "max_ms: 0 is not allowed, the least that a level has is"),
    (["--report", "DATA/val"], "and so among the images by which the choice is made"),
    (["--report", "none"], "not a folder"),
]


def test_refuses_a_rule(model: Path, data: Path) -> None:
    for words, said in RULES:
        whole = [data / "val" if word == "DATA/val" else word for word in words]
        options = ["--data", data / "val", *whole]
        assert said in refused(run("levels", model, *options, "--rounds", 1))
        assert said in refused(run("prune", model, "--level", "auto", *options))
    left = {path.name for path in model.parent.iterdir()}
    assert left == {"model.pt", "last.pt", "log.jsonl"}


def test_prune_auto_chooses_as_levels_does(model: Path, data: Path) -> None:
    # of these nothing cheaper can be shown, so a limit leaves L1
    words = ["--data", data / "val", "--max-params", "0.5k", "--class", 2]
    words += ["--report", data / "train", "--metric", "dice"]
    said = run("levels", model, *words, "--rounds", 1).stdout.splitlines()
    result = run("prune", model, "--level", "auto", *words)
    assert result.exit_code == 0, result.output
    told = result.stderr.splitlines()
    assert told == [line for line in said if line in told]
    assert told[-2] == "choice: L1, the best, and the cheapest"
    assert told[-1].startswith(
        "4 other images cannot test it: the limits leave no other"
    )
    assert model.with_name("model-L1.pt").exists()
    assert "auto chooses by --data" in refused(run("prune", model, "--level", "auto"))
    for word in (["--margin", 0.02], ["--report", data / "val"], ["--max-ms", 1]):
        error = refused(run("prune", model, "--level", 1, *word))
        assert "auto chooses by --data" in error
    theirs = ["--module", "torch.nn:Identity", "--example", "1,1", "--keep", "output"]
    error = refused(run("prune", *theirs, "--margin", 0.02))
    assert "--module goes with --keep, not MODEL" in error
    assert "auto chooses by --data" in refused(
        run("prune", model, "--level", 1, *words)
    )


def test_levels_tells_classes_metric_and_where_the_numbers_are_from(
    model: Path, data: Path, tmp_path: Path
) -> None:
    own = tmp_path / "mine.py"
    own.write_text("def right(found, true):\n    return (found == true).mean()\n")
    words = ["levels", model, "--data", data / "val", "--rounds", 1, "--force"]
    result = run(*words, "--metric", f"{own}:right")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    (header,) = [line for line in lines if line.split()[:1] == ["level"]]
    assert header.split()[-1] == "right"
    assert [line.split()[:2] for line in lines if "class " in line] == [
        ["class", "1"],
        ["class", "2"],
    ]
    assert "all numbers are of the 4 images by which it was chosen" in result.stdout
    report = json.loads(run(*words, "--metric", f"{own}:right", "--json").stdout)
    assert report["score"] == "right"
    assert "held_out" not in report


def test_an_accurate_network_is_cut_and_predicts(
    model: Path, data: Path, tmp_path: Path
) -> None:
    words = ["--data", data / "val", "--mode", "accurate", "--margin", 0]
    result = run("levels", model, *words, "--rounds", 1)
    assert result.exit_code == 0, result.output
    first = {line.split()[0] for line in result.stdout.splitlines() if line.strip()}
    assert {"L1", "L2", "L1-2"} <= first
    assert run("prune", model, "--level", "1-2").exit_code == 0
    cut, source = (model.with_name(name) for name in ("model-L1-2.pt", "model_L1_2.py"))
    assert source.exists()
    assert checkpoint.read_spec(cut).heads == (1, 2)
    images = data / "val" / "images"
    outs = [tmp_path / name for name in ("whole", "cut")]
    for file, out in zip((model, cut), outs, strict=True):
        flags = ["--mode", "accurate", "--probabilities"]
        assert run("predict", file, images, "-o", out, *flags).exit_code == 0
    for image in images.iterdir():
        one, other = (
            out / "probabilities" / image.with_suffix(".tif").name for out in outs
        )
        assert one.read_bytes() == other.read_bytes()


def test_the_best_beyond_the_limits_is_told(model: Path, data: Path) -> None:
    words = ["levels", model, "--data", data / "val", "--rounds", 1, "--force"]
    for class_ in (1, 2):
        report = json.loads(run(*words, "--class", class_, "--json").stdout)
        scores = {level["level"]: level["score"] for level in report["levels"]}
        lost = scores["L2"] - scores["L1"]
        limited = run(*words, "--class", class_, "--max-params", "0.5k").stdout
        line = "L2, the best of all, is beyond the limits: on 4 images "
        line += f"IoU of class {class_} {lost:.4f} above L1"
        assert (line in limited.splitlines()) == (lost > 0)
