"""The wheel, installed where the repository is not, works."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from nestgen.arch.spec import NestSpec
from nestgen.codegen.source import source

ROOT = Path(__file__).parents[1]


def run(folder: Path, *command: str | Path) -> str:
    """What a command prints on stdout; its stderr is in the failure."""
    child = subprocess.run(
        list(map(str, command)), cwd=folder, capture_output=True, text=True
    )
    assert child.returncode == 0, child.stdout + child.stderr
    return child.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of the working tree, built from a copy that may be written to."""
    folder = tmp_path_factory.mktemp("packaging")
    ignored = shutil.ignore_patterns("__pycache__")
    for name in ("nestgen", "templates", "kernels", "tests"):
        copied = folder / "tree" / name
        shutil.copytree(ROOT / name, copied, symlinks=True, ignore=ignored)
    for name in ("setup.py", "pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, folder / "tree")
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-index"]
    run(folder, *pip, "--no-build-isolation", "--wheel-dir=wheels", "./tree")
    (built,) = (folder / "wheels").glob("*.whl")
    return built


def test_the_wheel_has_the_package_and_nothing_else(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    packed = {name for name in names if ".dist-info/" not in name}
    assert {name.split("/")[0] for name in packed} == {"nestgen"}
    for folder in ("templates", "kernels"):
        files = {*(ROOT / folder).glob("*.jinja"), *(ROOT / folder).glob("*.py")}
        expected = {f"nestgen/{folder}/{file.name}" for file in files}
        assert expected
        assert {n for n in packed if n.startswith(f"nestgen/{folder}/")} == expected
    modules = {str(f.relative_to(ROOT)) for f in (ROOT / "nestgen").rglob("*.py")}
    assert modules <= packed
    assert "nestgen/py.typed" in packed
    assert not any(Path(name).name.startswith("test") for name in packed)


def test_installed_it_builds_a_network(wheel: Path, tmp_path: Path) -> None:
    """In a new environment that sees the installed libraries, but not this tree."""
    run(tmp_path, sys.executable, "-m", "venv", "--without-pip", "env")
    python = tmp_path / "env" / "bin" / "python"
    pip = [sys.executable, "-m", "pip", f"--python={python}", "install", "--quiet"]
    run(tmp_path, *pip, "--no-deps", "--no-index", wheel)
    where = "import sysconfig; print(sysconfig.get_path('purelib'))"
    own = Path(run(tmp_path, python, "-I", "-c", where).strip())
    (own / "libraries.pth").write_text(sysconfig.get_path("purelib"))
    shown = run(tmp_path, python.with_name("nestgen"), "build", "--depth", "3")
    assert shown.splitlines()[-1] == "wrote unetpp_d3.py"
    assert (tmp_path / "unetpp_d3.py").read_text() == source(NestSpec(depth=3))
    place = "import nestgen.templates; print(nestgen.templates.__file__)"
    assert (
        Path(run(tmp_path, python, "-I", "-c", place).strip()).parent.parent.parent
        == own
    )
