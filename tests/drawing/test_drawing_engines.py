"""Both engines, and what is said when there is none or it fails."""

from __future__ import annotations

import io
import shutil
import stat
import subprocess
import xml.etree.ElementTree as ET
from importlib import metadata
from pathlib import Path
from typing import Any, NoReturn

import pytest
from PIL import Image

from nestgen.arch.graph import NestGraph
from nestgen.arch.spec import NestSpec
from nestgen.drawing import engines
from nestgen.drawing.dot import dot_text
from nestgen.drawing.engines import engine, pure, render
from nestgen.drawing.figure import figure
from nestgen.drawing.options import Options
from nestgen.errors import DrawingError

TEXT = dot_text(
    figure([NestGraph(NestSpec(depth=3))], Options(channels=True, size=(64, 64)))
)
needs_dot = pytest.mark.skipif(
    shutil.which("dot") is None, reason="Graphviz's dot is not on PATH"
)


def program(folder: Path, script: str) -> str:
    path = folder / "engine"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


@pytest.fixture
def no_pure(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> NoReturn:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "distribution", missing)


@pytest.fixture
def no_dot(monkeypatch: pytest.MonkeyPatch) -> None:
    which = shutil.which

    def hidden(name: str) -> str | None:
        return None if name == "dot" else which(name)

    monkeypatch.setattr(shutil, "which", hidden)


def test_svg_is_xml_and_always_the_same() -> None:
    first = render(TEXT, "svg")
    assert ET.fromstring(first).tag == "{http://www.w3.org/2000/svg}svg"
    assert render(TEXT, "svg") == first


def test_png_is_the_page_at_200_dpi_and_not_blank() -> None:
    width = ET.fromstring(render(TEXT, "svg")).get("width", "")
    with Image.open(io.BytesIO(render(TEXT, "png"))) as image:
        colours = image.convert("RGB").getcolors(2**24) or []
        assert image.width == pytest.approx(float(width[:-2]) * 200 / 72, abs=4)
    count = {colour: number for number, colour in colours}
    assert max(count, key=count.__getitem__) == (255, 255, 255)
    for tint in ((0xCF, 0xE4, 0xF3), (0xE2, 0xF3, 0xEC), (0xFC, 0xE4, 0xD4)):
        assert count[tint] > 1000


def test_engine_is_found_where_it_is_installed() -> None:
    found = pure()
    assert found is not None
    assert engine("svg") == engine("png") == found


@pytest.mark.usefixtures("no_pure", "no_dot")
@pytest.mark.parametrize("kind", ["svg", "png", "pdf"])
def test_no_engine_at_all(kind: str) -> None:
    with pytest.raises(DrawingError, match=f"^{kind}: needs .*dot on PATH") as error:
        render(TEXT, kind)
    assert "\n" not in str(error.value)


@pytest.mark.usefixtures("no_dot")
def test_pdf_needs_dot() -> None:
    with pytest.raises(DrawingError, match="needs Graphviz's dot on PATH"):
        engine("pdf")


@pytest.mark.usefixtures("no_pure")
def test_dot_stands_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = program(tmp_path, 'cat > /dev/null; echo "$@"')
    (tmp_path / "engine").rename(tmp_path / "dot")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert engine("svg") == str(Path(path).with_name("dot"))
    assert render(TEXT, "svg") == b"-q -Kneato -n2 -Tsvg\n"
    assert render(TEXT, "png") == b"-q -Kneato -n2 -Gdpi=200 -Tpng\n"


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("cat > /dev/null; echo 'bad\n  luck' >&2; exit 3", "failed with 3: bad luck"),
        ("cat > /dev/null", "failed with 0: no reason"),
    ],
)
def test_engine_that_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, said: str
) -> None:
    path = program(tmp_path, script)
    monkeypatch.setattr(engines, "engine", lambda kind: path)
    with pytest.raises(DrawingError) as error:
        render(TEXT, "svg")
    assert str(error.value) == f"{path}: {said}"


def test_engine_that_cannot_be_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "engine", lambda kind: str(tmp_path / "none"))
    with pytest.raises(DrawingError, match="cannot be run"):
        render(TEXT, "svg")


def test_engine_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    def hang(command: list[str], *, timeout: float, **_: Any) -> NoReturn:
        raise subprocess.TimeoutExpired(command, timeout)

    monkeypatch.setattr(subprocess, "run", hang)
    with pytest.raises(DrawingError, match=r"not done after 60 s$"):
        render(TEXT, "svg")


@needs_dot
@pytest.mark.usefixtures("no_pure")
def test_graphviz_draws_at_the_same_places(monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = ET.fromstring(render(TEXT, "svg"))
    monkeypatch.undo()
    ours = ET.fromstring(render(TEXT, "svg"))

    def discs(root: ET.Element) -> list[float]:
        shapes = root.iter("{http://www.w3.org/2000/svg}ellipse")
        return [float(shape.get(name, "")) for shape in shapes for name in ("cx", "cy")]

    assert discs(theirs) == pytest.approx(discs(ours), abs=0.5)


@needs_dot
def test_pdf_by_graphviz() -> None:
    assert render(TEXT, "pdf").startswith(b"%PDF")
