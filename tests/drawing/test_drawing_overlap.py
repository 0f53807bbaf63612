"""Nothing that is drawn lies on something else, whatever is shown."""

from __future__ import annotations

import itertools
import math
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nestgen.arch.graph import NestGraph, Node
from nestgen.arch.grid import triangle
from nestgen.arch.spec import NestSpec
from nestgen.drawing import style
from nestgen.drawing.curves import Point
from nestgen.drawing.dot import dot_text
from nestgen.drawing.engines import render
from nestgen.drawing.figure import Figure, figure
from nestgen.drawing.options import Options
from nestgen.drawing.shapes import Arrow, Bar, Disc, Label, Tag, Words
from nestgen.errors import SpecError

FAMILIES = ["unet", "unet-e", "unet+", "unet++", "unet3+"]
SHOWN: dict[str, dict[str, Any]] = {
    "plain": {},
    "channels": {"channels": True},
    "sizes": {"size": (4096, 2048), "title": "A title of many words " * 9},
    "heat": {"heat": "macs", "channels": True},
    "area": {"area": "parameters", "size": (256, 256)},
    "both": {"area": "activations", "heat": "macs"},
    "gradients": {"gradients": [1]},
}
CLEAR = 0.5


class Thing(NamedTuple):
    """A box, or a disc where it has a radius."""

    name: str
    left: float
    low: float
    right: float
    high: float
    radius: float = 0.0

    @property
    def centre(self) -> Point:
        return Point((self.left + self.right) / 2, (self.low + self.high) / 2)


def box(name: str, centre: Point, width: float, height: float) -> Thing:
    x, y = centre
    return Thing(name, x - width / 2, y - height / 2, x + width / 2, y + height / 2)


def things(drawn: Figure) -> Iterator[Thing]:
    """All that is drawn but edges, and the texts inside nodes."""
    for shape in drawn.shapes:
        match shape:
            case Disc(name, centre, radius):
                yield box(name, centre, 2 * radius, 2 * radius)._replace(radius=radius)
            case Label(name, place):
                yield box(name, place, style.LABEL_WIDTH, style.LABEL_HEIGHT)
            case Tag(name, _, centre):
                yield box(name, centre, style.TAG_WIDTH, style.TAG_HEIGHT)
            case Words(name, place, text, side, size):
                width = style.text_width(text, size)
                shift = {"middle": 0.0, "left": width / 2, "right": -width / 2}[side]
                yield box(name, place.plus(Point(shift, 0.0)), width, size)
            case Bar(name, start, width, height):
                yield box(name, start.plus(Point(width / 2, 0.0)), width, height)
            case _:
                pass


def apart(one: Thing, other: Thing) -> float:
    """How far two things are from each other; 0 or less where they meet."""
    if one.radius and other.radius:
        return math.dist(one.centre, other.centre) - one.radius - other.radius
    disc, flat = (one, other) if one.radius else (other, one)
    if disc.radius:
        return distance(disc.centre, flat) - disc.radius
    return max(
        one.left - other.right,
        other.left - one.right,
        one.low - other.high,
        other.low - one.high,
    )


def distance(point: Point, thing: Thing) -> float:
    """How far a point is from a thing."""
    if thing.radius:
        return math.dist(point, thing.centre) - thing.radius
    return math.hypot(
        max(thing.left - point.x, point.x - thing.right, 0.0),
        max(thing.low - point.y, point.y - thing.high, 0.0),
    )


def overlaps(drawn: Figure) -> list[str]:
    """The pairs that lie on each other, things beside the page, edges on things."""
    (left, low), (right, high) = drawn.page
    every = list(things(drawn))
    found = [
        f"{one.name} on {other.name}"
        for one, other in itertools.combinations(every, 2)
        if apart(one, other) < CLEAR
    ]
    found += [
        f"{thing.name} beside the page"
        for thing in every
        if thing.left < left or thing.right > right
        if thing.low < low or thing.high > high
    ]
    for shape in drawn.shapes:
        if isinstance(shape, Arrow):
            points = list(shape.curve.points())
            found += [
                f"{shape.source} -> {shape.target} on {thing.name}"
                for thing in every
                if thing.name not in (shape.source, shape.target)
                if any(distance(point, thing) < CLEAR for point in points)
            ]
    return found


def drawing(*specs: NestSpec, **options: Any) -> Figure:
    return figure([NestGraph(spec) for spec in specs], Options(**options))


