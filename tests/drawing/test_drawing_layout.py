"""Laws of the geometry, measured on what is placed, not on how it was computed."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from numpy.typing import NDArray

from nestgen.arch.graph import Edge, NestGraph, Node
from nestgen.arch.spec import NestSpec
from nestgen.drawing import style
from nestgen.drawing.curves import Curve, Point
from nestgen.drawing.layout import Layout, place

Box = tuple[float, float, float, float]

GRAPHS = {
    f"{family}-{depth}": NestGraph(NestSpec(family=family, depth=depth))
    for family in ("unet", "unet-e", "unet+", "unet++")
    for depth in (1, 2, 4, 8, 12)
}
GRAPHS["unet++-4-cut"] = NestGraph(NestSpec(depth=4)).cut([1, 3])
GRAPHS["unet-e-5-cut"] = NestGraph(NestSpec(family="unet-e", depth=5)).cut([2, 4])
GRAPHS["unet-e-6-trimmed"] = NestGraph(
    NestSpec(family="unet-e", depth=6, heads=(2, 6), trim=True)
)

LEGEND = ("encoder node", "dropped by the cut", *["a third, and so on"] * 5)
TITLE = ("A title of some length", "in two lines")
CLEAR = 2.0


@pytest.fixture(params=GRAPHS, scope="module")
def graph(request: pytest.FixtureRequest) -> NestGraph:
    return GRAPHS[request.param]


@pytest.fixture(scope="module")
def layout(graph: NestGraph) -> Layout:
    rows = [f"{4096 >> i} x {4096 >> i}" for i in range(graph.depth + 1)]
    return place(graph, title=TITLE, rows=rows, legend=LEGEND)


def samples(curve: Curve) -> NDArray[np.float64]:
    """Points along a curve and its arrow head, at most some points apart."""
    t = np.linspace(0, 1, 60)[:, None]
    path = sum(
        share * np.array(point)
        for share, point in zip(
            ((1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3),
            curve,
            strict=False,
        )
    )
    return np.array([*path, curve.tip])


def all_samples(layout: Layout) -> NDArray[np.float64]:
    return np.concatenate([samples(curve) for curve in layout.curves.values()])


def box_distance(points: NDArray[np.float64], box: Box) -> float:
    """How far the nearest point lies from a box, 0 inside."""
    left, low, right, high = box
    dx = np.maximum(np.maximum(left - points[:, 0], points[:, 0] - right), 0)
    dy = np.maximum(np.maximum(low - points[:, 1], points[:, 1] - high), 0)
    return float(np.hypot(dx, dy).min())


def text_box(text: str, x: float, y: float, size: float, share: float) -> Box:
    """The box of a text of which `share` lies to the left of x."""
    width = style.text_width(text, size)
    return (x - share * width, y - size / 2, x + (1 - share) * width, y + size / 2)


def tag_box(centre: Point) -> Box:
    half, up = style.TAG_WIDTH / 2, style.TAG_HEIGHT / 2
    return (centre.x - half, centre.y - up, centre.x + half, centre.y + up)


def texts(layout: Layout, depth: int) -> list[Box]:
    """The boxes of all that is written outside nodes; tags are not among them."""
    titles = [
        text_box(text, *point, style.TITLE_SIZE, 0.5)
        for text, point in zip(TITLE, layout.title, strict=True)
    ]
    rows = [
        text_box(f"{4096 >> i} x {4096 >> i}", *layout.rows[i], style.TEXT_SIZE, 1.0)
        for i in range(depth + 1)
    ]
    entries = [
        (
            point.x,
            point.y - style.LEGEND_ROW / 2,
            text_box(text, point.x + style.LEGEND_TEXT, 0, style.TEXT_SIZE, 0)[2],
            point.y + style.LEGEND_ROW / 2,
        )
        for text, point in zip(LEGEND, layout.legend, strict=True)
    ]
    return [*titles, *rows, *entries]


def arcs_by(
    layout: Layout, end: str
) -> dict[Node, list[tuple[Edge, NDArray[np.float64]]]]:
    grouped: dict[Node, list[tuple[Edge, NDArray[np.float64]]]] = {}
    for edge, curve in layout.curves.items():
        if edge.kind == "skip" and curve.start.y > layout.centres[edge.source].y + 1:
            grouped.setdefault(getattr(edge, end), []).append((edge, samples(curve)))
    return grouped


def test_everything_has_its_place(graph: NestGraph, layout: Layout) -> None:
    assert set(layout.centres) == set(graph.nodes)
    assert set(layout.curves) == set(graph.edges)
    assert tuple(layout.tags) == graph.levels
    assert len(layout.rows) == graph.depth + 1
    assert (len(layout.title), len(layout.legend)) == (len(TITLE), len(LEGEND))


def test_no_two_nodes_overlap(layout: Layout) -> None:
    for one, other in itertools.combinations(layout.centres.values(), 2):
        assert math.dist(one, other) > 2 * style.RADIUS + 20


def test_triangle_is_equilateral(graph: NestGraph, layout: Layout) -> None:
    sides = {
        round(math.dist(layout.centres[edge.source], layout.centres[edge.target]), 6)
        for edge in graph.edges
        if edge.kind != "skip"
    }
    along = [
        math.dist(layout.centres[edge.source], layout.centres[edge.target])
        / (edge.target.j - edge.source.j)
        for edge in graph.edges
        if edge.kind == "skip"
    ]
    assert len(sides) == 1
    assert along == pytest.approx([sides.pop()] * len(along))


def test_edges_end_on_the_borders_of_their_nodes(layout: Layout) -> None:
    for edge, curve in layout.curves.items():
        source, target = layout.centres[edge.source], layout.centres[edge.target]
        assert math.dist(curve.start, source) == pytest.approx(style.RADIUS)
        assert math.dist(curve.tip, target) == pytest.approx(style.RADIUS)
        head = style.EDGES[edge.kind].arrow_length
        assert math.dist(curve.foot, curve.tip) == pytest.approx(head)


def test_edges_cross_no_other_node(layout: Layout) -> None:
    for edge, curve in layout.curves.items():
        others = np.array([c for n, c in layout.centres.items() if n not in edge[:2]])
        if len(others):
            away = others[:, None] - samples(curve)[None]
            assert np.hypot(*np.moveaxis(away, 2, 0)).min() > style.RADIUS + CLEAR


def test_edges_cross_no_tag(layout: Layout) -> None:
    drawn = all_samples(layout)
    for centre in layout.tags.values():
        assert box_distance(drawn, tag_box(centre)) > CLEAR


def test_edges_cross_no_text(graph: NestGraph, layout: Layout) -> None:
    drawn = all_samples(layout)
    for box in texts(layout, graph.depth):
        assert box_distance(drawn, box) > CLEAR


def test_nodes_and_tags_lie_beside_all_text(graph: NestGraph, layout: Layout) -> None:
    centres = np.array(list(layout.centres.values()))
    tags = np.array([tag_box(c) for c in layout.tags.values()]).reshape(-1, 2)
    for box in texts(layout, graph.depth):
        assert box_distance(centres, box) > style.RADIUS + CLEAR
        assert box_distance(tags, box) > CLEAR


def test_texts_do_not_overlap(graph: NestGraph, layout: Layout) -> None:
    for one, other in itertools.combinations(texts(layout, graph.depth), 2):
        beside = one[2] <= other[0] + 1e-9 or other[2] <= one[0] + 1e-9
        apart = one[3] <= other[1] + 1e-9 or other[3] <= one[1] + 1e-9
        assert beside or apart


@pytest.mark.parametrize("end", ["source", "target"])
def test_arcs_of_one_node_nest(layout: Layout, end: str) -> None:
    """The longer of two arcs that share a node runs above the shorter."""
    for arcs in arcs_by(layout, end).values():
        arcs.sort(key=lambda arc: arc[0].target.j - arc[0].source.j)
        for (_, low), (_, high) in itertools.pairwise(arcs):
            inside = (low[:, 0] > high[:, 0].min()) & (low[:, 0] < high[:, 0].max())
            above = np.interp(low[inside, 0], high[:, 0], high[:, 1])
            assert inside.sum() > len(low) / 2
            assert (above > low[inside, 1]).all()


def test_arcs_bow_evenly(layout: Layout) -> None:
    """An arc never turns back, and rises to one peak."""
    for arcs in arcs_by(layout, "target").values():
        for _, points in arcs:
            assert (np.diff(points[:, 0]) > 0).all()
            turns = np.diff(np.sign(np.diff(points[:, 1])))
            assert (turns != 0).sum() <= 1 or np.abs(turns).sum() == 2


def test_skips_are_straight_where_nothing_is_between(
    graph: NestGraph, layout: Layout
) -> None:
    for edge in graph.edges:
        i, j = edge.source
        between = {Node(i, column) for column in range(j + 1, edge.target.j)}
        if edge.kind == "skip" and not between & set(graph.nodes):
            heights = samples(layout.curves[edge])[:, 1]
            assert heights == pytest.approx(layout.centres[edge.source].y)


def test_all_lies_on_the_page(graph: NestGraph, layout: Layout) -> None:
    (left, low), (right, high) = layout.page
    boxes = [*texts(layout, graph.depth), *map(tag_box, layout.tags.values())]
    boxes += [
        (x - style.RADIUS, y - style.RADIUS, x + style.RADIUS, y + style.RADIUS)
        for x, y in layout.centres.values()
    ]
    drawn = all_samples(layout)
    boxes.append((*drawn.min(axis=0), *drawn.max(axis=0)))
    inner = np.array(boxes)
    margin = style.MARGIN - 1e-6
    assert inner[:, 0].min() >= left + margin
    assert inner[:, 1].min() >= low + margin
    assert inner[:, 2].max() <= right - margin
    assert inner[:, 3].max() <= high - margin


def test_bare_layout_has_neither_texts_nor_room_for_them() -> None:
    bare, full = (
        place(GRAPHS["unet++-1"]),
        place(GRAPHS["unet++-1"], title=TITLE, legend=LEGEND),
    )
    assert (bare.rows, bare.title, bare.legend) == ((), (), ())
    assert bare.page[1].x < full.page[1].x
    assert bare.page[1].y < full.page[1].y
