"""Golden files: the text, its form, its types, and that it stands alone."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from itertools import product
from pathlib import Path
from types import ModuleType
from typing import get_args

import pytest
import torch

from nestgen.arch.choices import (
    Activation,
    BlockKind,
    Concat,
    Dims,
    Norm,
    PresetName,
    Skip,
    Up,
)
from nestgen.arch.cost import graph_cost
from nestgen.arch.encoders import ENCODERS
from nestgen.arch.families import FamilyName
from nestgen.arch.graph import NestGraph
from nestgen.arch.spec import NestSpec
from nestgen.arch.specfile import from_toml
from nestgen.codegen.source import source

ROOT = Path(__file__).parents[2]
RUFF = [sys.executable, "-m", "ruff"]
RULES = ["--isolated", "--no-cache", "--line-length=88", "--target-version=py310"]
CHOSEN = ["--select=E,F,I,B,UP,SIM"]

Specs = dict[str, NestSpec]


def run(
    *command: str, cwd: Path | None = None, **variables: str
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        command, cwd=cwd, env={**os.environ, **variables}, capture_output=True
    )


def formatted(folder: Path) -> bool:
    """Whether ruff has nothing to change and nothing to say in a folder."""
    form = run(*RUFF, "format", "--check", *RULES, str(folder))
    lint = run(*RUFF, "check", *RULES, *CHOSEN, str(folder))
    assert {form.returncode, lint.returncode} <= {0, 1}, form.stderr + lint.stderr
    return form.returncode == lint.returncode == 0


def test_text(golden_name: str, golden_specs: Specs, golden_folder: Path) -> None:
    kept = (golden_folder / f"{golden_name}.py").read_bytes()
    assert source(golden_specs[golden_name]).encode() == kept, (
        "python tests/golden/regenerate.py writes it anew"
    )


def test_every_file_has_a_spec(golden_specs: Specs, golden_folder: Path) -> None:
    files = {file.stem for file in golden_folder.glob("*.py")}
    assert files == {*golden_specs, "regenerate"}


def test_the_golden_files_show_every_choice(golden_specs: Specs) -> None:
    specs = golden_specs.values()
    assert {spec.family for spec in specs} == set(get_args(FamilyName))
    assert {spec.up for spec in specs} == set(get_args(Up))
    assert {spec.concat for spec in specs} == set(get_args(Concat))
    assert {spec.skip for spec in specs} == set(get_args(Skip))
    assert {spec.dims for spec in specs} == set(get_args(Dims))
    kinds = {ENCODERS[spec.encoder].kind for spec in specs if spec.encoder in ENCODERS}
    assert kinds == {known.kind for known in ENCODERS.values()}
    assert {spec.block.kind for spec in specs} == set(get_args(BlockKind))
    assert {spec.block.norm for spec in specs} == set(get_args(Norm))
    assert {spec.block.activation for spec in specs} == set(get_args(Activation))


def test_the_docstring_holds_the_spec(golden_name: str, golden_specs: Specs) -> None:
    spec = golden_specs[golden_name]
    docstring = source(spec).split('"""')[1]
    toml = docstring.split("Written by nestgen from this spec:\n")[1]
    assert from_toml(toml) == spec


def test_form(golden_folder: Path) -> None:
    assert formatted(golden_folder)


def test_form_of_every_combination(tmp_path: Path) -> None:
    """The longest lines are those of many heads, deep rows and long names."""
    for index, spec in enumerate(_combinations()):
        file = tmp_path / f"net{index}.py"
        file.write_text(source(spec), encoding="utf-8")
    assert formatted(tmp_path)
    (tmp_path / "net0.py").write_text(
        source(NestSpec()).replace("  # ", " # "), "utf-8"
    )
    assert not formatted(tmp_path)


def _combinations() -> list[NestSpec]:
    nests = [name for name in get_args(FamilyName) if name != "custom"]
    ups = {"unet3+": ["bilinear", "nearest"]}
    plane = [up for up in get_args(Up) if not up.startswith(("linear", "tri"))]
    specs = [
        NestSpec(family=family, depth=depth, up=up, widths=width)
        for family, depth, width in product(nests, range(1, 13), [1, 256])
        for up in ups.get(family, plane)
    ]
    specs += [
        NestSpec(depth=depth, dims=dims, skip=skip, widths=w, kernel_sizes=size)
        for dims, skip, w in product((1, 2, 3), get_args(Skip), [1, 256])
        for depth in (2, 12)
        for size in (5, [1, *[3] * depth])
    ]
    kinds = product(get_args(BlockKind), get_args(Norm), (1, 2, 3), [True, False])
    specs += [
        NestSpec(
            depth=1,
            dims=dims,
            in_channels=8,
            block={"kind": kind, "norm": norm, "dropout": 0.1, "bias": bias},
        )
        for kind, norm, dims, bias in kinds
    ]
    blocks = product(get_args(Norm), get_args(Activation), [0.0, 1e-07, 0.5])
    specs += [
        NestSpec(depth=1, block={"norm": norm, "activation": act, "dropout": rate})
        for norm, act, rate in blocks
    ]
    backbones = product(ENCODERS, (1, 2, 3), get_args(Norm), (1, 3))
    specs += [
        NestSpec(depth=depth, dims=dims, encoder=name, block={"norm": norm})
        for name, dims, norm, depth in backbones
    ]
    longest = {"name": "N" * 63, "title": "'#{%" + "x" * 74}
    specs += [NestSpec(depth=12, widths=[2**20] * 13, **longest)]
    specs += [NestSpec(depth=d, heads=[1, d], **longest) for d in range(2, 12)]
    specs += [NestSpec.preset(preset) for preset in get_args(PresetName)]
    return specs


