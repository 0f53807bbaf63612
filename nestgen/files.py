"""Files are replaced whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
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
    raw = data.encode() if isinstance(data, str) else data
    aside = None
    try:
        target = Path(path).resolve()
        if os.path.exists(target) and not target.is_file():
            raise OutputError(f"{path}: is no file that could be replaced")
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, aside = tempfile.mkstemp(dir=target.parent, prefix=".nestgen-")
        with os.fdopen(handle, "wb") as file:
            file.write(raw)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(aside, 0o666 & ~_umask())
        os.replace(aside, target)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror})") from error
    finally:
        if aside is not None:
            Path(aside).unlink(missing_ok=True)


def refuse_existing(
    *paths: str | os.PathLike[str],
    force: bool = False,
    keep: Sequence[str | os.PathLike[str]] = (),
) -> None:
    """Raise `OutputError` if any of `paths` exists and `force` is not given.

    A path that is given twice, or is one of the files to `keep`, is always refused.

    >>> refuse_existing("no-such-file.py")
    >>> refuse_existing("a.py", "./a.py")
    Traceback (most recent call last):
    nestgen.errors.OutputError: ./a.py: is given for two files
    """
    taken = {Path(path).resolve() for path in keep}
    for path in paths:
        if Path(path).resolve() in taken:
            raise OutputError(f"{path}: is given for two files")
        taken.add(Path(path).resolve())
    there = [str(path) for path in paths if os.path.lexists(path)]
    if there and not force:
        raise OutputError(f"{', '.join(there)}: exists already; --force overwrites")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
