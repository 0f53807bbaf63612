"""State dicts of others out of their files: tensors by name, and nothing else."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import safetensors.torch
import torch
from torch import Tensor

from nestgen.datafile import named, opened, read_pt, read_safetensors
from nestgen.errors import CheckpointError
from nestgen.files import write_whole

_WRAPPERS = ("state_dict", "model", "model_state_dict")
_PREFIXES = ("module.", "model.", "_orig_mod.")
_PARAMETER = frozenset({"torch._utils _rebuild_parameter"})


def read_state_dict(
    path: str | os.PathLike[str], expected: Collection[str] = ()
) -> dict[str, Tensor]:
    """The tensors in `path`, a .safetensors or what `torch.save` wrote, on the CPU.

    A state dict may stand under 'state_dict', 'model' or 'model_state_dict', and all
    its names may begin with what DataParallel, Lightning or torch.compile put before
    them, which is left out unless some names are `expected` as they are. Raises
    `CheckpointError` for a file that cannot be read as data.

    >>> import pathlib, tempfile, torch
    >>> file = pathlib.Path(tempfile.mkdtemp()) / "weights.pth"
    >>> torch.save({"state_dict": {"module.fc.bias": torch.zeros(2)}}, file)
    >>> read_state_dict(file)
    {'fc.bias': tensor([0., 0.])}
    """
    with named(path), opened(path) as file:
        safe = Path(path).suffix == ".safetensors"
        content = read_safetensors(file)[1] if safe else _read_archive(file)
        found = _state_dict(content)
        tensors = found if set(found) & set(expected) else _bare(found)
        bytes_of: dict[int, int] = {}
        for tensor in tensors.values():  # layers that are the same share their tensors
            place = tensor.untyped_storage().data_ptr()
            bytes_of[place] = max(tensor.nbytes, bytes_of.get(place, 0))
        claimed = sum(bytes_of.values())
        if claimed > file.seek(0, os.SEEK_END):
            raise CheckpointError("its tensors claim more bytes than the file has")
        return tensors


def write_state_dict(
    path: str | os.PathLike[str], tensors: Mapping[str, Tensor]
) -> None:
    """Write tensors by name as `torch.save` does, or to a .safetensors.

    The file appears whole or not at all. Tensors that share memory are written apart.

    >>> import pathlib, tempfile, torch
    >>> file = pathlib.Path(tempfile.mkdtemp()) / "weights.safetensors"
    >>> write_state_dict(file, {"a": torch.ones(1)})
    >>> read_state_dict(file)
    {'a': tensor([1.])}
    """
    apart = {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, tensor in tensors.items()
    }
    if Path(path).suffix == ".safetensors":
        write_whole(path, safetensors.torch.save(apart))
        return
    buffer = io.BytesIO()
    torch.save(apart, buffer)
    write_whole(path, buffer.getvalue())


def _read_archive(file: BinaryIO) -> Any:
    if not zipfile.is_zipfile(file):
        raise CheckpointError(
            "is no archive of torch 1.6 or later; to turn an older file into one, load "
            "and save it with torch"
        )
    return read_pt(file, _PARAMETER)


def _state_dict(content: Any) -> dict[str, Tensor]:
    """The one dict of tensors in what a file holds."""
    inside = content if isinstance(content, Mapping) else {}
    for name in _WRAPPERS:
        if isinstance(inside.get(name), Mapping):
            inside = inside[name]
    tensors = dict(inside)
    if not tensors or not all(
        isinstance(name, str) and isinstance(value, Tensor)
        for name, value in tensors.items()
    ):
        wrappers = ", ".join(map(repr, _WRAPPERS))
        raise CheckpointError(
            f"is no dict of tensors, nor has one as one of {wrappers}"
        )
    return {name: value.detach() for name, value in tensors.items()}


def _bare(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Without the prefixes that all names share."""
    for prefix in _PREFIXES * 2:
        if all(name.startswith(prefix) for name in tensors):
            tensors = {name[len(prefix) :]: value for name, value in tensors.items()}
    return tensors