def test_types(golden_folder: Path, tmp_path: Path) -> None:
    """One call for all; the cache is the project's, for it has read torch already."""
    strict = [sys.executable, "-m", "mypy", "--strict", "--config-file="]
    cache = f"--cache-dir={ROOT / '.mypy_cache'}"
    files = sorted(map(str, golden_folder.glob("*_*.py")))
    checked = run(*strict, cache, *files, cwd=tmp_path)
    assert checked.returncode == 0, checked.stdout.decode()


@pytest.mark.filterwarnings("ignore:.*tree_util.*")
def test_each_is_exported_and_runs(
    golden_name: str, golden_specs: Specs, load_golden: Callable[[str], ModuleType]
) -> None:
    """By torch.export, with the bits of the file; the giant on no device alone."""
    spec = golden_specs[golden_name]
    giant = spec.depth > 8
    with torch.device("meta" if giant else "cpu"):
        torch.manual_seed(0)
        model = getattr(load_golden(golden_name), spec.class_name)().eval()
        sides = [2 * by for by in NestGraph(spec).multiples]
        x = torch.randn(2, spec.in_channels, *sides)
        program = torch.export.export(model, (x,)).module()
        found, expected = program(x), model(x)
    heads = spec.heads if len(spec.heads) > 1 else [0]
    for level in heads:
        ours = expected[f"L{level}"] if level else expected
        theirs = found[f"L{level}"] if level else found
        assert theirs.shape == (2, spec.classes, *sides)
        assert giant or torch.equal(theirs, ours)


SHARED = ROOT / "tests" / "conftest.py"
"""Run in a child too, for what it declares where torchvision is broken."""

ALONE = """
import runpy, sys

shared = runpy.run_path(sys.argv[1])

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("nestgen", "pydantic"):
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Blocker())
for file in sys.argv[2:]:
    print(file)
    runpy.run_path(file, run_name="__main__")
"""


def test_they_run_where_nestgen_is_not(
    golden_specs: Specs, golden_folder: Path, tmp_path: Path
) -> None:
    files = [str(golden_folder / f"{name}.py") for name in golden_specs]
    child = run(sys.executable, "-I", "-c", ALONE, str(SHARED), *files, cwd=tmp_path)
    assert child.returncode == 0, child.stderr.decode()
    expected: list[str] = []
    for file, spec in zip(files, golden_specs.values(), strict=True):
        size = [2 * by for by in NestGraph(spec).multiples]
        cost = graph_cost(NestGraph(spec), tuple(size))
        shape = [1, spec.classes, *size]
        heads = [f"L{level} {shape}" for level in spec.heads]
        one = [str(shape)]
        expected += [file, f"{cost.parameters:,} parameters"]
        expected += heads if len(heads) > 1 else one
    assert child.stdout.decode().splitlines() == expected


def test_nestgen_is_blocked_there(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text("import nestgen\n")
    child = run(sys.executable, "-I", "-c", ALONE, str(SHARED), "net.py", cwd=tmp_path)
    assert child.returncode == 1
    assert b"ModuleNotFoundError: nestgen" in child.stderr


@pytest.mark.parametrize(
    "variables",
    [
        {"PYTHONHASHSEED": "1", "LC_ALL": "C", "PYTHONUTF8": "0"},
        {"PYTHONHASHSEED": "2", "LC_ALL": "C.UTF-8", "PYTHONIOENCODING": "ascii"},
    ],
)
def test_bytes_are_the_same_everywhere(
    variables: dict[str, str], golden_specs: Specs, golden_folder: Path, tmp_path: Path
) -> None:
    """Whatever the hash seed, the locale and the working directory."""
    make = (
        "import runpy, sys\n"
        f"shared = runpy.run_path({str(SHARED)!a})\n"
        f"sys.path.insert(0, {str(ROOT)!a})\n"
        "from nestgen.arch.spec import Block, NestSpec\n"
        "from nestgen.codegen.source import source\n"
        "from nestgen.files import write_whole\n"
        f"for n, spec in enumerate({list(golden_specs.values())!a}):\n"
        "    write_whole(f'{n}.py', source(spec))\n"
    )
    coerced = {"PYTHONCOERCECLOCALE": "0", **variables}
    child = run(sys.executable, "-c", make, cwd=tmp_path, **coerced)
    assert child.returncode == 0, child.stderr.decode()
    for number, name in enumerate(golden_specs):
        written = (tmp_path / f"{number}.py").read_bytes()
        assert written == (golden_folder / f"{name}.py").read_bytes()
