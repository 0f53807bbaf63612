"""Live bars on stderr."""

from __future__ import annotations

import os

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)


def speaks() -> bool:
    """Whether this process speaks for all: the first of those that train together."""
    return os.environ.get("RANK", "0") == "0"


def live_bar() -> Progress:
    """A bar that shows what is done, how long it took and how long it will take.

    It shows on a terminal alone.
    """
    console = Console(stderr=True, highlight=False)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not (console.is_terminal and speaks()),
    )
