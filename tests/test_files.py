"""Files are replaced whole or not at all, whatever happens."""

from __future__ import annotations

import os
import random
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from nestgen.errors import OutputError
from nestgen.files import refuse_existing, write_whole

ROOT = Path(__file__).parents[1]


@pytest.fixture
def umask() -> Iterator[None]:
    """What a test does to the process's umask ends with it."""
    before = os.umask(0o022)
    yield
    os.umask(before)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_bytes_and_text_come_out_as_they_went_in(tmp_path: Path) -> None:
    write_whole(tmp_path / "raw", b"\r\n\0\xff")
    write_whole(str(tmp_path / "text"), "größer\n🧬\r\n")
    assert (tmp_path / "raw").read_bytes() == b"\r\n\0\xff"
    assert (tmp_path / "text").read_bytes() == "größer\n🧬\r\n".encode()
    assert names(tmp_path) == {"raw", "text"}


def test_missing_folders_are_made(tmp_path: Path) -> None:
    write_whole(tmp_path / "a" / "b" / "c.txt", "x")
    assert (tmp_path / "a" / "b" / "c.txt").read_text() == "x"


def test_old_content_is_replaced(tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.write_bytes(b"x" * 100)
    write_whole(file, b"new")
    assert file.read_bytes() == b"new"
    assert names(tmp_path) == {"f"}


@pytest.mark.usefixtures("umask")
@pytest.mark.parametrize("mask", [0o022, 0o027, 0o077, 0o000])
def test_permissions_are_those_of_any_new_file(mask: int, tmp_path: Path) -> None:
    os.umask(mask)
    write_whole(tmp_path / "ours", "x")
    (tmp_path / "pythons").write_text("x")
    modes = [stat.S_IMODE((tmp_path / f).stat().st_mode) for f in ("ours", "pythons")]
    assert modes[0] == modes[1] == 0o666 & ~mask
    assert os.umask(mask) == mask


def test_what_the_file_system_refuses_is_one_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "folder").mkdir()
    for target, reason in [
        (tmp_path / "file" / "inside", r"written \((Not a directory|File exists)\)$"),
        (tmp_path / "folder", "is no file that could be replaced$"),
        (tmp_path / ("n" * 300), r"written \(File name too long\)$"),
    ]:
        with pytest.raises(OutputError, match=reason):
            write_whole(target, "new")
    assert names(tmp_path) == {"file", "folder"}
    assert names(tmp_path / "folder") == set()
    assert (tmp_path / "file").read_text() == "x"


@pytest.mark.parametrize("step", ["fsync", "chmod", "replace"])
def test_a_failure_on_the_way_leaves_the_old_file(
    step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    file = tmp_path / "f"
    file.write_text("old")
    monkeypatch.setattr(os, step, full)
    with pytest.raises(OutputError, match=r"No space left on device"):
        write_whole(file, "new")
    assert file.read_text() == "old"
    assert names(tmp_path) == {"f"}


def test_an_interrupt_on_the_way_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_whole(tmp_path / "f", "new")
    assert names(tmp_path) == set()


WRITER = """
import sys
from nestgen.files import write_whole
contents = [letter * 2_000_000 for letter in "ab"]
print("ready", flush=True)
while True:
    for content in contents:
        {write}
"""
WHOLE = "write_whole('f', content)"
PLAIN = "open('f', 'w').write(content)"


def killed_content(write: str, folder: Path, wait: float) -> str:
    """What is in the file after its writer was killed at some moment."""
    command = [sys.executable, "-c", WRITER.format(write=write)]
    variables = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command, cwd=folder, env=variables, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        time.sleep(wait)
        child.send_signal(signal.SIGKILL)
    return (folder / "f").read_text()


def is_whole(content: str) -> bool:
    return len(content) == 2_000_000 and len(set(content)) == 1


def test_a_killed_writer_leaves_old_or_new(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("b" * 2_000_000)
    chance = random.Random(0)
    for _ in range(6):
        assert is_whole(killed_content(WHOLE, tmp_path, chance.uniform(0, 0.05)))


def test_a_plain_writer_would_not(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("b" * 2_000_000)
    chance = random.Random(0)
    tries = (
        killed_content(PLAIN, tmp_path, chance.uniform(0, 0.05)) for _ in range(40)
    )
    assert not all(map(is_whole, tries))


def test_existing_files_are_all_named(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_text("x")
    paths = [tmp_path / name for name in ("a", "b", "c")]
    text = f"^{paths[0]}, {paths[1]}: exists already; --force overwrites$"
    with pytest.raises(OutputError, match=text):
        refuse_existing(*paths)
    refuse_existing(*paths, force=True)
    refuse_existing(paths[2])


def test_a_path_is_not_given_for_two_files(tmp_path: Path) -> None:
    (tmp_path / "model.pt").write_text("x")
    for paths, keep in [(["a", "./a"], []), (["model.pt"], ["model.pt"])]:
        with pytest.raises(OutputError, match=r"is given for two files$"):
            refuse_existing(
                *(tmp_path / path for path in paths),
                force=True,
                keep=[tmp_path / path for path in keep],
            )


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "file")
    write_whole(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").read_text() == "new"


def test_a_pipe_is_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OutputError, match="is no file"):
        write_whole(tmp_path / "pipe", "new")
    assert (tmp_path / "pipe").is_fifo()
