"""The command line: one file a command, loaded when it is called.

Results go to stdout, progress and errors to stderr. An error is one line. Exit
status: 0 done, 2 the user's mistake, 1 anything else.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from importlib import import_module
from typing import Any, NoReturn

import rich_click as click

from nestgen import __version__
from nestgen.errors import NestgenError, TrainingError

COMMANDS = [
    "build",
    "draw",
    "inspect",
    "gradients",
    "train",
    "import",
    "levels",
    "prune",
    "fuse",
    "bench",
    "transfer",
    "calibrate",
    "predict",
    "demo",
]

FILES = {"import": "importing"}
"""Of commands whose name no module may have."""

EXTRA = ("accelerate", "matplotlib", "monai")
"""What training and plots need besides."""


class Commands(click.RichGroup):
    """A group that imports a command's file when the command is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The commands in the order in which one uses them."""
        return COMMANDS

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command in `nestgen/cli/<name>.py`."""
        if cmd_name not in COMMANDS:
            return None
        file = FILES.get(cmd_name, cmd_name)
        command: click.Command = import_module(f"nestgen.cli.{file}").command
        return command

    def main(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Run the command line, turn every error into one line, and exit."""
        kwargs["standalone_mode"] = False
        try:
            sys.exit(super().main(*args, **kwargs) or 0)
        except Exception as error:
            sys.exit(_report(error))
        except KeyboardInterrupt:
            sys.exit(_report(click.Abort()))


@click.group(cls=Commands)
@click.version_option(__version__, prog_name="nestgen")
def main() -> None:
    """Nested U-Nets: generate, train, choose the level, cut there."""


def _report(error: Exception) -> int:
    """Say on stderr what went wrong; the exit status that belongs to it."""
    status, line = _verdict(error)
    if os.environ.get("NESTGEN_TRACEBACK"):
        traceback.print_exc()
    try:
        print(f"nestgen: {_one_line(line)}", file=sys.stderr)
    except OSError:
        return 1
    return status


def _verdict(error: Exception) -> tuple[int, str]:
    if isinstance(error, click.Abort):
        return 130, "interrupted"
    if isinstance(error, click.ClickException):
        return error.exit_code, error.format_message()
    if isinstance(error, NestgenError):
        return 1 if isinstance(error, TrainingError) else 2, str(error)
    if isinstance(error, ModuleNotFoundError) and error.name in EXTRA:
        return 2, f"{error.name} is not installed; pip install 'nestgen[train]'"
    kind = type(error).__name__
    return 1, f"{kind}: {error} (NESTGEN_TRACEBACK=1 shows where)"


def _one_line(words: str | Sequence[str]) -> str:
    return " ".join(str(words).split())