@pytest.mark.parametrize("shown", SHOWN)
@pytest.mark.parametrize("depth", range(1, 9))
@pytest.mark.parametrize("family", FAMILIES)
def test_nothing_overlaps(family: Any, depth: int, shown: str) -> None:
    options = dict(SHOWN[shown])
    if "gradients" in options:
        options["gradients"] = [depth]
    assert overlaps(drawing(NestSpec(family=family, depth=depth), **options)) == []


@st.composite
def listed(draw: st.DrawFn) -> NestSpec:
    """A network of any nodes and edges that a spec may list, up to depth 4."""
    depth = draw(st.integers(1, 4))
    encoder = [Node(i, 0) for i in range(depth + 1)]
    last = [Node(depth - j, j) for j in range(1, depth + 1)]
    others = [node for node in triangle(depth) if node.j and node not in last]
    chosen = draw(st.lists(st.sampled_from(others), unique=True)) if others else []
    mixed, upwards = draw(st.permutations(last + chosen)), iter(last)
    order = [next(upwards) if node in last else node for node in mixed]
    edges = list(itertools.pairwise([*encoder, *last]))
    for n, node in enumerate(order):
        near = [x for x in (*encoder, *order[:n]) if abs(x.i - node.i) < 2]
        some = draw(st.lists(st.sampled_from(near), unique=True, min_size=1))
        edges += [(source, node) for source in some if (source, node) not in edges]
    fields: dict[str, Any] = {
        "family": "custom",
        "depth": depth,
        "edges": [(source.name, target.name) for source, target in edges],
    }
    try:
        return NestSpec(**fields)
    except SpecError:  # one of its levels needs row 0 alone
        return NestSpec(**fields, heads=(depth,))


@settings(deadline=None, max_examples=150)
@given(listed())
def test_nothing_overlaps_whatever_the_edges(spec: NestSpec) -> None:
    assert overlaps(drawing(spec, size=(4096, 2048))) == []


@pytest.mark.parametrize("number", range(2, 8))
def test_nothing_overlaps_side_by_side(number: int) -> None:
    families = itertools.islice(itertools.cycle(FAMILIES), number)
    specs = [
        NestSpec(family=family, depth=1 + n % 4) for n, family in enumerate(families)
    ]
    assert overlaps(drawing(*specs, size=(4096, 2048), heat="macs")) == []


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("ROW_TEXT_END", 5.0, "x1_0 on row1"),
        ("TAG_TOP", 20.0, "L1 on x0_1"),
        ("LEGEND_CLEARANCE", -150.0, "x3_1 on legend1"),
        ("LABEL_DISTANCE", 12.0, "x2_1_name on x2_1"),
        ("ARC_ANGLES", (5.0, 6.0), "x1_0 -> x1_2 on x1_1"),
    ],
)
def test_overlaps_are_seen(
    name: str, value: Any, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The twin: with one number wrong the drawing is found out."""
    monkeypatch.setattr(style, name, value)
    spec = NestSpec(depth=4)
    found = overlaps(drawing(spec, size=(64, 64), area="activations"))
    assert any(set(said.split(" on ")) == set(pair.split(" on ")) for pair in found), (
        found
    )


SVG = "{http://www.w3.org/2000/svg}"


@pytest.mark.parametrize("width", [1, 64, 1024, 2**20])
def test_texts_lie_inside_their_nodes(width: int) -> None:
    """Measured where the engine wrote them, with letters as wide as the fonts'."""
    spec = NestSpec(depth=4, widths=(width,) * 5)
    root = ET.fromstring(render(dot_text(drawing(spec, channels=True)), "svg"))
    seen = 0
    for group in root.iter(f"{SVG}g"):
        title = group.findtext(f"{SVG}title") or ""
        if title.startswith("x") and group.get("class") == "node":
            circle = group.findall(f"{SVG}ellipse")[0]
            for text in group.findall(f"{SVG}text"):
                corner = farthest(text, float(circle.get("cx", "")), circle)
                assert corner < float(circle.get("rx", "")), text.text
                seen += 1
    assert seen == 15 * 3


def farthest(text: ET.Element, x: float, circle: ET.Element) -> float:
    """From the middle of a node to the farthest corner of a text's capitals."""
    size = float(text.get("font-size", ""))
    digit = 0.5 if (text.get("font-family") or "").startswith("Times") else 0.556
    widths = {",": 0.25, "X": 0.611}
    width = size * sum(widths.get(letter, digit) for letter in text.text or "")
    start = float(text.get("x", ""))
    if text.get("text-anchor") == "middle":
        start -= width / 2
    foot = float(text.get("y", "")) - float(circle.get("cy", ""))
    return max(
        math.hypot(across - x, down)
        for across in (start, start + width)
        for down in (foot, foot - 0.7 * size)
    )
