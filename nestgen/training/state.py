"""What a run writes, and how it goes on from there.

run/model.pt    the best network so far
run/last.pt     the newest state: network, optimizer, position; loads as a network too
run/log.jsonl   a line for each epoch
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from nestgen.errors import CheckpointError
from nestgen.files import write_whole
from nestgen.imaging.pairs import Pair


@dataclass
class Position:
    """How far a run is: the epoch in work, and the steps of it that are done."""

    epoch: int = 1
    step: int = 0
    loss_sum: float = 0.0
    seconds: float = 0.0
    best_score: float = -1.0
    best_epoch: int = 0

    def next_epoch(self) -> None:
        """Move to the first step of the next epoch."""
        self.epoch, self.step, self.loss_sum, self.seconds = self.epoch + 1, 0, 0.0, 0.0

    def to_plain(self) -> dict[str, Any]:
        """The position as plain types."""
        return asdict(self)


@dataclass(frozen=True)
class Folder:
    """The files of a run."""

    path: Path

    @property
    def model(self) -> Path:
        """The best network so far."""
        return self.path / "model.pt"

    @property
    def last(self) -> Path:
        """The newest state."""
        return self.path / "last.pt"

    @property
    def log(self) -> Path:
        """A JSON object for each epoch, a line each."""
        return self.path / "log.jsonl"

    def read_log(self, before: int) -> list[dict[str, Any]]:
        """The records of the epochs before `before`; a run repeats what came after."""
        if not self.log.exists():
            return []
        try:
            lines = self.log.read_text("utf-8").splitlines()
            records = [json.loads(line) for line in lines]
            return [record for record in records if record["epoch"] < before]
        except (ValueError, KeyError, TypeError, OSError) as error:
            raise CheckpointError(f"{self.log}: is no log of a run") from error

    def write_log(self, records: Sequence[dict[str, Any]]) -> None:
        """Replace the log."""
        write_whole(self.log, "".join(json.dumps(record) + "\n" for record in records))


def fingerprint(train: Sequence[Pair], val: Sequence[Pair], processes: int) -> str:
    """What tells the data of one run from another's: the names, and who sees which."""
    names = [[pair.name for pair in pairs] for pairs in (train, val)]
    return hashlib.sha256(json.dumps([names, processes]).encode()).hexdigest()
