"""`nestgen draw`: its options reach the drawing, its mistakes are said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from nestgen.arch.graph import NestGraph
from nestgen.arch.spec import NestSpec
from nestgen.arch.specfile import to_toml
from nestgen.checkpoint import save
from nestgen.cli.draw import command
from nestgen.codegen.load import build
from nestgen.drawing import alt_text
from nestgen.drawing.dot import dot_text
from nestgen.drawing.figure import figure
from nestgen.drawing.options import Options
from nestgen.errors import DrawingError, OutputError


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def dot(graph: NestGraph, **options: Any) -> str:
    return dot_text(figure([graph], Options(**options)))


def call(line: str) -> Result:
    return CliRunner().invoke(command, line.split())


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("", {}),
        ("--level 2", {"level": 2}),
        ("--channels", {"channels": True}),
        ("--size 64x128", {"size": (64, 128)}),
        ("--no-legend", {"legend": False}),
        ("--gradients 1,3", {"gradients": [1, 3]}),
        ("--area parameters", {"area": "parameters"}),
        ("--heat macs", {"heat": "macs"}),
    ],
)
def test_options_reach_the_drawing(
    options: str, expected: dict[str, Any], folder: Path
) -> None:
    result = call(f"--depth 3 --dense {options} -o net.gv")
    assert result.output == "wrote net.gv\n"
    drawn = (folder / "net.gv").read_text(encoding="utf-8")
    assert drawn == dot(NestGraph(NestSpec(depth=3)), **expected)


def test_families_are_compared(folder: Path) -> None:
    assert call("--compare unet,unet++ --depth 2").output == "wrote families.svg\n"
    call("--compare unet,unet++ --depth 2 -o both.gv")
    graphs = [NestGraph(NestSpec(depth=2, family=x)) for x in ("unet", "unet++")]
    drawn = (folder / "both.gv").read_text(encoding="utf-8")
    assert drawn == dot_text(figure(graphs, Options()))


@pytest.mark.parametrize("other", ["--dense", "--family unet+", "net.toml"])
def test_compared_families_are_named_once(other: str) -> None:
    result = call(f"--compare unet,unet++ {other}")
    assert result.exit_code == 2
    assert "--compare" in result.output


def test_alt_text_is_printed_and_nothing_drawn(folder: Path) -> None:
    output = call("--depth 3 --level 1 --alt").output
    assert output == alt_text(NestSpec(depth=3), level=1) + "\n"
    assert list(folder.iterdir()) == []


def test_picture_is_called_after_the_network(folder: Path) -> None:
    assert call("--depth 2 --family unet+").output == "wrote unetp_d2.svg\n"
    assert (folder / "unetp_d2.svg").read_text(encoding="utf-8").startswith("<?xml")


def test_spec_in_a_file_is_drawn_and_options_change_it(folder: Path) -> None:
    (folder / "net.toml").write_text(to_toml(NestSpec(depth=2, classes=2)))
    call("net.toml --family unet-e -o net.gv")
    expected = NestGraph(NestSpec(depth=2, family="unet-e"))
    assert (folder / "net.gv").read_text(encoding="utf-8") == dot(expected)


@pytest.mark.parametrize("name", ["model.pt", "model.safetensors"])
def test_network_of_a_checkpoint_is_drawn(name: str, folder: Path) -> None:
    spec = NestSpec(depth=2, widths=4, title="From a file")
    save(build(spec), name)
    call(f"{name} --level 1 -o net.gv")
    drawn = (folder / "net.gv").read_text(encoding="utf-8")
    assert drawn == dot(NestGraph(spec), level=1)


def test_existing_picture_is_kept_without_force(folder: Path) -> None:
    (folder / "net.gv").write_text("old")
    assert isinstance(call("-o net.gv").exception, OutputError)
    assert (folder / "net.gv").read_text() == "old"
    assert call("-o net.gv --force").exit_code == 0
    assert (folder / "net.gv").read_text() != "old"


def test_unknown_level_is_the_users_mistake() -> None:
    error = call("--depth 2 --level 3").exception
    assert isinstance(error, DrawingError)
    assert "L1, L2" in str(error)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("net.toml --spec other.toml", "--spec does too"),
        ("net.pt --in-channels 1", "--in-channels changes nothing"),
    ],
)
def test_two_descriptions_are_refused(line: str, said: str) -> None:
    result = call(line)
    assert result.exit_code == 2
    assert said in result.output
