"""`nestgen bench`: what it prints and writes, and what it refuses."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner, Result

from nestgen.arch.spec import NestSpec
from nestgen.checkpoint import save
from nestgen.cli import main
from nestgen.codegen.load import build
from nestgen.inference import backends
from nestgen.inference.backend import Backend, Case, Ready

PEER = ["--module", "torch.nn:Conv2d", "--argument", "in_channels=3"]
PEER += ["--argument", "out_channels=1", "--argument", "kernel_size=1"]
QUICK = ["--size", "8", "--rounds", "1"]


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "model.pt"
    save(build(NestSpec(depth=2, widths=2, in_channels=1)), path)
    return path


def run(*words: object) -> Result:
    return CliRunner().invoke(main, ["bench", *map(str, words)])


def test_the_table_and_the_plots(model: Path) -> None:
    example = ["--example", "1,3,9,9"]
    result = run(model, *QUICK, *PEER, *example, "-o", "a.svg", "--plot", "b.png")
    assert result.exit_code == 0, result.output
    lines = [line.split() for line in result.stdout.splitlines() if line.strip()]
    rows = {tuple(line[:2]) for line in lines}
    for network in ("L1", "L2", "peer"):
        for backend in ("eager", "channels_last"):
            assert (network, backend) in rows
    assert "times L2" in result.stdout
    assert "times peer" in result.stdout
    assert result.stdout.splitlines()[-1] == "wrote a.svg, b.png"
    assert Path("a.svg").read_text().startswith("<?xml")


def test_the_json_has_all_that_is_needed_to_repeat_it(model: Path) -> None:
    threads = torch.get_num_threads()
    words = ["--levels", "2", "--size", "8,5x7", "--batch-size", "1,2", "--rounds", "2"]
    words += ["--dtype", "float32,bfloat16", "--backend", "eager", "--threads", "1"]
    result = run(model, *words, "--json")
    torch.set_num_threads(threads)
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert told["options"] == {
        "model": str(model),
        "module": None,
        "levels": [2],
        "sizes": [[8], [5, 7]],
        "batch_sizes": [1, 2],
        "dtypes": ["float32", "bfloat16"],
        "backends": ["eager"],
        "rounds": 2,
    }
    assert told["threads"] == 1
    assert told["machine"]["versions"]["torch"] == torch.__version__
    assert len(told["rows"]) == 8
    assert told["left_out"] == told["plots"] == []
    assert not told["interrupted"]


def test_all_backends_are_those_that_are_here(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = Backend(backends.BACKENDS["eager"].prepare, lambda device: "it is away")
    few = {"eager": backends.BACKENDS["eager"], "away": away}
    monkeypatch.setattr(backends, "BACKENDS", few)
    result = run(model, *QUICK, "--backend", "all", "--json")
    assert result.exit_code == 0, result.output
    assert "nestgen: without away: it is away" in result.stderr
    assert json.loads(result.stdout)["options"]["backends"] == ["eager"]


def test_ctrl_c_loses_nothing(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    passes: list[int] = []

    def prepare(case: Case) -> Ready:
        def one_pass() -> Any:
            passes.append(1)
            if len(passes) == 10:
                os.kill(os.getpid(), signal.SIGINT)
            return case.module(case.x)

        return Ready(one_pass)

    monkeypatch.setitem(backends.BACKENDS, "stopping", Backend(prepare))
    words = ["--backend", "stopping", "--levels", "1", "--size", "8", "-o", "a.svg"]
    result = run(model, *words, "--rounds", "90")
    assert result.exit_code == 130, result.output
    assert len(passes) == 10
    assert "L1" in result.stdout
    assert Path("a.svg").exists()
    assert [line for line in result.stderr.splitlines() if line] == [
        "nestgen: interrupted"
    ]


def test_ctrl_c_before_anything_is_timed_writes_nothing(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def prepare(case: Case) -> Ready:
        os.kill(os.getpid(), signal.SIGINT)
        return Ready(lambda: case.module(case.x))

    monkeypatch.setitem(backends.BACKENDS, "stopping", Backend(prepare))
    result = run(model, *QUICK, "--backend", "stopping", "-o", "a.svg")
    assert (result.exit_code, result.stdout) == (130, "")
    assert not Path("a.svg").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--backend", "fast"], "backend: 'fast' is not allowed, one of eager, "),
        (["--levels", "1,3"], "3"),
        (["--levels", "one"], "'one': integers between commas"),
        (["--size", "8,ten"], "'ten': a size is one side for all"),
        (["--size", "8x8x8"], "size: 8x8x8 is not allowed, 2 sides or one for all"),
        (["--size", "0"], "size: 0 is not allowed, 1 or more"),
        (["--dtype", "int8"], "dtype: 'int8' is not allowed, one of float32, "),
        (["--batch-size", "0"], "batch_size: 0 is not allowed, 1 or more"),
        (["-o", "a.gif"], "a.gif: a plot is one of .png, .svg, .pdf"),
        (["-o", "there.svg"], "there.svg: exists already; --force overwrites"),
        (["--example", "1,1,8,8"], "--example: says nothing without --module"),
        (PEER, "--example: --module takes the shape of an input"),
        ([*PEER, "--example", "3"], "peer: an input of [3] is not allowed, one of [N,"),
        (
            ["--size", "99999999", "-o", "a.png"],
            "could be timed: L1 in eager, 99999999x99999999, batch 1, float32: ",
        ),
        (
            ["--size", "9" * 20, "-o", "a.png", "--json"],
            "nothing could be timed: L1 in",
        ),
    ],
)
def test_a_mistake_is_one_line(model: Path, words: list[str], message: str) -> None:
    Path("there.svg").write_text("kept")
    before = sorted(Path.cwd().iterdir())
    result = run(model, "--rounds", "1", *words)
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    (line,) = (line for line in result.stderr.splitlines() if line)
    assert message in line
    assert sorted(Path.cwd().iterdir()) == before
    assert Path("there.svg").read_text() == "kept"
