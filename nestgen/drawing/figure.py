"""A figure: the shapes of one network, or of several side by side."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from nestgen.arch.choices import MeasureName
from nestgen.arch.graph import NestGraph
from nestgen.drawing import style
from nestgen.drawing.alt import sentences
from nestgen.drawing.curves import Point
from nestgen.drawing.layout import Layout, hull, place
from nestgen.drawing.legend import entries, samples
from nestgen.drawing.looks import looks_of
from nestgen.drawing.measures import fitted, scale_of, values
from nestgen.drawing.options import Options
from nestgen.drawing.panel import Panel, Shown, heading, resolutions, wrapped
from nestgen.drawing.routes import Box
from nestgen.drawing.shapes import Shape, moved
from nestgen.errors import DrawingError


@dataclass(frozen=True)
class Figure:
    """What a picture shows, in the order in which it is drawn.

    Attributes:
        title: what it is, in one line.
        alt: what it shows, for who cannot see it.
        page: the lower left and the upper right corner.
        panels: the networks.
        shapes: of all panels and of the legend.
    """

    title: str
    alt: str
    page: Box
    panels: tuple[Panel, ...]
    shapes: tuple[Shape, ...]


def figure(graphs: Sequence[NestGraph], options: Options) -> Figure:
    """The figure of one network, or of several in rows and columns.

    >>> from nestgen.arch.spec import NestSpec
    >>> specs = [NestSpec(depth=1, family="unet"), NestSpec(depth=1)]
    >>> figure([NestGraph(spec) for spec in specs], Options()).title
    'U-Net of depth 1; UNet++ of depth 1'
    """
    if not graphs:
        raise DrawingError("no network: one or several can be drawn")
    if len(graphs) > 1 and options.title:
        raise DrawingError(f"title: {options.title!a} names one network, not several")
    panels = _panels(graphs, options)
    explained = entries(panels) if options.legend else []
    layouts = _layouts(panels, [entry.text for entry in explained])
    # the legend of the last one reaches into free cells, or lies right of all
    offsets = _grid([layout.page for layout in _layouts(panels, [])])
    shapes: list[Shape] = []
    for n, (panel, layout, by) in enumerate(zip(panels, layouts, offsets, strict=True)):
        prefix = f"p{n}_" if len(panels) > 1 else ""
        shapes += (moved(shape, by) for shape in panel.shapes(layout, prefix))
    last = [point.plus(offsets[-1]) for point in layouts[-1].legend]
    shapes += samples(explained, last)
    pages = [
        (low.plus(by), high.plus(by))
        for (low, high), by in zip((x.page for x in layouts), offsets, strict=True)
    ]
    return Figure(
        title="; ".join(_called(panel, options) for panel in panels),
        alt=sentences(graphs, options),
        page=hull(pages),
        panels=tuple(panels),
        shapes=tuple(shapes),
    )


def _called(panel: Panel, options: Options) -> str:
    """A network's title, or what it is where the title is left out."""
    untitled = replace(options, title=None)
    return " ".join(panel.title) or heading(panel.graph, untitled, own=False)


def _panels(graphs: Sequence[NestGraph], options: Options) -> list[Panel]:
    """The networks with what is shown of them, on the same scales."""
    size = max(fitted(graph, options.size) for graph in graphs)
    panels = [
        Panel(
            looks=looks_of(graph, options),
            title=wrapped(heading(graph, options, own=len(graphs) == 1)),
            rows=resolutions(graph, options.size) if options.size else (),
            channels=options.channels,
        )
        for graph in graphs
    ]
    heats = _shown([panel.looks.kept for panel in panels], options.heat, size)
    areas = _shown(graphs, options.area, size)
    return [
        replace(panel, heat=heat, area=area)
        for panel, heat, area in zip(panels, heats, areas, strict=True)
    ]


def _shown(
    graphs: Sequence[NestGraph], measure: MeasureName | None, size: tuple[int, ...]
) -> list[Shown | None]:
    """The measure of the nodes of each network, all on one scale."""
    if measure is None:
        return [None for _ in graphs]
    costs = [values(graph, measure, size) for graph in graphs]
    scale = scale_of(measure, size, costs)
    return [Shown(scale, of_nodes) for of_nodes in costs]


def _layouts(panels: Sequence[Panel], legend: Sequence[str]) -> list[Layout]:
    """The layouts; the last has the legend, and all titles stand equally high."""
    top = max(place(panel.graph).page[1].y for panel in panels) - style.MARGIN
    return [
        place(
            panel.graph,
            title=panel.title,
            rows=panel.rows,
            legend=legend if panel is panels[-1] else (),
            top=top,
        )
        for panel in panels
    ]


def _grid(pages: Sequence[Box]) -> list[Point]:
    """Where the origin of each page goes: rows and columns in line by X[0,0]."""
    across = len(pages) if len(pages) < 4 else math.ceil(math.sqrt(len(pages)))
    columns = [pages[n::across] for n in range(across)]
    rows = [pages[n : n + across] for n in range(0, len(pages), across)]
    rights = [max(high.x for _, high in column) for column in columns]
    lefts = [min(low.x for low, _ in column) for column in columns]
    lows = [min(low.y for low, _ in row) for row in rows]
    highs = [max(high.y for _, high in row) for row in rows]
    x, y = [0.0], [0.0]
    for right, left in zip(rights, lefts[1:], strict=False):
        x.append(x[-1] + right - left + style.PANEL_GAP)
    for low, high in zip(lows, highs[1:], strict=False):
        y.append(y[-1] + low - high - style.PANEL_GAP)
    return [Point(x[n % across], y[n // across]) for n in range(len(pages))]
