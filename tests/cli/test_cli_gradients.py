"""`nestgen gradients` on specs and files, and the warning of `nestgen train`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner, Result

from nestgen.arch.spec import NestSpec
from nestgen.checkpoint import save
from nestgen.cli import main
from nestgen.codegen.load import build
from nestgen.codegen.source import source

ENSEMBLE = NestSpec(family="unet-e", depth=2, widths=2, heads=[2])


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def call(*words: object) -> Result:
    return CliRunner().invoke(main, ["gradients", *map(str, words)])


def report(*words: object) -> dict[str, Any]:
    result = call(*words, "--json")
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def dead(found: dict[str, Any]) -> list[str]:
    return [part["name"] for part in found["parts"]]


def test_spec_checkpoint_and_source_say_the_same(folder: Path) -> None:
    (folder / "e.toml").write_text(
        'family = "unet-e"\ndepth = 2\nwidths = 2\nheads = [2]\n'
    )
    (folder / "e.py").write_text(source(ENSEMBLE))
    save(build(ENSEMBLE), folder / "e.pt")
    words = ["--family", "unet-e", "--depth", "2", "--widths", "2", "--heads", "2"]
    reports = [report(*given) for given in (["e.toml"], ["e.py"], ["e.pt"], words)]
    assert dead(reports[0]) == ["X[0,1]"]
    assert all(found == reports[0] for found in reports)
    assert reports[0]["uncalled"] == reports[0]["frozen"] == []


def test_levels_choose_the_heads_with_a_loss() -> None:
    words = ["--dense", "--depth", 2, "--widths", 2, "--levels"]
    assert dead(report(*words, "2")) == ["head L1"]
    assert dead(report(*words, "1")) == ["X[2,0]", "X[1,1]", "X[0,2]", "head L2"]
    assert dead(report(*words, "1,2")) == []


def test_a_checkpoint_is_looked_at_with_its_own_weights(folder: Path) -> None:
    model = build(ENSEMBLE)
    torch.nn.init.zeros_(model.get_parameter("head_L2.weight"))
    save(model, folder / "e.pt")
    assert len(report("e.pt")["zero"]) > 10
    assert "reached, with a gradient of zero on this input: x0_0.conv1.weight" in (
        call("e.pt").stdout
    )


def test_the_picture_is_the_one_that_draw_draws(folder: Path) -> None:
    words = ["--family", "unet-e", "--depth", 3]
    assert call(*words, "--levels", 3, "-o", "a.svg").stdout.endswith("wrote a.svg\n")
    drawn = ["draw", *map(str, words), "--gradients", "3", "-o", "b.svg"]
    assert CliRunner().invoke(main, drawn).exit_code == 0
    assert (folder / "a.svg").read_bytes() == (folder / "b.svg").read_bytes()
    assert call(*words, "--heads", 3, "-o", "c.svg").exit_code == 0
    assert "node without gradient" in (folder / "c.svg").read_text("utf-8")
    again = call(*words, "-o", "a.svg")
    assert again.exit_code == 2
    assert again.stdout == ""
    assert "a.svg: exists already" in again.stderr


PORTS = Path(__file__).parents[1] / "surgery" / "ports.py"


def test_a_network_of_others_is_drawn_where_it_has_a_grid(folder: Path) -> None:
    words = ["--module", f"{PORTS}:ShallowFirst", "--example", "2,3,16,24"]
    assert call(*words, "--keep", "1", "-o", "a.svg").stdout.endswith("wrote a.svg\n")
    picture = (folder / "a.svg").read_text("utf-8")
    assert "ShallowFirst, gradient from L2" in picture
    assert "node without gradient" in picture
    words[1] = f"{PORTS}:MeanToo"
    result = call(*words, "-o", "b.svg")
    assert result.exit_code == 2
    assert "MeanToo cannot be drawn so; output 0 is no level" in result.stderr
    assert not (folder / "b.svg").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--depth", 2, "--levels", 3], "levels L1, L2"),
        (["--depth", 2, "--levels", "L1"], "integers between commas"),
        (["no.toml"], "no.toml: cannot be read"),
        (["no.pt"], "no.pt"),
        (["net.onnx"], "net.onnx: is not known"),
        (["--depth", 1, "-o", "a.gif"], "a.gif: cannot be drawn"),
    ],
)
def test_a_mistake_is_one_line(words: list[object], said: str, folder: Path) -> None:
    result = call(*words)
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert said in line
    assert list(folder.iterdir()) == []


def test_check_tells_a_pipeline() -> None:
    words = ["--depth", 2, "--widths", 2, "--heads", 2, "--check"]
    assert call("--dense", *words).exit_code == 0
    assert call("--family", "unet-e", *words).exit_code == 1
