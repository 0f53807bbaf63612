"""`nestgen inspect`: its options reach the report, and the report the terminal."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from nestgen.arch.spec import NestSpec
from nestgen.arch.specfile import to_toml
from nestgen.checkpoint import save
from nestgen.cli import main
from nestgen.codegen.load import build
from nestgen.codegen.source import source
from nestgen.inspection.report import inspect

SPEC = NestSpec(depth=2, widths=4)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.toml").write_text(to_toml(SPEC), encoding="utf-8")
    (tmp_path / "net.py").write_text(source(SPEC), encoding="utf-8")
    save(build(SPEC), "net.pt", extra={"settings": {}})
    return tmp_path


def call(line: str) -> Result:
    return CliRunner().invoke(main, ["inspect", *line.split()])


@pytest.mark.parametrize(
    ("line", "thing", "more"),
    [
        ("--depth 2 --widths 4", SPEC, {}),
        ("net.toml", "net.toml", {}),
        ("net.toml --classes 3", SPEC.replace(classes=3), {}),
        ("net.py", "net.py", {}),
        ("net.pt --size 64x32", "net.pt", {"size": (64, 32)}),
        ("net.pt --size 64 --batch-size 4", "net.pt", {"size": 64, "batch_size": 4}),
    ],
)
def test_json_is_the_report(line: str, thing: Any, more: dict[str, Any]) -> None:
    result = call(f"{line} --json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout) == inspect(thing, **more).to_plain()


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("net.toml", "net.toml, a spec of"),
        ("net.py", "as written"),
        ("net.pt", "float32, the state of a run"),
        ("--family unet3+ --title Mine", "Mine"),
        ("--skip se", "whole image"),
        ("--block residual --activation gelu", "residual, norm batch, gelu"),
    ],
)
def test_what_it_is(line: str, said: str) -> None:
    result = call(line)
    assert result.exit_code == 0, result.output
    assert said in result.stdout


def test_a_change_by_hand_is_said(folder: Path) -> None:
    (folder / "net.py").write_text(source(SPEC).replace("dim=1", "dim=-3"))
    line = source(SPEC)[: source(SPEC).index("dim=1")].count("\n") + 1
    assert f"first in line {line}\n" in call("net.py").stdout


def test_every_node_and_level_has_a_row() -> None:
    lines = [line.split() for line in call("net.toml --size 64").stdout.splitlines()]
    report = inspect(SPEC, 64)
    rows = {words[0]: words for words in lines if words}
    for node in report.nodes:
        assert rows[node.name][1] == "x".join(map(str, node.shape))
        assert node.field is not None
        assert "x".join(map(str, node.field.pixels)) in rows[node.name]
    for level in report.levels:
        assert f"{level.cost.parameters:,}" in rows[f"L{level.level}"]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("net.py --dims 3", "net.py: has its spec in it, --dims changes nothing"),
        ("net.toml --spec net.toml", "--spec does too"),
        ("net.toml --size 10", "size: 10x10 is not allowed, multiples of 4"),
        ("net.toml --batch-size 0", "0 is not in the range"),
        ("net.yaml", "net.yaml: is not known"),
        ("none.py", "none.py: cannot be read"),
    ],
)
def test_mistakes_are_said(line: str, said: str) -> None:
    result = call(line)
    assert result.exit_code == 2
    assert said in result.stderr
    assert len(result.stderr.splitlines()) == 1
