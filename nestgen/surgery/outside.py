"""Someone else's module: its class imported, made, and given its weights."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from nestgen.errors import ModuleError, NestgenError, in_a_line
from nestgen.statefile import read_state_dict


def make_module(
    where: str,
    arguments: Mapping[str, Any] | None = None,
    weights: str | os.PathLike[str] | None = None,
) -> nn.Module:
    """An instance of the class, or what the function returns, at `where`, in eval mode.

    `where` is `module:Name` or `file.py:Name`, also of what lies in the working
    folder; it is imported and called with `arguments`, so executed. `weights` is the
    file of its state dict; without one its own random weights are those of seed 0.
    Raises `ModuleError` where it cannot be made or is no module, or does not take the
    weights, and `CheckpointError` for a file that cannot be read as data.

    >>> make_module("torch.nn:Conv2d", {"in_channels": 1, "out_channels": 2,
    ...     "kernel_size": 3})
    Conv2d(1, 2, kernel_size=(3, 3), stride=(1, 1))
    """
    with told(f"{where}: cannot be made"), torch.random.fork_rng():
        torch.manual_seed(0)
        made = load_class(where)(**(arguments or {}))
    if not isinstance(made, nn.Module):
        raise ModuleError(f"{where}: gives {type(made).__name__}, no torch.nn.Module")
    if weights is not None:
        tensors = read_state_dict(weights, made.state_dict())
        with told(f"{weights}: does not fit {where}"):
            made.load_state_dict(tensors, strict=True)
    return made.eval()


def load_class(where: str) -> Any:
    """The class, or function, at `module:Name` or `file.py:Name`; it is imported.

    A module is looked for in the working folder too, and what a file imports beside
    it. Whatever importing it raises is raised.

    >>> load_class("torch.nn:Conv2d").__name__
    'Conv2d'
    """
    home, _, name = where.rpartition(":")
    if not home.endswith(".py"):
        with _importing(Path.cwd()):
            return getattr(importlib.import_module(home), name)
    spec = importlib.util.spec_from_file_location(f"outside_{Path(home).stem}", home)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # dataclasses look their module up by its name
    sys.modules[spec.name] = module
    with _importing(Path(home).resolve().parent):
        spec.loader.exec_module(module)
    return getattr(module, name)


@contextmanager
def _importing(folder: Path) -> Iterator[None]:
    """Modules in `folder` can be imported, after all others."""
    before = list(sys.path)
    sys.path.append(str(folder))
    try:
        yield
    finally:
        sys.path[:] = before


@contextmanager
def told(what: str) -> Iterator[None]:
    """Whatever someone else's code raises becomes one line; our own errors are."""
    try:
        yield
    except NestgenError:
        raise
    except (Exception, SystemExit) as error:
        raise ModuleError(f"{what} ({in_a_line(error)})") from error
