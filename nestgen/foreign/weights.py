"""Weights: the tensors of someone else's network by name, out of their file."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from torch import Tensor

from nestgen.datafile import named, opened, read_pt, read_safetensors
from nestgen.errors import CheckpointError, WeightsError
from nestgen.foreign.layout import Layout
from nestgen.foreign.layouts import find_layout

_WRAPPERS = ("state_dict", "model", "model_state_dict")
_PREFIXES = ("module.", "model.", "_orig_mod.")
_PARAMETER = frozenset({"torch._utils _rebuild_parameter"})


@dataclass(frozen=True)
class Weights:
    """Someone else's state dict.

    Attributes:
        path: of its file.
        layout: whose it is said to be.
        tensors: by their names, on the CPU.
    """

    path: str
    layout: Layout
    tensors: dict[str, Tensor]

    def unlike(self, what: str) -> WeightsError:
        """The error that they are not of their layout, and why."""
        return WeightsError(f"{self.path}: is not {self.layout.title}: {what}")


def read_weights(path: str | os.PathLike[str], layout: str) -> Weights:
    """The weights in `path`, a .safetensors or what `torch.save` wrote.

    A state dict may stand under 'state_dict', 'model' or 'model_state_dict', and all
    its names may begin with what DataParallel, Lightning or torch.compile put before
    them. Raises `CheckpointError` for a file that cannot be read as data, and
    `WeightsError` for a layout that is not known.

    >>> import pathlib, tempfile, torch
    >>> file = pathlib.Path(tempfile.mkdtemp()) / "weights.pth"
    >>> torch.save({"state_dict": {"module.fc.bias": torch.zeros(2)}}, file)
    >>> read_weights(file, "4uiiurz1").tensors
    {'fc.bias': tensor([0., 0.])}
    """
    known = find_layout(layout)
    with named(path), opened(path) as file:
        safe = Path(path).suffix == ".safetensors"
        content = read_safetensors(file)[1] if safe else _read_archive(file)
        tensors = _bare(_state_dict(content))
        claimed = sum(tensor.nbytes for tensor in tensors.values())
        if claimed > file.seek(0, os.SEEK_END):
            raise CheckpointError("its tensors claim more bytes than the file has")
        return Weights(str(path), known, tensors)


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
