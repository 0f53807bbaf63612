"""The network that a command is about: a file, or options."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from nestgen.cli.options import make_spec

if TYPE_CHECKING:
    from nestgen.arch.spec import NestSpec


def described(file: str | None, options: dict[str, Any]) -> NestSpec | str:
    """The spec that options describe, over a spec file's fields where there is one.

    A file that options do not change is given back as it is, to be read.
    """
    given = [name for name, value in options.items() if value is not None]
    if file is None:
        return make_spec(options)
    if not given:
        return file
    if "spec_file" in given:
        raise click.UsageError(f"{file}: describes the network, and --spec does too")
    if Path(file).suffix in (".toml", ".json"):
        return make_spec({**options, "spec_file": file})
    option = given[0].replace("_", "-")
    raise click.UsageError(f"{file}: has its spec in it, --{option} changes nothing")
