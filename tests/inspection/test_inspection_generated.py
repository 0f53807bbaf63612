"""A generated source is read as text: its spec comes back, and every change is seen."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nestgen.arch.spec import NestSpec
from nestgen.codegen.source import source
from nestgen.errors import SpecError
from nestgen.inspection.generated import read_generated

GOLDEN = Path(__file__).parents[1] / "golden"
TEXT = source(NestSpec(depth=1))


@pytest.mark.parametrize(
    "file", sorted(set(GOLDEN.glob("*.py")) - {GOLDEN / "regenerate.py"}), ids=str
)
def test_every_golden_file_is_as_written(file: Path) -> None:
    spec, line = read_generated(file)
    assert line is None
    assert source(spec) == file.read_text("utf-8")


# in a docstring's spec a change may make another spec, or none
AFTER = TEXT.index("import torch")


@settings(max_examples=50)
@given(at=st.integers(AFTER, len(TEXT) - 1), letter=st.sampled_from("a \n#0"))
def test_a_change_is_found_in_its_line(
    at: int, letter: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    changed = TEXT[:at] + letter + TEXT[at:]
    file = tmp_path_factory.mktemp("changed") / "net.py"
    file.write_text(changed, encoding="utf-8")
    spec, line = read_generated(file)
    assert spec == NestSpec(depth=1)
    assert line is not None
    lines, expected = changed.split("\n"), TEXT.split("\n")
    assert lines[: line - 1] == expected[: line - 1]
    assert lines[line - 1 : line] != expected[line - 1 : line]


def test_the_file_is_not_run(tmp_path: Path) -> None:
    trap = tmp_path / "trap"
    file = tmp_path / "net.py"
    spring = f"import pathlib\npathlib.Path({str(trap)!r}).touch()\n"
    file.write_text(TEXT + spring, encoding="utf-8")
    _, line = read_generated(file)
    assert line == TEXT.count("\n") + 1
    assert not trap.exists()
    described = importlib.util.spec_from_file_location("trap", file)
    assert described is not None
    assert described.loader is not None
    described.loader.exec_module(importlib.util.module_from_spec(described))
    assert trap.exists(), "run, it would have left a trace"


def test_what_python_cannot_read_is_read(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(TEXT + "def (", encoding="utf-8")
    spec, line = read_generated(tmp_path / "net.py")
    assert (spec, line) == (NestSpec(depth=1), TEXT.count("\n") + 1)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "its docstring has no spec"),
        (b'"""A file."""\n', "its docstring has no spec"),
        (b'x = """\nWritten by nestgen from this spec:\n"""', "has no spec"),
        (b'"""Written by nestgen from this spec:\ndepth = 2\n', "has no spec"),
        (b'"""Written by nestgen from this spec:\ndepth = \n"""', "not a spec in TOML"),
        (b'"""Written by nestgen from this spec:\ndepth = 0\n"""', "depth: 0 is not"),
        (b'"""\xff"""', "is no UTF-8 text"),
    ],
)
def test_other_files_are_refused(content: bytes, message: str, tmp_path: Path) -> None:
    file = tmp_path / "net.py"
    file.write_bytes(content)
    with pytest.raises(SpecError, match=message) as caught:
        read_generated(file)
    assert str(caught.value).startswith(f"{file}: ")
    assert len(str(caught.value).splitlines()) == 1


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "net.py").mkdir()
    with pytest.raises(SpecError, match="cannot be read"):
        read_generated(tmp_path / "net.py")
