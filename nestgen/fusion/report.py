"""What fusing did to a network."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass
class Row:
    """What was done to one convolution, and why not more.

    Attributes:
        name: of the module, or of its weight.
        done: in the order in which it was done.
        left: reasons.
    """

    name: str
    done: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)

    def leave(self, why: str) -> None:
        """Write a reason down, once."""
        if why not in self.left:
            self.left.append(why)


@dataclass(frozen=True)
class Report:
    """What fusing did.

    Attributes:
        rows: the convolutions, in the order of their computation.
        way: how the network was followed, `torch.fx` or `torch.export`.
        rejected: why not by the ways before it.
        error: of the fused network against float64, as a share of the unfused one's;
            the most of all outputs and inputs.
        inputs: the shapes on which both were compared.
    """

    rows: tuple[Row, ...]
    way: str
    rejected: dict[str, str]
    error: float
    inputs: tuple[tuple[int, ...], ...]

    @property
    def statement(self) -> str:
        """What was compared, in one line."""
        return (
            f"fused, followed by {self.way}: against float64, on {len(self.inputs)} "
            f"inputs, it errs at most {self.error:.2f} times as much as the network"
        )

    def to_plain(self) -> dict[str, Any]:
        """All of it as JSON types."""
        return asdict(self) | {"statement": self.statement}
