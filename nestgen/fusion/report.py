"""What fusing did to a network."""

from __future__ import annotations

from dataclasses import dataclass, field


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
