"""`nestgen import`: the file it writes, what it prints, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType

import pytest
import torch
from click.testing import CliRunner, Result

from nestgen.checkpoint import load
from nestgen.cli import main
from nestgen.foreign import layout, layouts


@pytest.fixture
def file(style: ModuleType, tmp_path: Path) -> Path:
    """Weights in the style of 4uiiurz1's, with four heads."""
    torch.manual_seed(0)
    state = style.SmallNestedUNet(1, 3, deep_supervision=True).state_dict()
    torch.save({"state_dict": state}, tmp_path / "weights.pth")
    return tmp_path / "weights.pth"


def run(file: Path, *words: str) -> Result:
    output = str(file.with_name("model.pt"))
    arguments = ["import", str(file), "--layout", "4uiiurz1", "-o", output, *words]
    return CliRunner().invoke(main, arguments)


def test_everything_works_on_what_is_imported(file: Path) -> None:
    assert run(file).exit_code == 0
    model = str(file.with_name("model.pt"))
    for words in (
        ["prune", model, "--level", "2"],
        ["draw", model, "-o", str(file.with_name("model.svg"))],
    ):
        result = CliRunner().invoke(main, words)
        assert result.exit_code == 0, result.output
    whole, small = load(model), load(file.with_name("model-L2.pt"))
    x = torch.randn(1, 3, 16, 32)
    assert torch.equal(small(x), whole(x)["L2"])


def test_it_says_what_was_read_and_what_assumed(file: Path) -> None:
    lines = run(file, "--activation", "elu").output.splitlines()
    cells = [line.split() for line in lines]
    rows = {row[0]: row[1:] for row in cells if len(row) == 3}
    assert rows["widths"] == ["2,4,8,16,32", "tensors"]
    assert rows["up"] == ["bilinear-aligned", "layout"]
    assert rows["activation"] == ["elu", "option"]
    assert lines[0].strip() == "UNet++ of depth 4, 36,498 parameters"
    assert lines[-2].startswith("not compared: the original is no package; --original")
    assert lines[-1] == f"wrote {file.with_name('model.pt')}"


def test_the_original_is_named_by_file_and_class(file: Path, style: ModuleType) -> None:
    where = f"{style.__file__}:SmallNestedUNet"
    result = run(file, "--original", where)
    assert f"L1, L2, L3, L4 == {where}, bit for bit, on 4 inputs" in result.output
    printed = json.loads(run(file, "--original", where, "--json", "--force").output)
    assert printed["comparison"]["difference"] == 0
    assert printed["fields"]["norm"] == ["batch", "tensors"]


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--activation", "elu", "--original", "{style}"], "L1 differs from that of"),
        (["--original", "no.py:Net"], "no.py:Net: cannot be run beside it"),
        (["--layout", "mine"], "layout: 'mine' is not allowed, '4uiiurz1' or"),
        (["--classes", "2"], "of another shape or type final1.weight (torch.float32"),
        (["--depth", "3"], "widths: 5 given, depth 3 has 4 rows"),
        (["-o", "{file}"], "is given for two files"),
    ],
)
def test_an_error_is_one_line_and_nothing_is_written(
    words: list[str], line: str, file: Path, style: ModuleType
) -> None:
    places = {"style": f"{style.__file__}:SmallNestedUNet", "file": str(file)}
    result = run(file, *(word.format(**places) for word in words))
    assert result.exit_code == 2
    assert line in result.stderr
    assert result.stderr.count("\n") == 1
    assert list(file.parent.iterdir()) == [file]


def test_a_file_that_exists_is_kept(file: Path) -> None:
    file.with_name("model.pt").write_text("mine")
    assert "exists already" in run(file).stderr
    assert file.with_name("model.pt").read_text() == "mine"


def test_an_original_that_is_not_installed_is_named(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = layouts.LAYOUTS["4uiiurz1"]
    absent = layout.Layout(**{**vars(known), "original": "no_such_package:Net"})
    monkeypatch.setitem(layouts.LAYOUTS, "4uiiurz1", absent)
    assert "not compared: no_such_package is not installed" in run(file).output
