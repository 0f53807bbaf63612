"""What `nestgen predict` does where images stop at different levels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

    from nestgen.errors import DataError
    from nestgen.inference.growing import Grown


def growing(
    model: nn.Module,
    images: Sequence[Path],
    window: tuple[int, ...],
    budget_ms: float | None,
) -> Iterator[tuple[Path, Grown | DataError]]:
    """What a network says of each image by its calibration, or within a budget.

    With a budget, each image goes alone. What is wrong is told before any work.
    """
    from nestgen.inference.anytime import Budget, calibration_of, check_growing
    from nestgen.inference.growing import grow_files
    from nestgen.inference.look import AT_ONCE

    check_growing(model)
    if budget_ms is not None:
        return grow_files(model, images, Budget(model, budget_ms / 1000), window, 0)
    rule = calibration_of(model)
    return grow_files(model, images, lambda x: rule.enough, window, AT_ONCE)
