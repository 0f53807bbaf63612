"""`nestgen prune`: the files it writes, what it prints, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner, Result

from nestgen.arch.spec import NestSpec
from nestgen.checkpoint import load, save
from nestgen.cli.prune import command
from nestgen.codegen.load import build
from nestgen.codegen.source import source
from nestgen.errors import CheckpointError, CutError, NestgenError, OutputError


def run(*arguments: object) -> Result:
    return CliRunner().invoke(command, [str(argument) for argument in arguments])


def raised(result: Result) -> NestgenError:
    assert isinstance(result.exception, NestgenError), result.output
    return result.exception


@pytest.fixture(params=[".pt", ".safetensors"])
def file(request: Any, tmp_path: Path) -> Path:
    path = tmp_path / f"my-model{request.param}"
    save(build(NestSpec(depth=3, widths=2)), path)
    return path


def test_checkpoint_and_source_appear_beside_the_model(file: Path) -> None:
    result = run(file, "--level", 2)
    assert result.exit_code == 0, result.output
    cut, text = file.with_stem("my-model-L2"), file.with_name("my_model_L2.py")
    whole, small = load(file), load(cut)
    x = torch.randn(1, 3, 8, 8)
    assert torch.equal(small(x), whole(x)["L2"])
    assert isinstance(small.spec, NestSpec)
    assert text.read_text() == source(small.spec)
    assert "L2 head, bit for bit, on 4 inputs" in result.output
    assert f"{file.stat().st_size:,}" in result.output
    assert f"{cut.stat().st_size:,}" in result.output


def test_json_has_the_table_and_the_files(file: Path) -> None:
    printed = json.loads(run(file, "--level", "L1", "--json").output)
    assert printed["heads"] == [1]
    assert printed["checkpoint"] == str(file.with_stem("my-model-L1"))
    assert printed["before"]["nodes"] == 10
    assert printed["after"]["nodes"] == 3
    assert printed["before"]["file_bytes"] == file.stat().st_size


def test_several_levels_stay_together(file: Path) -> None:
    printed = json.loads(run(file, "--level", "3,1", "--json").output)
    assert printed["heads"] == [1, 3]
    cut = file.with_stem("my-model-L1,3")
    assert printed["checkpoint"] == str(cut)
    assert printed["source"] == str(file.with_name("my_model_L1_3.py"))
    whole, small, x = load(file), load(cut), torch.randn(1, 3, 8, 8)
    heads, own = whole(x), small(x)
    assert list(own) == ["L1", "L3"]
    assert all(torch.equal(own[level], heads[level]) for level in own)


def test_nothing_is_overwritten_without_force(file: Path) -> None:
    kept = file.with_name("my_model_L2.py")
    kept.write_text("mine")
    result = run(file, "--level", 2)
    assert isinstance(raised(result), OutputError)
    assert kept.read_text() == "mine"
    assert not file.with_stem("my-model-L2").exists()
    assert run(file, "--level", 2, "--force").exit_code == 0
    assert kept.read_text() != "mine"


def test_nothing_is_written_where_the_proof_fails(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: Any) -> None:
        raise CutError("not the same")

    monkeypatch.setattr("nestgen.surgery.write.prove", fail)
    assert str(raised(run(file, "--level", 2))) == "not the same"
    assert list(file.parent.iterdir()) == [file]


def test_other_names_can_be_given(file: Path, tmp_path: Path) -> None:
    run(file, "--level", 2, "-o", tmp_path / "a.pt", "--source", tmp_path / "b.py")
    assert (tmp_path / "b.py").exists()
    assert load(tmp_path / "a.pt").spec == load(file).spec.cut([2])  # type: ignore


def test_depth_1_is_cut_at_level_1(tmp_path: Path) -> None:
    save(build(NestSpec(depth=1, widths=2)), tmp_path / "m.pt")
    assert run(tmp_path / "m.pt", "--level", 1).exit_code == 0


def test_a_wrong_level_and_a_wrong_file_are_one_line(file: Path) -> None:
    assert str(raised(run(file, "--level", 4))).endswith("levels L1, L2, L3")
    assert isinstance(
        raised(run(file.with_name("no.pt"), "--level", 1)), CheckpointError
    )
    result = run(file, "--level", "two")
    assert result.exit_code == 2
    assert list(file.parent.iterdir()) == [file]
