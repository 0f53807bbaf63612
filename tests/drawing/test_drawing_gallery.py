"""The gallery is what its commands draw."""

from __future__ import annotations

import importlib.util
import re
import shlex
from pathlib import Path
from types import ModuleType

import pytest
from click.testing import CliRunner

from nestgen.cli import main

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def gallery() -> ModuleType:
    spec = importlib.util.spec_from_file_location("gallery", DOCS / "gallery.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def files(folder: Path) -> dict[str, bytes]:
    found = [folder / "gallery.md", *(folder / "gallery").iterdir()]
    return {str(file.relative_to(folder)): file.read_bytes() for file in found}


def test_page_and_pictures_are_what_the_script_makes(
    gallery: ModuleType, tmp_path: Path
) -> None:
    gallery.main(tmp_path)
    made, kept = files(tmp_path), files(DOCS)
    assert sorted(made) == sorted(kept)
    assert [name for name in made if made[name] != kept[name]] == []


def test_commands_run_as_they_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    page = (DOCS / "gallery.md").read_text("utf-8")
    commands = re.findall(r"^\$ nestgen (.*)$", page, re.M)
    assert len(commands) == page.count("\n## ") > 5
    for command in commands:
        words = shlex.split(command)
        assert CliRunner().invoke(main, words).exit_code == 0, command
        drawn = (tmp_path / words[-1]).read_bytes()
        assert drawn == (DOCS / "gallery" / words[-1]).read_bytes()
