"""Files are replaced whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from nestgen.errors import OutputError


def write_whole(path: str | os.PathLike[str], data: bytes | str) -> None:
    """Write `data` beside `path`, make it durable, and rename it into place.

    Whoever reads `path` sees the old content or the new, never a part. Text is
    written as UTF-8 with "\\n" line ends. Missing parent folders are made.
    Raises `OutputError` where the file system refuses.

    >>> import pathlib, tempfile
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> write_whole(folder / "a" / "note.txt", "whole")
    >>> (folder / "a" / "note.txt").read_text()
    'whole'
    """
    target = Path(path)
    raw = data.encode() if isinstance(data, str) else data
    aside = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, aside = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        with os.fdopen(handle, "wb") as file:
            file.write(raw)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(aside, 0o666 & ~_umask())
        os.replace(aside, target)
    except OSError as error:
        raise OutputError(f"{target}: cannot be written ({error.strerror})") from error
    finally:
        if aside is not None:
            Path(aside).unlink(missing_ok=True)


def refuse_existing(*paths: str | os.PathLike[str], force: bool = False) -> None:
    """Raise `OutputError` if any of `paths` exists and `force` is not given.

    >>> refuse_existing("no-such-file.py")
    """
    there = [str(path) for path in paths if Path(path).exists()]
    if there and not force:
        raise OutputError(f"{', '.join(there)}: exists already; --force overwrites")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
