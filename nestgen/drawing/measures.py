"""What can be shown of each node: its cost, as an area or as a colour."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from nestgen.arch.choices import MeasureName
from nestgen.arch.cost import default_size, fitting_size, node_cost
from nestgen.arch.graph import NestGraph, Node
from nestgen.drawing import style
from nestgen.errors import DrawingError, SpecError
from nestgen.units import scaled

_FIELDS = {
    "parameters": ("parameters", "parameters", ""),
    "macs": ("macs", "MACs", ""),
    "activations": ("activation_bytes", "activations", "B"),
}
"""For each measure its field of `Cost`, what the legend calls it, and its unit."""


@dataclass(frozen=True)
class Scale:
    """From the least to the most of one measure that is drawn.

    >>> scale = Scale("parameters", 10, 1000)
    >>> scale.of_area(250), scale.of_heat(100)
    (0.25, 0.5)
    >>> scale.heat_text
    'parameters, 10 to 1 k, log scale'
    """

    measure: MeasureName
    low: int
    high: int
    at: str = ""

    def of_area(self, value: int) -> float:
        """The share of the most, so that areas compare as values do."""
        return value / self.high

    def of_heat(self, value: int) -> float:
        """The place between least and most, in equal steps for equal ratios."""
        if self.low == self.high:
            return 1.0
        return math.log(value / self.low) / math.log(self.high / self.low)

    @property
    def heat_text(self) -> str:
        """What the legend says of a colour."""
        least, most = self._number(self.low), self._number(self.high)
        return f"{self._called}, {least} to {most}, log scale"

    @property
    def area_text(self) -> str:
        """What the legend says of a node as large as its samples."""
        value = round(self.high * (style.LEGEND_RADIUS / style.RADIUS) ** 2)
        return f"area of {self._number(value)} {self._called}"

    @property
    def _called(self) -> str:
        return called(self.measure) + self.at

    def _number(self, value: int) -> str:
        unit = _FIELDS[self.measure][2]
        return scaled(value, unit)


def called(measure: MeasureName) -> str:
    """What texts call a measure.

    >>> called("macs")
    'MACs'
    """
    return _FIELDS[measure][1]


def fitted(graph: NestGraph, size: tuple[int, ...] | None) -> tuple[int, ...]:
    """The size of an input, one side standing for all, or the usual one for None.

    >>> from nestgen.arch.spec import NestSpec
    >>> fitted(NestGraph(NestSpec(depth=2)), (64,))
    (64, 64)
    """
    if size is None:
        return default_size(graph)
    try:
        return fitting_size(graph, size)
    except SpecError as error:
        raise DrawingError(str(error)) from None


def values(
    graph: NestGraph, measure: MeasureName, size: tuple[int, ...] | None
) -> dict[Node, int]:
    """The measure of each node at an input of `size`; `DrawingError` if it takes none.

    >>> from nestgen.arch.spec import NestSpec
    >>> graph = NestGraph(NestSpec(depth=1, widths=2))
    >>> values(graph, "activations", (4, 4))[Node(1, 0)]
    64
    """
    field, at = _FIELDS[measure][0], fitted(graph, size)
    return {node: getattr(node_cost(graph, node, at), field) for node in graph.nodes}


def scale_of(
    measure: MeasureName, size: tuple[int, ...], drawn: Iterable[Mapping[Node, int]]
) -> Scale:
    """The one scale of all networks that are drawn together."""
    every = [value for of_nodes in drawn for value in of_nodes.values()]
    at = "" if measure == "parameters" else f" at {times(size)}"
    return Scale(measure, min(every), max(every), at)


def times(size: tuple[int, ...]) -> str:
    """A size as pictures write it.

    >>> times((128, 256, 256)).split()[::2]
    ['128', '256', '256']
    """
    return " \N{MULTIPLICATION SIGN} ".join(str(side) for side in size)
