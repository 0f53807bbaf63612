"""The TeX document: the places of the figure, text that stays text, and it compiles."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nestgen.arch.graph import NestGraph
from nestgen.arch.spec import NestSpec
from nestgen.codegen.expressions import Code
from nestgen.drawing.figure import figure
from nestgen.drawing.options import Options
from nestgen.drawing.tex import tex
from nestgen.drawing.tikz import tikz_text
from nestgen.errors import DrawingError

FOUR = NestGraph(NestSpec(depth=4))
HOSTILE = r"50 % of \input{x} & $a_1^2$ ~ #1 {}} -- `a' <b> | Müller, Łódź"


def tikz(*graphs: NestGraph, **options: Any) -> str:
    return tikz_text(figure(graphs, Options(**options)))


def compiled(text: str, folder: Path) -> str:
    """The log of pdflatex; the test is skipped where that is missing."""
    program = shutil.which("pdflatex")
    if program is None:
        pytest.skip("pdflatex is not on PATH")
    (folder / "net.tex").write_text(text, encoding="utf-8")
    done = subprocess.run(
        [program, "-interaction=nonstopmode", "-halt-on-error", "net.tex"],
        cwd=folder,
        capture_output=True,
        timeout=120,
    )
    log = (folder / "net.log").read_text(errors="replace")
    assert done.returncode == 0, log[-2000:]
    return log


def test_each_thing_stands_where_the_layout_has_it() -> None:
    drawn = figure([FOUR], Options(legend=False, title=""))
    text = tikz_text(drawn)
    assert len(re.findall(r"\\node\[name", text)) == len(FOUR.nodes)
    assert len(re.findall(r"^\\draw\[.*Triangle", text, re.M)) == len(FOUR.edges)
    assert re.search(
        r"\\node\[name, [^]]*\] at \(0.00,0.00\) \{\$X\^\{0,0\}\$\};", text
    )
    low, high = drawn.page
    assert f"paperwidth={high.x - low.x:.2f}bp" in text
    assert f"rectangle ({high.x:.2f},{high.y:.2f});" in text


def test_colours_are_defined_before_they_are_used() -> None:
    head, _, body = tikz(FOUR, heat="macs", level=2).partition(r"\begin{document}")
    defined = set(re.findall(r"\\definecolor\{(c[0-9a-f]{6})\}", head))
    assert set(re.findall(r"\bc[0-9a-f]{6}\b", body)) <= defined


@given(st.text(st.characters(codec="ascii"), max_size=40))
def test_ascii_stays_text(title: str) -> None:
    """No mark of TeX is left but in the commands that print one."""
    bare = re.sub(r"\\text[a-z]+\{\}|\\[{}$&#%_]|-\{\}", "", tex(title))
    assert isinstance(tex(title), Code)
    assert not set(bare) & set('\\{}$&#%_^~`<>|"-')
    assert bare.isprintable()


@pytest.mark.parametrize("letter", ["中", "\U0001f600", "ð", "Ω"])
def test_letters_that_tex_lacks_are_named(letter: str) -> None:
    with pytest.raises(DrawingError, match=r"cannot be set in TeX, Latin letters"):
        tikz(FOUR, title=f"A {letter}")


@pytest.mark.parametrize(
    "options",
    [
        {"title": HOSTILE, "level": 2, "channels": True, "size": (256, 512)},
        {"area": "parameters", "heat": "macs"},
        {"gradients": [1, 2, 4]},
    ],
    ids=["hostile", "area", "gradients"],
)
def test_it_compiles_on_one_page(options: dict[str, Any], tmp_path: Path) -> None:
    log = compiled(tikz(FOUR, **options), tmp_path)
    assert "Output written on net.pdf (1 page" in log
    assert "Overfull" not in log


def test_families_compile_side_by_side(tmp_path: Path) -> None:
    specs = [NestSpec(depth=2, family="unet-e"), NestSpec(depth=3)]
    assert "(1 page" in compiled(tikz(*map(NestGraph, specs)), tmp_path)
