"""What the legend explains: the looks and the scales that occur."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from nestgen.drawing import style
from nestgen.drawing.curves import Point, chord
from nestgen.drawing.looks import edge_looks, node_looks
from nestgen.drawing.panel import Panel
from nestgen.drawing.shapes import Arrow, Bar, Disc, Shape, Spot, Words
from nestgen.drawing.style import EdgeLook, NodeLook

_GREY = NodeLook("", "#c6c6c6", "#8c8c8c", 1.0)


@dataclass(frozen=True)
class Entry:
    """A text and what stands before it: a node, an edge, or all colours of the ramp."""

    text: str
    look: NodeLook | EdgeLook | None = None


def entries(panels: Sequence[Panel]) -> list[Entry]:
    """The entries for all of a figure, in the order of the tables of looks."""
    drawn = [panel.looks for panel in panels]
    heat, area = panels[0].heat, panels[0].area
    names: dict[NodeLook, list[str]] = {}
    for look in node_looks(drawn):
        alike = replace(panels[0].adapted(look), name="")
        names.setdefault(alike, []).append(_called(look, panels))
    found = [Entry(", ".join(texts), look) for look, texts in names.items()]
    found += [Entry(look.name, look) for look in edge_looks(drawn)]
    if heat:
        found.append(Entry(heat.scale.heat_text))
    if area:
        found.append(Entry(area.scale.area_text, _GREY))
    return found


def _called(look: NodeLook, panels: Sequence[Panel]) -> str:
    """The name of a look; an encoder's has its backbone's after it."""
    backbones = {panel.graph.spec.encoder for panel in panels} - {None}
    if look == style.NODES["encoder"] and backbones:
        return f"{look.name}: {', '.join(sorted(map(str, backbones)))}"
    return look.name


def samples(explained: Sequence[Entry], places: Sequence[Point]) -> Iterator[Shape]:
    """The shapes of the legend: samples and texts."""
    for n, (entry, start) in enumerate(zip(explained, places, strict=True)):
        look, end = entry.look, start.plus(Point(style.LEGEND_SAMPLE, 0.0))
        middle = start.plus(Point(style.LEGEND_SAMPLE / 2, 0.0))
        if isinstance(look, NodeLook):
            yield Disc(f"sample{n}", middle, style.LEGEND_RADIUS, look)
        elif isinstance(look, EdgeLook):
            yield Spot(f"from{n}", start)
            yield Spot(f"to{n}", end)
            yield Arrow(f"from{n}", f"to{n}", chord(start, end, look), look)
        else:
            size = style.LEGEND_SAMPLE, style.LEGEND_RADIUS * 1.2
            yield Bar(f"sample{n}", start, *size, style.RAMP)
        text = start.plus(Point(style.LEGEND_TEXT, 0.0))
        yield Words(f"legend{n}", text, entry.text, "left")
