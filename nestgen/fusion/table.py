"""Which form and which kernel were measured to be the best, on which device."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter, ValidationError

from nestgen.errors import SettingsError, in_a_line
from nestgen.files import write_whole
from nestgen.fusion.choice import Choice
from nestgen.fusion.compose import torch_forms
from nestgen.fusion.signature import Key, Signature
from nestgen.kernels.configurations import KERNELS, configuration_of
from nestgen.kernels.lowering import FORMS

MOST_BYTES = 2**24

Milliseconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Name = Annotated[str, Field(max_length=200)]


def _runner(impl: str) -> str:
    if impl not in ("torch", *KERNELS):
        raise ValueError(f"{impl[:50]!r} is not allowed, torch, {', '.join(KERNELS)}")
    return impl


def _configuration(text: str) -> str:
    if text:
        configuration_of(text)
    return text


@dataclass(frozen=True)
class Entry:
    """What was the best for a hot path, and how long it and torch took.

    Attributes:
        device: as its maker calls it.
        dtype: of all tensors, or "tf32".
        signature: of the hot path.
        form: see `Choice`.
        impl: see `Choice`.
        configuration: of the kernel, as a text; "" is none.
        ms: milliseconds of this choice.
        torch_form: the best form in torch's own operators.
        torch_ms: milliseconds of that.
        versions: of nestgen, torch and Triton; "" where there is none.
    """

    __pydantic_config__ = ConfigDict(extra="forbid", strict=True)

    device: Name
    dtype: Literal["float32", "tf32", "float16", "bfloat16", "float64"]
    signature: Signature
    form: Literal["written", "split", "composed", "phases", "nearest", "raised"]
    impl: Annotated[str, AfterValidator(_runner)]
    configuration: Annotated[str, AfterValidator(_configuration)]
    ms: Milliseconds
    torch_form: Literal["written", "split", "composed"]
    torch_ms: Milliseconds
    versions: tuple[Name, Name, Name]

    def __post_init__(self) -> None:
        """Raise `ValueError` for what no hot path of the signature takes."""
        up, skips = self.signature.up, len(self.signature.skips)
        of_torch = torch_forms(up, skips)
        allowed = of_torch if self.impl == "torch" else FORMS[up]
        if self.form not in allowed:
            raise ValueError(
                f"form: {self.form} by {self.impl} is not allowed with up {up}, "
                f"{', '.join(allowed)}"
            )
        if self.torch_form not in of_torch:
            raise ValueError(
                f"torch_form: {self.torch_form} is not allowed with up {up}, "
                f"{', '.join(of_torch)}"
            )
        if self.impl == "torch" and self.configuration:
            raise ValueError("configuration: torch has none")

    @property
    def key(self) -> Key:
        """For what it was measured."""
        return Key(self.device, self.dtype, self.signature)

    @property
    def choice(self) -> Choice:
        """What to take."""
        text = self.configuration
        return Choice(self.form, self.impl, configuration_of(text) if text else None)


class Table:
    """Entries, one for each device, dtype and signature.

    >>> Table().to_json()
    '{\\n  "choices": []\\n}\\n'
    """

    def __init__(self, entries: Iterable[Entry] = ()) -> None:
        self.entries = {entry.key: entry for entry in entries}

    def add(self, entry: Entry) -> None:
        """Put an entry in, in the place of an older one for the same."""
        self.entries[entry.key] = entry

    def find(self, key: Key) -> Choice | None:
        """What was the best; None where nothing was measured."""
        entry = self.entries.get(key)
        return None if entry is None else entry.choice

    def to_json(self) -> str:
        """As a file that `read_table` reads."""
        plain = [asdict(entry) for entry in self.entries.values()]
        return json.dumps({"choices": plain}, indent=2) + "\n"


_ENTRIES: TypeAdapter[dict[Literal["choices"], tuple[Entry, ...]]] = TypeAdapter(
    dict[Literal["choices"], tuple[Entry, ...]]
)


def table_of(text: bytes) -> Table:
    """The table in a JSON text; `SettingsError`, one line, for what is none.

    >>> table_of(b'{"choices": [{}]}')
    Traceback (most recent call last):
    nestgen.errors.SettingsError: choices, 0, device: Field required
    """
    try:
        return Table(_ENTRIES.validate_json(text, strict=True).get("choices", ()))
    except ValidationError as error:
        first: Any = error.errors(include_url=False)[0]
        where = ", ".join(str(step)[:30] for step in first["loc"]) or "choices"
        line = " ".join(f"{where}: {first['msg']}".split())[:160]
        raise SettingsError(ascii(line)[1:-1]) from error


def read_table(path: Path) -> Table:
    """The table in a file, empty where there is none; `SettingsError` for others."""
    try:
        if not path.exists():
            return Table()
        if not path.is_file():
            raise SettingsError("is no file")
        if path.stat().st_size > MOST_BYTES:
            raise SettingsError(f"has more than {MOST_BYTES} bytes")
        return table_of(path.read_bytes())
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read ({error.strerror})") from error
    except SettingsError as error:
        raise SettingsError(
            f"{path}: {in_a_line(error)}; it is made anew once it is deleted"
        ) from error


def write_table(path: Path, table: Table) -> None:
    """Replace the file whole."""
    write_whole(path, table.to_json())


def users_file() -> Path:
    """Where choices are kept that were measured here: in the user's cache folder."""
    given = Path(os.environ.get("XDG_CACHE_HOME", ""))
    folder = given if given.is_absolute() else Path.home() / ".cache"
    return folder / "nestgen" / "choices.json"


def shipped() -> Table:
    """The table that comes with nestgen."""
    return table_of((files("nestgen.fusion") / "choices.json").read_bytes())
