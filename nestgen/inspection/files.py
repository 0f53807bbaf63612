"""What kind of file it is, and what stands in it besides the network."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from nestgen.arch.spec import NestSpec
from nestgen.arch.specfile import read_spec
from nestgen.errors import SpecError
from nestgen.inspection.generated import read_generated


@dataclass(frozen=True)
class File:
    """A file that describes a network.

    Attributes:
        path: as it was given.
        kind: `spec`, `checkpoint` or `source`.
        bytes: its size.
        dtype: of a checkpoint's parameters.
        training_state: whether a checkpoint holds what a run needs to go on.
        first_change: of a source, the first line that nestgen would write otherwise.
    """

    path: str
    kind: str
    bytes: int
    dtype: str | None = None
    training_state: bool | None = None
    first_change: int | None = None

    def to_plain(self) -> dict[str, Any]:
        """As JSON types, without what this kind of file does not have."""
        plain = {
            name: value for name, value in asdict(self).items() if value is not None
        }
        return plain | (
            {"as_written": self.as_written} if self.kind == "source" else {}
        )

    @property
    def as_written(self) -> bool:
        """Whether a source is, line by line, what nestgen writes of its spec now."""
        return self.kind == "source" and self.first_change is None


def read_file(path: str | os.PathLike[str]) -> tuple[NestSpec, File]:
    """The network in `path` and what is known of the file; nothing in it is run.

    Raises `SpecError` or `CheckpointError` for what is no such file.
    """
    file, name = Path(path), str(path)
    readers = {
        ".toml": _spec,
        ".json": _spec,
        ".py": _source,
        ".pt": _checkpoint,
        ".safetensors": _checkpoint,
    }
    if file.suffix not in readers:
        raise SpecError(
            f"{name}: is not known, a spec ends in .toml or .json, a checkpoint in .pt "
            "or .safetensors, a generated source in .py"
        )
    spec, facts = readers[file.suffix](name)
    return spec, File(path=name, bytes=file.stat().st_size, **facts)


def _spec(path: str) -> tuple[NestSpec, dict[str, Any]]:
    return read_spec(path), {"kind": "spec"}


def _source(path: str) -> tuple[NestSpec, dict[str, Any]]:
    spec, line = read_generated(path)
    return spec, {"kind": "source", "first_change": line}


def _checkpoint(path: str) -> tuple[NestSpec, dict[str, Any]]:
    # torch is loaded where there are tensors, and only there
    from nestgen.checkpoint import read

    contents = read(path)
    dtypes = {
        tensor.dtype
        for tensor in contents.tensors.values()
        if tensor.is_floating_point()
    }
    return contents.spec, {
        "kind": "checkpoint",
        "dtype": ", ".join(
            sorted(str(dtype).removeprefix("torch.") for dtype in dtypes)
        ),
        "training_state": "settings" in (contents.extra or {}),
    }
