"""A network that nestgen did not write, as `nestgen gradients` is told of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result
from torch import nn

from nestgen.cli import main
from nestgen.cli.module import outside_module

NET = """
from torch import nn

class Net(nn.Module):
    def __init__(self, classes=1, kind="plain"):
        super().__init__()
        assert kind in ("plain", "1x1")
        self.used = nn.Conv2d(3, classes, 1)
        self.spare = nn.Conv2d(3, classes, 1)

    def forward(self, x):
        return [self.used(x), self.spare(x)]
"""
WHERE = ["--module", "net.py:Net", "--example", "1,3,8,8"]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.py").write_text(NET)
    (tmp_path / "code.py").write_text("raise ValueError('one\\ntwo')\n")
    return tmp_path


def call(*words: str) -> Result:
    return CliRunner().invoke(main, ["gradients", *words])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--example", "1,3,8,8"], "--example: says nothing without --module"),
        (["--weights", "w.pth"], "--weights: says nothing without --module"),
        (["--argument", "a=1"], "--argument: says nothing without --module"),
        (["--keep", "0"], "--keep: says nothing without --module"),
        (["--module", "net.py:Net"], "--example: --module takes the shape of an input"),
        ([*WHERE[:2], "--example", "1,0,8"], "--example: --module takes the shape"),
        (
            [*WHERE[:2], "--example", "1,3,999999,999999"],
            "--example: 1,3,999999,999999 is not allowed, at most 268435456 numbers",
        ),
        (
            [*WHERE[:2], "--example", f"1,3,{10**19}"],
            f"--example: 1,3,{10**19} is not allowed, at most 268435456 numbers",
        ),
        ([*WHERE[:2], "--example", "1,x"], "'1,x': integers between commas"),
        (["--module", "net.py", *WHERE[2:]], "--module: 'net.py' is not allowed, PACK"),
        (["--module", "no.py:Net", *WHERE[2:]], "no.py:Net: cannot be made (FileNot"),
        (["--module", "no:Net", *WHERE[2:]], "no:Net: cannot be made (ModuleNotFound"),
        (["--module", "net.py:No", *WHERE[2:]], "has no attribute 'No'"),
        (["--module", "code.py:Net", *WHERE[2:]], "made (ValueError: one two)"),
        (["--module", "math:factorial", *WHERE[2:]], "math:factorial: cannot be made"),
        (["--module", "os:getcwd", *WHERE[2:]], "gives str, no torch.nn.Module"),
        ([*WHERE, "--argument", "classes"], "'classes': a name and a value, as class"),
        ([*WHERE, "--argument", "1x=2"], "'1x=2': a name and a value"),
        ([*WHERE, "--argument", "clases=2"], "unexpected keyword argument 'clases'"),
        ([*WHERE, "--weights", "none.pth"], "none.pth: cannot be read"),
        ([*WHERE, "--weights", "net.py"], "net.py: is no archive of torch"),
        ([*WHERE, "--weights", "bad.pth"], "bad.pth: does not fit net.py:Net (Runtime"),
        (
            [*WHERE, "--keep", "2"],
            "keep: '2' is not allowed; the outputs of Net are",
        ),
        ([*WHERE[:3], "1,4,8,8"], "Net: cannot be run on [1, 4, 8, 8] (RuntimeError"),
        ([*WHERE, "spec.toml"], "file: says nothing beside --module"),
        ([*WHERE, "--depth", "3"], "--depth: says nothing beside --module"),
        ([*WHERE, "--spec", "a.toml"], "--spec: says nothing beside --module"),
        ([*WHERE, "--levels", "1"], "--levels: says nothing beside --module"),
    ],
)
def test_a_mistake_is_one_line(words: list[str], said: str, folder: Path) -> None:
    torch.save(nn.Conv2d(3, 1, 1).state_dict(), "bad.pth")
    before = sorted(folder.iterdir())
    result = call(*words)
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert said in line
    after = [path for path in folder.iterdir() if path.name != "__pycache__"]
    assert sorted(after) == before


def test_a_full_memory_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*shape: int, generator: object) -> None:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory:\nyou tried")

    monkeypatch.setattr(torch, "randn", full)
    result = call(*WHERE)
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    assert "--example: [1, 3, 8, 8]: not enough memory" in line


def test_arguments_are_literals_or_words() -> None:
    result = call(
        *WHERE, "--argument", "classes=2", "--argument", "kind=1x1", "--keep", "0"
    )
    assert result.exit_code == 0, result.output
    assert "spare" in result.stdout
    assert "8 of 16 parameters receive no gradient from 0, by" in result.stdout


def test_the_report_as_json() -> None:
    report = json.loads(call(*WHERE, "--keep", "1", "--json").stdout)
    assert report["parts"] == [{"name": "used", "parameters": 4}]
    assert report["names"] == ["used.weight", "used.bias"]
    assert (report["unreached"], report["parameters"], report["nodes"]) == (4, 8, 0)


def test_check_is_an_exit_status() -> None:
    assert call(*WHERE, "--check").exit_code == 0
    assert call(*WHERE, "--check", "--keep", "0").exit_code == 1
    assert call(*WHERE, "--keep", "0").exit_code == 0


def test_weights_and_the_input_are_what_was_named() -> None:
    weights = {f"{n}.{p}": torch.ones(1) for n in ("used", "spare") for p in ("bias",)}
    weights |= {f"{n}.weight": torch.ones(1, 3, 1, 1) for n in ("used", "spare")}
    torch.save(weights, "w.pth")
    found = outside_module("net.py:Net", (), "w.pth", [2, 3, 4, 5])
    assert found is not None
    module, x = found
    assert module.state_dict().keys() == weights.keys()
    assert all(value.eq(1).all() for value in module.state_dict().values())
    assert x.shape == (2, 3, 4, 5)
    again = outside_module("net.py:Net", (), None, [2, 3, 4, 5])
    assert again is not None
    assert torch.equal(again[1], x)
    assert outside_module(None, (), None, None) is None
