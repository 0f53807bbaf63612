"""Every error is one line on stderr, with the exit status that belongs to it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from nestgen import __version__, cli
from nestgen.arch.choices import MAX_DEPTH
from nestgen.errors import (
    CheckpointError,
    NestgenError,
    OutputError,
    SpecError,
    TrainingError,
)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def call(line: str) -> Result:
    return CliRunner().invoke(cli.main, line.split())


def refused(result: Result, folder: Path, status: int = 2) -> str:
    """The one line of an error, after which nothing is written."""
    assert result.exit_code == status, result.output
    assert result.stdout == ""
    assert result.stderr.endswith("\n")
    (line,) = result.stderr.splitlines()
    assert line.startswith("nestgen: ")
    assert list(folder.iterdir()) == []
    return line.removeprefix("nestgen: ")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("bulid", "No such command 'bulid'."),
        ("build --dpeth 3", "No such option"),
        ("build extra", "Got unexpected extra argument"),
        ("build --depth", "requires an argument"),
        ("build --depth 0", "depth: 0 is not allowed, greater than or equal to 1"),
        (
            "build --depth 13",
            f"depth: 13 is not allowed, less than or equal to {MAX_DEPTH}",
        ),
        ("build --depth x", "'x' is not a valid integer"),
        ("build --depth 1.5", "'1.5' is not a valid integer"),
        ("build --depth " + "9" * 5000, "is not a valid integer"),
        ("build --family vnet", "'vnet' is not one of"),
        (
            "build --dense --family unet+",
            "--dense means --family unet++; --family unet+",
        ),
        ("build --widths 8,x", "'8,x': integers between commas"),
        ("build --widths 8,16", "widths: 2 given, depth 4 has 5 rows"),
        ("build --widths ,", "integers between commas"),
        ("build --heads 1,2", "heads: [1, 2] is not allowed"),
        ("build --norm group --groups 5", "block.groups: 5 is not allowed"),
        ("build --dropout 1", "block.dropout: 1.0 is not allowed, less than 1"),
        ("build --dropout nan", "block.dropout: nan is not allowed"),
        ("build --name node", "name: 'node' is not allowed"),
        ("build --title \\", "title: '\\\\' is not allowed"),
        ("build --size 100", "size: 100x100 is not allowed, multiples of 16"),
        ("build --size 0", "size: 0x0 is not allowed"),
        ("build --size 1x2x3", "size: 1x2x3 is not allowed, 2 sides or one for all"),
        ("build --size 16x", "'16x': a size is one side for all"),
        ("build --spec no.toml", "no.toml: cannot be read (No such file or directory)"),
        ("build --spec net.yaml", "net.yaml: a spec is a .toml or a .json file"),
        ("build --weights net.txt", "net.txt"),
        ("build --weights net.pt --seed x", "'x' is not a valid integer"),
    ],
)
def test_a_mistake_is_said_and_nothing_is_written(
    line: str, message: str, folder: Path
) -> None:
    assert message in refused(call(line), folder)


def raising(error: BaseException) -> Any:
    def command(*_: object, **__: object) -> None:
        raise error

    return command


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (SpecError("depth: 0"), 2, "depth: 0"),
        (OutputError("a.py: exists already"), 2, "a.py: exists already"),
        (CheckpointError("m.pt: no"), 2, "m.pt: no"),
        (NestgenError("two\n  lines"), 2, "two lines"),
        (TrainingError("diverged"), 1, "diverged"),
        (ValueError("x\ny"), 1, "ValueError: x y (NESTGEN_TRACEBACK=1 shows where)"),
        (KeyError("k"), 1, "KeyError: 'k' (NESTGEN_TRACEBACK=1 shows where)"),
    ],
)
def test_whatever_happens_is_one_line(
    error: Exception,
    status: int,
    line: str,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("nestgen.codegen.source.source", raising(error))
    assert refused(call("build --depth 1"), folder, status) == line


def test_an_interrupt_ends_the_line_that_the_terminal_began(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("nestgen.codegen.source.source", raising(KeyboardInterrupt()))
    result = call("build --depth 1")
    assert result.exit_code == 130
    assert result.stderr == "\nnestgen: interrupted\n"


def test_the_traceback_is_there_for_who_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nestgen.codegen.source.source", raising(ValueError("x")))
    monkeypatch.setenv("NESTGEN_TRACEBACK", "1")
    result = call("build --depth 1")
    assert result.exit_code == 1
    assert "Traceback (most recent call last)" in result.stderr
    assert result.stderr.splitlines()[-1].startswith("nestgen: ValueError: x")


def test_version_and_help() -> None:
    assert call("--version").stdout == f"nestgen, version {__version__}\n"
    shown = call("--help")
    assert shown.exit_code == 0
    for name in cli.COMMANDS:
        assert name in shown.stdout
        assert call(f"{name} --help").exit_code == 0
