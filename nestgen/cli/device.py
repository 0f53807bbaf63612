"""Where a command computes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import rich_click as click

if TYPE_CHECKING:
    from torch import nn

device_option = click.option(
    "--device", metavar="NAME", help="cpu, cuda, cuda:1.  [cuda if there]"
)


def load_on(file: str, device: str | None) -> nn.Module:
    """The network in `file` on `device`, by default on a GPU where there is one."""
    from nestgen.checkpoint import load

    return load(file, device=checked(device))


def checked(device: str | None) -> str:
    """The name of a device that is there, by default of a GPU where there is one."""
    import torch

    name = device or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        torch.zeros(1, device=name).cpu()
    except (RuntimeError, AssertionError):
        raise click.UsageError(
            f"--device: {name!a} is not there; cpu is, and cuda where torch finds a GPU"
        ) from None
    return name
