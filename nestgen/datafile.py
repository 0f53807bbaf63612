"""Files of tensors as data: read whole, scanned first, never as code.

`torch.load(weights_only=True)` alone still lets a file allocate at will, so an archive
is looked through before torch sees it, and what its pickle names with it.
"""

from __future__ import annotations

import os
import pickletools
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import safetensors
import torch
from torch import Tensor

from nestgen.errors import CheckpointError

_HEADER_LIMIT = 16 * 2**20
_LINE_LIMIT = 200

STORAGES = {
    "BFloat16Storage": torch.bfloat16,
    "BoolStorage": torch.bool,
    "ByteStorage": torch.uint8,
    "CharStorage": torch.int8,
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "IntStorage": torch.int32,
    "LongStorage": torch.int64,
    "ShortStorage": torch.int16,
}
_GLOBALS = {
    "collections OrderedDict",
    "torch._utils _rebuild_tensor_v2",
    *(f"torch {storage}" for storage in STORAGES),
}


@contextmanager
def named(path: str | os.PathLike[str]) -> Iterator[None]:
    """Whatever goes wrong inside becomes one line that begins with `path`."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except OSError as error:
        reason = error.strerror or _line(error)
        raise CheckpointError(f"{path}: cannot be read ({reason})") from error
    except Exception as error:
        raise CheckpointError(f"{path}: {_line(error)}") from error


def _line(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "nested too deeply"
    if isinstance(error, MemoryError):
        return "needs more memory than there is"
    lines = str(error).strip().splitlines() or [type(error).__name__]
    text = "".join(char if char.isprintable() else "?" for char in lines[0])
    return text if len(text) <= _LINE_LIMIT else f"{text[: _LINE_LIMIT - 3]}..."


@contextmanager
def opened(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """The file at `path`, which is neither a folder nor a pipe."""
    if Path(path).exists() and not Path(path).is_file():
        raise CheckpointError("is no file")
    with open(path, "rb") as file:
        yield file


def read_pt(file: BinaryIO, also: frozenset[str] = frozenset()) -> Any:
    """What torch wrote: entries stored as they are, data alone in the pickle.

    `also` are names, as "module name", that the pickle may hold besides those of plain
    tensors. Raises `CheckpointError` before anything of another file is unpickled.
    """
    size = file.seek(0, os.SEEK_END)
    with zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
        names = {entry.filename.lower() for entry in entries}
        pickles = [entry for entry in entries if entry.filename.endswith("/data.pkl")]
        if len(names) < len(entries):
            raise CheckpointError("an entry occurs twice in the archive")
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
            raise CheckpointError("an entry is compressed; torch stores them")
        if sum(entry.file_size for entry in entries) > size:
            raise CheckpointError("its entries claim more bytes than the file has")
        if len(pickles) != 1 or min(entry.header_offset for entry in entries):
            raise CheckpointError("is no archive that torch writes")
        if pickles[0].file_size > _HEADER_LIMIT:
            raise CheckpointError(f"its data.pkl is larger than {_HEADER_LIMIT} bytes")
        _refuse_code(archive.read(pickles[0]), also)
    file.seek(0)
    return torch.load(file, map_location="cpu", weights_only=True)


def _refuse_code(pickled: bytes, also: frozenset[str]) -> None:
    """Raise for a pickle that names anything but tensors, before it is read."""
    for opcode, argument, _ in pickletools.genops(pickled):
        if opcode.name == "GLOBAL" and argument not in _GLOBALS | also:
            name = str(argument).replace(" ", ".")
            raise CheckpointError(f"holds {name!a}; a checkpoint is data alone")


def read_safetensors(file: BinaryIO) -> tuple[dict[str, str], dict[str, Tensor]]:
    """The metadata and the tensors of a `.safetensors`."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    length = int.from_bytes(file.read(8), "little")
    if length > min(_HEADER_LIMIT, size - 8):
        raise CheckpointError(
            f"its header claims {length} bytes; at most {_HEADER_LIMIT}, and no more "
            "than the file has, are allowed"
        )
    with safetensors.safe_open(file.name, framework="pt") as whole:
        tensors = {name: whole.get_tensor(name).clone() for name in whole.keys()}  # noqa: SIM118
        return whole.metadata() or {}, tensors
