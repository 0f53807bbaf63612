"""Tables and numbers as people read them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich import box
from rich.console import Console
from rich.table import Table

from nestgen.units import scaled as scaled


def count(number: int) -> str:
    """A number with its thousands apart.

    >>> count(9041700)
    '9,041,700'
    """
    return f"{number:,}"


def show_table(
    columns: Sequence[str], rows: Iterable[Sequence[str]], title: str | None = None
) -> None:
    """Print a table on stdout: the first column to the left, numbers to the right."""
    table = Table(
        title=title, box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False
    )
    for index, column in enumerate(columns):
        table.add_column(column, justify="right" if index else "left", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    # a terminal that is narrower breaks the lines, and loses no number
    Console(width=160, highlight=False).print(table)
