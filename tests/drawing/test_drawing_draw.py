"""`draw`: what it takes, what it writes, and what it leaves alone."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from nestgen.arch.graph import NestGraph
from nestgen.arch.spec import NestSpec
from nestgen.drawing import draw
from nestgen.drawing.dot import dot_text
from nestgen.drawing.figure import figure
from nestgen.drawing.options import Options
from nestgen.errors import DrawingError

SPEC = NestSpec(depth=2)


@pytest.mark.parametrize(
    "thing",
    [SPEC, NestGraph(SPEC), SimpleNamespace(spec=SPEC)],
    ids=["spec", "graph", "model"],
)
def test_whatever_has_a_spec_is_drawn(thing: Any, tmp_path: Path) -> None:
    file = tmp_path / "net.gv"
    draw(thing, file, level=1, channels=True, size=(4, 8), legend=False, title="T")
    assert file.read_text(encoding="utf-8") == dot_text(
        figure(
            [NestGraph(SPEC)],
            Options(level=1, channels=True, size=(4, 8), legend=False, title="T"),
        )
    )


@pytest.mark.parametrize("thing", [None, 3, "unet++", SimpleNamespace(spec="unet")])
def test_nothing_else_is_drawn(thing: Any, tmp_path: Path) -> None:
    kind = type(thing).__name__
    with pytest.raises(DrawingError, match=f"^{kind}: cannot be drawn, a NestSpec"):
        draw(thing, tmp_path / "net.svg")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "start"),
    [
        ("a.svg", b"<?xml"),
        ("a.SVG", b"<?xml"),
        ("a.b.png", b"\x89PNG"),
        ("a.gv", b"digraph"),
        ("a.dot", b"digraph"),
        ("a.tex", b"% UNet++"),
        ("a.mmd", b"---\ntitle: "),
    ],
)
def test_name_says_the_format(name: str, start: bytes, tmp_path: Path) -> None:
    draw(SPEC, tmp_path / name)
    assert (tmp_path / name).read_bytes().startswith(start)


@pytest.mark.parametrize("name", ["net", "net.jpg", ".svg", "svg", "net.svg.gz"])
def test_other_formats_are_refused(name: str, tmp_path: Path) -> None:
    allowed = r"a name that ends in \.svg, \.png, \.pdf, \.tex, \.gv, \.dot, \.mmd can$"
    with pytest.raises(DrawingError, match=allowed):
        draw(SPEC, tmp_path / name)


def test_an_error_leaves_the_old_file(tmp_path: Path) -> None:
    file = tmp_path / "net.svg"
    file.write_text("old")
    with pytest.raises(DrawingError):
        draw(SPEC, file, level=7)
    assert file.read_text() == "old"
    draw(SPEC, file)
    assert file.read_text(encoding="utf-8").startswith("<?xml")
    assert list(tmp_path.iterdir()) == [file]
