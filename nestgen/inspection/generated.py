"""A generated source, read as text: its spec, and whether it was changed since."""

from __future__ import annotations

import os
from itertools import count, zip_longest
from pathlib import Path

from nestgen.arch.spec import NestSpec
from nestgen.arch.specfile import from_toml
from nestgen.codegen.source import source
from nestgen.errors import SpecError

MAX_CHARACTERS = 2**24
OPENING = "Written by nestgen from this spec:\n"
QUOTES = '"""'


def read_generated(path: str | os.PathLike[str]) -> tuple[NestSpec, int | None]:
    """The spec in the docstring of `path`, and the number of the first line that is
    not what nestgen would write of it, None where there is none.

    Raises `SpecError` for a file without a spec in its docstring.

    >>> import pathlib, tempfile
    >>> file = pathlib.Path(tempfile.mkdtemp()) / "net.py"
    >>> text = source(NestSpec(depth=1))
    >>> _ = file.write_text(text.replace("padding=1", "padding=2"))
    >>> spec, line = read_generated(file)
    >>> spec == NestSpec(depth=1), text.splitlines()[line - 1].strip()
    (True, 'self.conv1 = nn.Conv2d(in_channels, channels, 3, padding=1, bias=False)')
    """
    text = _text(path)
    try:
        spec = from_toml(_toml(text))
    except SpecError as error:
        raise SpecError(f"{path}: {error}") from error
    return spec, _first_difference(text, source(spec))


def _text(path: str | os.PathLike[str]) -> str:
    try:
        with Path(path).open(encoding="utf-8") as file:
            text = file.read(MAX_CHARACTERS + 1)
    except OSError as error:
        raise SpecError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise SpecError(f"{path}: is no UTF-8 text") from error
    if len(text) > MAX_CHARACTERS:
        raise SpecError(f"{path}: larger than {MAX_CHARACTERS} characters")
    return text


def _toml(text: str) -> str:
    """What the docstring that opens a file says below the line that introduces it."""
    _, opened, rest = text.partition(QUOTES)
    docstring, closed, _ = rest.partition(QUOTES)
    _, introduced, toml = docstring.partition(OPENING)
    if not (opened and closed and introduced) or not text.startswith(QUOTES):
        raise SpecError("is no source that nestgen wrote, its docstring has no spec")
    return toml


def _first_difference(found: str, expected: str) -> int | None:
    pairs = zip_longest(found.split("\n"), expected.split("\n"))
    return next((n for n, (a, b) in zip(count(1), pairs) if a != b), None)
