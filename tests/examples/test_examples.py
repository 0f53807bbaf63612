"""Every example runs, and says and leaves what its docstring tells."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from nestgen.checkpoint import read_spec

EXAMPLES = Path(__file__).parents[2] / "examples"


def main_of(name: str) -> Any:
    return runpy.run_path(str(EXAMPLES / f"{name}.py"))["main"]


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Six squares on a slope of grey, with their masks."""
    for index in range(6):
        picture = Image.linear_gradient("L").resize((40, 36))
        mask = Image.new("L", picture.size)
        box = (4 + index, 6, 20 + index, 24)
        for image, value in ((picture, 255), (mask, 255)):
            image.paste(value, box)
        for side, image in (("images", picture), ("masks", mask)):
            (tmp_path / "data" / side).mkdir(parents=True, exist_ok=True)
            image.save(tmp_path / "data" / side / f"{index}.png")
    return tmp_path / "data"


def test_there_is_a_test_for_each() -> None:
    tested = {"quickstart", "train_on_your_folder", "prune_and_predict"}
    assert {path.stem for path in EXAMPLES.glob("*.py")} == tested


def test_quickstart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main_of("quickstart")(["-o", str(tmp_path)])
    assert "full network's L2: True" in capsys.readouterr().out
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == ["network-L2.pt", "network.py", "network.svg"]


def test_train_then_prune_and_predict(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    main_of("train_on_your_folder")(
        [str(images), "-o", str(run), "--depth", "2", "--epochs", "2"]
    )
    printed = capsys.readouterr().out.splitlines()
    assert printed[-1].startswith("L")
    assert list(run.glob("model-L?.pt"))

    main_of("prune_and_predict")(
        [str(run / "model.pt"), "1", str(images / "images"), "-o", str(tmp_path / "p")]
    )
    assert read_spec(tmp_path / "p" / "model-L1.pt").depth == 1
    assert len(list((tmp_path / "p" / "masks").glob("*.png"))) == 6
