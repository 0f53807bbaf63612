"""The command line and `import nestgen` start without torch, in a fresh process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from nestgen.arch.spec import NestSpec
from nestgen.codegen.source import source

ROOT = Path(__file__).parents[2]
HEAVY = {"torch", "monai", "accelerate", "matplotlib", "timm", "torchvision"}

PROBE = """
import json, sys
sys.argv[0] = "nestgen"
try:
    exec({code!r})
except SystemExit as end:
    assert not end.code, end.code
finally:
    print()
    print(json.dumps(sorted(sys.modules)))
"""
RUN = "from nestgen.cli import main; main({words!r})"


def loaded(code: str, folder: Path, **variables: str) -> set[str]:
    """The modules that a fresh process has loaded once it has run `code`."""
    child = subprocess.run(
        [sys.executable, "-c", PROBE.format(code=code)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), **variables},
        capture_output=True,
        check=True,
    )
    return set(json.loads(child.stdout.decode().splitlines()[-1]))


@pytest.mark.parametrize(
    "line",
    [
        "--help",
        "--version",
        "build --help",
        "import --help",
        "bench --help",
        "transfer --help",
        "gradients --help",
        "build --depth 5 --dense",
        "build --json --family unet",
        "build --encoder resnet34",
        "build --schema",
        "draw --depth 3 -o net.gv",
        "inspect --depth 3",
        "inspect net.toml --json",
        "inspect unetpp_d2.py",
    ],
)
def test_commands_start_without_torch(line: str, tmp_path: Path) -> None:
    (tmp_path / "net.toml").write_text("depth = 2\n")
    (tmp_path / "unetpp_d2.py").write_text(source(NestSpec(depth=2)))
    modules = loaded(RUN.format(words=line.split()), tmp_path)
    assert "nestgen.cli" in modules
    assert modules & HEAVY == set()


@pytest.mark.parametrize("line", ["--help", "build --help"])
def test_help_loads_no_work(line: str, tmp_path: Path) -> None:
    modules = loaded(RUN.format(words=line.split()), tmp_path)
    assert modules & {"pydantic", "networkx", "jinja2", "numpy"} == set()


def test_import_is_light(tmp_path: Path) -> None:
    code = "import nestgen; nestgen.NestSpec; nestgen.NestGraph; nestgen.source"
    modules = loaded("import nestgen", tmp_path)
    assert {name for name in modules if name.startswith("nestgen")} == {"nestgen"}
    assert loaded(code, tmp_path) & HEAVY == set()


def test_a_locale_without_unicode_is_enough(tmp_path: Path) -> None:
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    loaded(RUN.format(words=["build", "--depth", "1"]), tmp_path, **plain)
    assert (tmp_path / "unetpp_d1.py").read_text("utf-8") == source(NestSpec(depth=1))


def test_torch_would_be_seen(tmp_path: Path) -> None:
    assert "torch" in loaded("import torch", tmp_path)
