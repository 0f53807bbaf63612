from __future__ import annotations

from pathlib import Path

import pytest

from nestgen.errors import DataError
from nestgen.imaging.inputs import expand_inputs


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "more").mkdir()
    (tmp_path / "folder.png").mkdir()
    for name in ("b.png", "a.TIF", ".c.png", "notes.txt", "more/d.jpeg", "e[1].bmp"):
        (tmp_path / name).touch()
    return tmp_path


@pytest.mark.parametrize(
    ("argument", "found"),
    [
        ("", ["a.TIF", "b.png", "e[1].bmp"]),
        ("b.png", ["b.png"]),
        ("notes.txt", ["notes.txt"]),
        ("e[1].bmp", ["e[1].bmp"]),
        ("*.png", ["b.png"]),
        ("*", ["a.TIF", "b.png", "e[1].bmp"]),
        ("?.*", ["a.TIF", "b.png"]),
        ("*/*", ["more/d.jpeg"]),
        ("**/*.jpeg", ["more/d.jpeg"]),
    ],
)
def test_files_folders_and_patterns(
    folder: Path, argument: str, found: list[str]
) -> None:
    paths = expand_inputs(str(folder / argument))
    assert [path.relative_to(folder).as_posix() for path in paths] == found


@pytest.mark.parametrize("argument", ["none.png", "*.gif", "notes*", "folder.png"])
def test_nothing_found_is_an_error(folder: Path, argument: str) -> None:
    with pytest.raises(DataError) as error:
        expand_inputs(str(folder / argument))
    assert str(error.value).startswith(f"{folder / argument}: no image; give a file")


def test_two_images_of_one_stem_are_named(folder: Path) -> None:
    for name, both in (("b.nii.gz", "nii.gz and .*b.png"), ("b.jpg", "jpg and .*b.ni")):
        (folder / name).touch()
        with pytest.raises(DataError, match=rf"b\.{both}.*: their masks"):
            expand_inputs(str(folder))
    assert expand_inputs(str(folder / "b.jpg")) == (folder / "b.jpg",)
