"""Every command in the docs is run, and where its output is shown, it is compared."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, get_args

import pytest
import torch
from click.testing import CliRunner
from monai.networks.nets import BasicUNetPlusPlus
from PIL import Image

import nestgen
from nestgen.arch.block import Block
from nestgen.arch.choices import (
    Activation,
    BlockKind,
    Concat,
    Norm,
    PresetName,
    Skip,
    Up,
)
from nestgen.arch.encoders import ENCODERS
from nestgen.arch.families import FamilyName
from nestgen.cli import COMMANDS, main

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    *(ROOT / "docs" / f"{n}.md" for n in ("commands", "weights")),
]
PYTHON = ROOT / "docs" / "python.md"
ARCHITECTURES = ROOT / "docs" / "architectures.md"


class Shown(NamedTuple):
    """A command as a page shows it, and what the page says it prints."""

    words: list[str]
    output: list[str]


def commands(page: Path) -> Iterator[Shown]:
    """The commands after `$ nestgen` in the page's console blocks."""
    blocks = re.findall(r"```console\n(.*?)```", page.read_text("utf-8"), re.S)
    for block in blocks:
        for part in re.split(r"^\$ ", block, flags=re.M)[1:]:
            line, *output = part.rstrip().splitlines()
            program, *words = shlex.split(line)
            assert program == "nestgen"
            yield Shown(words, output)


def stripped(text: str) -> list[str]:
    """Lines without what is blank at their ends, and without blank lines."""
    return [line.rstrip() for line in text.splitlines() if line.strip()]


@pytest.fixture
def at_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with what the pages take for granted: images, a spec, weights."""
    monkeypatch.chdir(tmp_path)
    for darkest, split in enumerate(("train", "val", "test")):
        for side in ("images", "masks"):
            (tmp_path / "DATA" / split / side).mkdir(parents=True)
        for index in range(4):
            image = Image.linear_gradient("L").resize((32, 32)).rotate(90 * index)
            image = image.point([max(20 * darkest, grey) for grey in range(256)])
            mask = image.point(lambda grey: 255 if grey > 127 else 0)
            image.save(tmp_path / "DATA" / split / "images" / f"{index}.png")
            mask.save(tmp_path / "DATA" / split / "masks" / f"{index}.png")
    (tmp_path / "IMAGES").symlink_to(tmp_path / "DATA" / "val" / "images")
    (tmp_path / "small.toml").write_text("depth = 2\n")
    theirs = BasicUNetPlusPlus(2, 3, 1, (4, 4, 8, 16, 32, 4))
    torch.save(theirs.state_dict(), tmp_path / "weights.pth")
    return tmp_path


def quickened(words: list[str]) -> list[str]:
    """A training is run for one epoch: what is tried is the command."""
    return [*words, "--epochs", "1"] if words[0] == "train" else words


def test_the_pages_run_as_one_session(at_work: Path) -> None:
    runner = CliRunner()
    for page in PAGES:
        for shown in commands(page):
            result = runner.invoke(main, quickened(shown.words))
            assert result.exit_code == 0, (shown.words, result.output)
            if shown.output:
                found = stripped(result.stdout)
                assert found == stripped("\n".join(shown.output)), shown.words


def test_a_wrong_output_would_be_found() -> None:
    shown = next(commands(PAGES[0]))
    assert shown.words[0] == "build"
    assert len(stripped("\n".join(shown.output))) > 5


def test_every_command_has_its_section() -> None:
    text = PAGES[1].read_text("utf-8")
    assert re.findall(r"^## (\w+)$", text, re.M) == COMMANDS
    used = {shown.words[0] for page in PAGES for shown in commands(page)}
    assert {*used, "demo"} == set(COMMANDS), "the demo has a test of its own"


def test_the_picture_is_what_its_command_draws(at_work: Path) -> None:
    words = "draw --depth 4 --dense --level 2 -o unetpp.svg"
    assert f"$ nestgen {words}" in PAGES[0].read_text("utf-8")
    assert CliRunner().invoke(main, words.split()).exit_code == 0
    drawn = (at_work / "unetpp.svg").read_bytes()
    assert drawn == (ROOT / "docs" / "unetpp.svg").read_bytes()


@pytest.mark.parametrize(
    "page", sorted(ROOT.glob("*.md")) + sorted(ROOT.glob("docs/*.md"))
)
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text("utf-8")
    for target in re.findall(r'(?:\]\(|src=")([^)"#]+)', text):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), target


def sections(page: Path) -> set[str]:
    """The words that head sections of a page."""
    return set(re.findall(r"^## (\w+)$", page.read_text("utf-8"), re.M))


def undocumented(names: list[str]) -> set[str]:
    """Those of `names` that have no section with an example."""
    text = PYTHON.read_text("utf-8")
    parts = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", text, re.M | re.S))
    return {name for name in names if ">>> " not in parts.get(name, "")}


def test_every_public_name_has_its_example() -> None:
    assert undocumented(nestgen.__all__) == set()
    assert sections(PYTHON) == set(nestgen.__all__), "and no other"


def test_a_name_without_an_example_would_be_found() -> None:
    assert undocumented([*nestgen.__all__, "unwritten"]) == {"unwritten"}


def missing_words(page: Path, words: list[str]) -> set[str]:
    """Those of `words` that a page does not have as code."""
    found = set(re.findall(r"`([^`\n]+)`", page.read_text("utf-8")))
    return set(words) - found


@pytest.mark.parametrize("page", [ARCHITECTURES, PAGES[1]], ids=lambda page: page.stem)
def test_every_word_of_a_spec_is_explained(page: Path) -> None:
    kinds = (Up, BlockKind, Norm, Activation, Skip, Concat, PresetName, FamilyName)
    words = [word for kind in kinds for word in get_args(kind)] + list(ENCODERS)
    assert missing_words(page, words) == set()
    assert missing_words(page, [*words, "bicubic"]) == {"bicubic"}


def test_every_field_of_a_block_is_explained() -> None:
    fields = [f"block.{name}" for name in Block.model_fields]
    assert missing_words(ARCHITECTURES, fields) == set()
