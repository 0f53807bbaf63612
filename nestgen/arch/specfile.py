"""A spec as text: TOML and JSON, read strictly, written so that it reads back equal."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from nestgen.arch.spec import NestSpec
from nestgen.errors import SpecError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

MAX_BYTES = 2**20


def to_json(spec: NestSpec) -> str:
    """The spec as JSON text."""
    return json.dumps(spec.model_dump(exclude_none=True, mode="json"), indent=2) + "\n"


def to_toml(spec: NestSpec) -> str:
    """The spec as TOML text; JSON's way to write a value is TOML's too.

    >>> print(to_toml(NestSpec(depth=1)).splitlines()[3])
    widths = [16, 32]
    """
    fields = spec.model_dump(exclude_none=True, mode="json")
    block = fields.pop("block")
    return f"{_assignments(fields)}\n[block]\n{_assignments(block)}"


def from_json(text: str) -> NestSpec:
    """The spec in a JSON text. Duplicate keys and NaN are refused.

    >>> from_json('{"depth": 1, "depth": 2}')
    Traceback (most recent call last):
    nestgen.errors.SpecError: not a spec in JSON: the key 'depth' occurs twice
    """
    return from_fields(_json_fields(text))


def from_toml(text: str) -> NestSpec:
    """The spec in a TOML text.

    >>> from_toml("depth = 2").depth
    2
    """
    return from_fields(_toml_fields(text))


def from_fields(fields: Any) -> NestSpec:
    """The spec that a mapping of fields describes, as a file or a checkpoint has it."""
    return NestSpec(**_table(fields))


def read_spec(path: str | os.PathLike[str]) -> NestSpec:
    """The spec in the file `path`, which ends in .toml or .json."""
    try:
        return from_fields(read_fields(path))
    except SpecError as error:
        raise SpecError(f"{path}: {str(error).removeprefix(f'{path}: ')}") from error


def read_fields(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The fields that a spec's file gives, not yet checked or completed."""
    file = Path(path)
    readers = {".toml": _toml_fields, ".json": _json_fields}
    if file.suffix not in readers:
        raise SpecError(f"{file}: a spec is a .toml or a .json file")
    try:
        with file.open("rb") as opened:
            raw = opened.read(MAX_BYTES + 1)
        if len(raw) > MAX_BYTES:
            raise SpecError(f"larger than {MAX_BYTES} bytes")
        return _table(readers[file.suffix](raw.decode()))
    except OSError as error:
        raise SpecError(f"{file}: cannot be read ({error.strerror})") from error
    except (UnicodeDecodeError, SpecError) as error:
        raise SpecError(f"{file}: {_line(error)}") from error


def _table(fields: Any) -> dict[str, Any]:
    if not isinstance(fields, dict):
        raise SpecError(f"a spec is a table of fields, not {type(fields).__name__}")
    if not all(isinstance(name, str) for name in fields):
        raise SpecError("the fields of a spec have text as names")
    return fields


def _json_fields(text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise SpecError(f"not a spec in JSON: {_line(error)}") from error


def _toml_fields(text: str) -> Any:
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise SpecError(f"not a spec in TOML: {_line(error)}") from error


def _assignments(fields: dict[str, Any]) -> str:
    return "".join(
        f"{name} = {json.dumps(value, ensure_ascii=False)}\n"
        for name, value in fields.items()
    )


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {twice!r} occurs twice")
    return fields


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no number")


def _line(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "nested too deeply"
    return " ".join(str(error).split())
