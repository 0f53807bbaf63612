"""Weights: the tensors of someone else's network by name, out of their file."""

from __future__ import annotations

import os
from dataclasses import dataclass

from torch import Tensor

from nestgen.errors import WeightsError
from nestgen.foreign.layout import Layout
from nestgen.foreign.layouts import find_layout
from nestgen.statefile import read_state_dict


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
    """The weights in `path` (see `read_state_dict`), said to be of a layout.

    Raises `CheckpointError` for a file that cannot be read as data, and
    `WeightsError` for a layout that is not known.

    >>> import pathlib, tempfile, torch
    >>> file = pathlib.Path(tempfile.mkdtemp()) / "weights.pth"
    >>> torch.save({"state_dict": {"module.fc.bias": torch.zeros(2)}}, file)
    >>> list(read_weights(file, "4uiiurz1").tensors)
    ['fc.bias']
    """
    known = find_layout(layout)
    return Weights(str(path), known, read_state_dict(path))
