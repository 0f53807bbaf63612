"""How much of an image a network sees at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import rich_click as click

from nestgen.cli.options import Size

if TYPE_CHECKING:
    from torch import nn

window_option = click.option(
    "--window", type=Size(), help="Larger images go by windows.  [2048, volumes 64]"
)


def window_for(model: nn.Module, asked: tuple[int, ...] | None) -> tuple[int, ...]:
    """The window that was asked for, or the usual one; an error before any work."""
    from nestgen.arch.graph import NestGraph
    from nestgen.codegen.load import spec_of
    from nestgen.training.window import window_of

    return window_of(NestGraph(spec_of(model)), asked)
