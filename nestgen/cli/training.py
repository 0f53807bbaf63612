"""A training run on the screen: a live bar, and a line for each epoch."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Any

import rich_click as click

from nestgen.cli.progress import live_bar, speaks
from nestgen.training.observer import Observer
from nestgen.training.settings import Settings
from nestgen.training.state import Position

COLUMNS = (
    "epoch    loss  IoU/Dice on val by level: mean over images, then over all pixels"
    "  seconds"
)


class LiveRun(Observer):
    """Shows a run: the epoch's bar on stderr, and what each epoch reached above it."""

    def __init__(self, headline: str, val_images: int) -> None:
        self.headline = headline
        self.bar = live_bar()
        self.steps = self.bar.add_task("", start=False, visible=False)
        self.images = self.bar.add_task("validating", total=val_images, visible=False)
        self.epochs = 0

    def __enter__(self) -> LiveRun:
        self.bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.bar.stop()

    def started(self, position: Position, settings: Settings, steps: int) -> None:
        """Say what is trained and what the columns are, and show the bar."""
        self.epochs = settings.epochs
        self.bar.reset(self.steps, total=steps, completed=position.step, visible=True)
        self._describe(position.epoch, 0.0)
        if speaks():
            click.echo(self.headline, err=True)
        self._print(COLUMNS)

    def stepped(self, position: Position, loss: float) -> None:
        """Move the bar."""
        self.bar.update(self.steps, completed=position.step)
        self._describe(position.epoch, loss)

    def validated(self, images: int) -> None:
        """Move the bar of the validation."""
        self.bar.update(self.images, advance=images, visible=True)

    def finished_epoch(self, record: dict[str, Any]) -> None:
        """Print the epoch's line."""
        self.bar.reset(self.images, visible=False)
        self.bar.reset(self.steps)
        levels = "  ".join(
            f"{name} {_short(scores)}" for name, scores in record["val"].items()
        )
        best = " *" if record["best"] else ""
        self._print(
            f"{record['epoch']:5d}  {record['loss']:6.4f}  {levels}"
            f"  {record['seconds']:7.1f}{best}"
        )

    def _print(self, line: str) -> None:
        """On stdout; where that is the bar's terminal, above the bar."""
        if not speaks():
            return
        if self.bar.disable or not sys.stdout.isatty():
            click.echo(line)
        else:
            self.bar.console.out(line)

    def _describe(self, epoch: int, loss: float) -> None:
        words = f"epoch {epoch} of {self.epochs}, loss {loss:.4f}"
        self.bar.update(self.steps, description=words)


def _short(scores: dict[str, float]) -> str:
    """.812/.889 .820/.901: IoU and Dice as the mean over images, and of all pixels."""
    names = ["iou_per_image", "dice_per_image", "iou_all_pixels", "dice_all_pixels"]
    one, two, three, four = (f"{scores[name]:.3f}".removeprefix("0") for name in names)
    return f"{one}/{two} {three}/{four}"
