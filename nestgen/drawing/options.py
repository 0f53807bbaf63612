"""What a drawing shows besides the network."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import get_args

from nestgen.arch.choices import MeasureName
from nestgen.errors import DrawingError

_CLASHES = (
    ("level", "gradients", "both grey nodes"),
    ("channels", "gradients", "both write into nodes"),
    ("channels", "area", "small nodes have no room for more than a name"),
    ("gradients", "area", "small nodes have no room for more than a name"),
)


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options of `draw`, which says what each is; `DrawingError` where two clash.

    >>> Options(level=1, gradients=[1, 2])
    Traceback (most recent call last):
    nestgen.errors.DrawingError: level, gradients: both grey nodes, give one of them
    """

    level: int | None = None
    channels: bool = False
    size: tuple[int, ...] | None = None
    gradients: Iterable[int] | None = None
    area: MeasureName | None = None
    heat: MeasureName | None = None
    legend: bool = True
    title: str | None = None

    def __post_init__(self) -> None:
        if self.gradients is not None:
            object.__setattr__(self, "gradients", tuple(self.gradients))
        for one, other, why in _CLASHES:
            if getattr(self, one) not in (None, False) and getattr(self, other):
                raise DrawingError(f"{one}, {other}: {why}, give one of them")
        for name in ("area", "heat"):
            measure, allowed = getattr(self, name), get_args(MeasureName)
            if measure is not None and measure not in allowed:
                raise DrawingError(
                    f"{name}: {measure!r} is not allowed, {', '.join(allowed)} are"
                )
