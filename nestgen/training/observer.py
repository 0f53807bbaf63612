"""Who watches a run."""

from __future__ import annotations

from typing import Any

from nestgen.training.settings import Settings
from nestgen.training.state import Position


class Observer:
    """Is told how a run goes on; does nothing."""

    def started(self, position: Position, settings: Settings, steps: int) -> None:
        """Once, before the first of `steps` an epoch."""

    def stepped(self, position: Position, loss: float) -> None:
        """After each step."""

    def validated(self, images: int) -> None:
        """After each batch of validation images."""

    def finished_epoch(self, record: dict[str, Any]) -> None:
        """After each epoch, with its line of the log."""
