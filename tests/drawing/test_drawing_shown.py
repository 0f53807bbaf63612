"""What a drawing shows of a network: cuts, gradients, costs, and their words."""

from __future__ import annotations

import colorsys
import itertools
import math
import xml.etree.ElementTree as ET
from typing import Any

import networkx as nx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nestgen.arch.cost import node_cost
from nestgen.arch.graph import NestGraph, Node
from nestgen.arch.spec import NestSpec
from nestgen.drawing import alt_text, draw, style
from nestgen.drawing.figure import Figure, figure
from nestgen.drawing.looks import looks_of
from nestgen.drawing.options import Options
from nestgen.drawing.shapes import Arrow, Disc, Label, Words
from nestgen.errors import DrawingError

FAMILIES = ["unet", "unet-e", "unet+", "unet++", "unet3+"]
FOUR = NestGraph(NestSpec(depth=4))


def drawing(*graphs: NestGraph, **options: Any) -> Figure:
    return figure(graphs, Options(**options))


def discs(drawn: Figure) -> dict[str, Disc]:
    return {x.name: x for x in drawn.shapes if isinstance(x, Disc)}


def texts(drawn: Figure, start: str) -> list[str]:
    found = [x for x in drawn.shapes if isinstance(x, Words)]
    return [x.text for x in found if x.name.startswith(start)]


def luminance(colour: str) -> float:
    """Relative, as WCAG defines it."""
    linear = []
    for part in bytes.fromhex(colour[1:]):
        share = part / 255
        linear.append(
            share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4
        )
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("family", FAMILIES)
def test_gradient_reaches_what_a_supervised_head_depends_on(family: Any) -> None:
    graph = NestGraph(NestSpec(family=family, depth=4))
    levels = graph.levels
    for supervised in itertools.combinations(levels, max(1, len(levels) - 1)):
        outputs = [graph.head(level) for level in supervised]
        reached = set(outputs).union(*(nx.ancestors(graph.dag, x) for x in outputs))
        drawn = drawing(graph, gradients=supervised)
        dashed = {name for name, disc in discs(drawn).items() if disc.look.dashed}
        assert dashed - {f"sample{n}" for n in range(9)} == {
            node.name for node in graph.nodes if node not in reached
        }


def test_only_the_outer_decoder_of_a_nest_of_u_nets_learns_from_the_last_head() -> None:
    """Without losses inside, the nest learns what its last U-Net has."""
    nest = NestGraph(NestSpec(family="unet-e", depth=5))
    single = NestGraph(NestSpec(family="unet", depth=5))
    live = looks_of(nest, Options(gradients=[5])).kept
    assert set(live.nodes) == set(single.nodes)
    dense = looks_of(FOUR, Options(gradients=[4])).kept
    assert set(dense.nodes) == set(FOUR.nodes)


def test_gradient_runs_against_the_edges() -> None:
    drawn = drawing(FOUR, gradients=[2], legend=False)
    arrows = [x for x in drawn.shapes if isinstance(x, Arrow)]
    forward = {(edge.source.name, edge.target.name) for edge in FOUR.edges}
    assert len(arrows) == len(forward)
    for arrow in arrows:
        if arrow.look.line == style.DROPPED_LINE:
            assert (arrow.source, arrow.target) in forward
        else:
            assert (arrow.target, arrow.source) in forward
        target = discs(drawn)[arrow.target]
        away = math.dist(arrow.curve.tip, target.centre)
        assert away == pytest.approx(style.RADIUS)


def test_nodes_name_the_heads_that_reach_them() -> None:
    looks = looks_of(FOUR, Options(gradients=[1, 2, 4]))
    below = {node: looks.reaching(node) for node in FOUR.nodes}
    assert below[Node(0, 0)] == "L1,2,4"
    assert below[Node(0, 2)] == "L2,4"
    assert below[Node(4, 0)] == "L4"
    every = looks_of(FOUR, Options(gradients=FOUR.levels))
    assert every.reaching(Node(0, 0)) == "L1-4"
    dead = looks_of(FOUR, Options(gradients=[1]))
    assert dead.reaching(Node(2, 0)) == ""


@pytest.mark.parametrize("measure", ["parameters", "macs", "activations"])
def test_areas_are_in_proportion(measure: Any) -> None:
    size = (64, 64)
    field = "activation_bytes" if measure == "activations" else measure
    cost = {x: getattr(node_cost(FOUR, x, size), field) for x in FOUR.nodes}
    drawn = discs(drawing(FOUR, area=measure, size=size))
    most = max(cost.values())
    for node, value in cost.items():
        radius = drawn[node.name].radius
        if radius > style.DOT:
            assert radius**2 / style.RADIUS**2 == pytest.approx(value / most)


def test_small_nodes_have_their_names_beside_them() -> None:
    drawn = drawing(FOUR, area="parameters", legend=False)
    beside = {x.name for x in drawn.shapes if isinstance(x, Label)}
    for disc in discs(drawn).values():
        assert (disc.inside is None) == (f"{disc.name}_name" in beside)
        assert (disc.inside is None) == (disc.radius < style.LABEL_ROOM)


def test_more_is_darker() -> None:
    cost = {x: node_cost(FOUR, x, (64, 64)).macs for x in FOUR.nodes}
    drawn = discs(drawing(FOUR, heat="macs", size=(64, 64)))
    order = sorted(FOUR.nodes, key=cost.__getitem__)
    shades = [luminance(drawn[node.name].look.fill) for node in order]
    assert shades == sorted(shades, reverse=True)
    assert drawn[order[0].name].look.fill == style.RAMP[0]
    assert drawn[order[-1].name].look.fill == style.RAMP[-1]


@given(st.floats(0, 1), st.floats(0, 1))
def test_the_ramp_darkens_and_letters_stay_legible(one: float, other: float) -> None:
    """In grey print as well: the order is that of lightness. 4.5 is WCAG's AA."""
    low, high = sorted((one, other))
    assert luminance(style.ramp(low)) >= luminance(style.ramp(high))
    assert (luminance(style.ramp(high)) + 0.05) / 0.05 >= 4.5


def test_the_ramp_has_one_hue() -> None:
    """Yellow to orange: nobody has to tell red from green."""
    hues = [
        colorsys.rgb_to_hls(*(part / 255 for part in bytes.fromhex(colour[1:])))[0]
        for colour in style.RAMP
    ]
    assert max(hues) - min(hues) < 0.1
    assert max(hues) < 1 / 6


@pytest.mark.parametrize("look", style.NODES.values(), ids=lambda look: look.name)
def test_names_are_legible_on_strong_fills(look: style.NodeLook) -> None:
    light, dark = luminance(look.strong), luminance(style.INK)
    assert (light + 0.05) / (dark + 0.05) >= 4.5


def test_networks_side_by_side_share_scales_and_lines() -> None:
    specs = [NestSpec(family=family, depth=3) for family in ("unet", "unet++")]
    drawn = drawing(*map(NestGraph, specs), heat="macs")
    found = discs(drawn)
    assert found["p0_x0_0"].look.fill == found["p1_x0_0"].look.fill
    assert found["p0_x0_0"].centre.y == found["p1_x0_0"].centre.y
    words = [x for x in drawn.shapes if isinstance(x, Words)]
    titles = [x.place.y for x in words if x.name.endswith("_title0")]
    assert len(set(titles)) == 1
    assert texts(drawn, "p") == ["U-Net of depth 3", "UNet++ of depth 3"]
    assert "decoder node, nested node" in texts(drawn, "legend")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"heat": "macs"}, "MACs at 256 \N{MULTIPLICATION SIGN} 256, 179 M to 940 M"),
        ({"heat": "macs", "size": (64,)}, "MACs at 64 \N{MULTIPLICATION SIGN} 64"),
        ({"area": "parameters"}, "area of 113 k parameters"),
        ({"gradients": [1]}, "node without gradient"),
        ({"gradients": [1]}, "gradient, from the heads back"),
        ({"gradients": [1]}, "no gradient"),
    ],
)
def test_legend_explains_what_is_shown(options: dict[str, Any], said: str) -> None:
    assert any(text.startswith(said) for text in texts(drawing(FOUR, **options), "leg"))


def test_legend_names_the_backbone() -> None:
    graph = NestGraph(NestSpec(depth=4, encoder="resnet34"))
    assert "encoder node: resnet34" in texts(drawing(graph), "legend")
    assert alt_text(graph).startswith("UNet++ of depth 4 on resnet34: 15 nodes")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"level": 1, "gradients": [1]}, "level, gradients: both grey nodes"),
        ({"channels": True, "gradients": [1]}, "channels, gradients: both write"),
        ({"channels": True, "area": "macs"}, "channels, area: small nodes"),
        ({"gradients": [1], "area": "macs"}, "gradients, area: small nodes"),
        ({"heat": "flops"}, "heat: 'flops' is not allowed, parameters, macs, "),
        ({"gradients": [7]}, "L7: this UNet.* has the levels L1, L2, L3, L4$"),
        ({"gradients": []}, "no level: this UNet"),
        ({"heat": "macs", "size": (250, 250)}, "size: 250x250 is not allowed"),
    ],
)
def test_what_cannot_be_shown_is_said(options: dict[str, Any], said: str) -> None:
    with pytest.raises(DrawingError, match=f"^{said}"):
        drawing(FOUR, **options)


def test_no_network_and_one_title_for_several_are_refused() -> None:
    with pytest.raises(DrawingError, match=r"^no network: "):
        drawing()
    with pytest.raises(DrawingError, match=r"^title: 'Ours' names one network"):
        drawing(FOUR, FOUR, title="Ours")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({}, ""),
        ({"level": 2}, " A cut at level 2 keeps 6 nodes; the rest is grey."),
        ({"level": 4}, " A cut at level 4 keeps 15 nodes."),
        ({"heat": "macs"}, " The colour of a node shows its MACs."),
        ({"area": "parameters"}, " The area of a node shows its parameters."),
        (
            {"gradients": [1, 2]},
            " Arrows run backwards, along the gradient from L1 and L2, which reaches "
            "6 nodes; the rest is grey.",
        ),
    ],
)
def test_alt_text_says_what_is_shown(options: dict[str, Any], sentence: str) -> None:
    network = (
        "UNet++ of depth 4: 15 nodes in 5 rows, with 4 down, 10 up and 20 skip "
        "connections and heads on X[0,1], X[0,2], X[0,3] and X[0,4]."
    )
    assert alt_text(FOUR, **options) == network + sentence


def test_svg_tells_it(tmp_path: Any) -> None:
    draw(FOUR, tmp_path / "net.svg", level=2, title="A < B & C")
    root = ET.parse(tmp_path / "net.svg").getroot()
    name = "{http://www.w3.org/2000/svg}"
    assert root.get("role") == "img"
    assert [child.tag for child in root][:2] == [f"{name}title", f"{name}desc"]
    assert root.findtext(f"{name}title") == "A < B & C, cut at L2"
    assert root.findtext(f"{name}desc") == alt_text(FOUR, level=2)
    assert "<!--" not in (tmp_path / "net.svg").read_text("utf-8")


@pytest.mark.parametrize("family", ["unet++", "unet3+"])
def test_edges_end_on_the_borders_of_small_nodes_too(family: Any) -> None:
    graph = NestGraph(NestSpec(family=family, depth=4))
    drawn = drawing(graph, area="parameters", legend=False)
    nodes = discs(drawn)
    for arrow in (x for x in drawn.shapes if isinstance(x, Arrow)):
        source, target = nodes[arrow.source], nodes[arrow.target]
        start = math.dist(arrow.curve.start, source.centre)
        assert start == pytest.approx(source.radius, abs=1e-6)
        tip = math.dist(arrow.curve.tip, target.centre)
        assert tip == pytest.approx(target.radius, abs=1e-6)
        head = math.dist(arrow.curve.foot, arrow.curve.tip)
        assert head == pytest.approx(arrow.look.arrow_length)


def test_a_skip_to_the_left_runs_above_its_row() -> None:
    names = ["x0_0", "x1_0", "x2_0", "x3_0", "x2_1", "x1_2", "x0_3"]
    edges = [*itertools.pairwise(names), ("x0_0", "x0_2"), ("x0_3", "x0_1")]
    spec = NestSpec(family="custom", depth=3, edges=tuple(edges), heads=(1, 3))
    drawn = drawing(NestGraph(spec), legend=False)
    (arrow,) = (x for x in drawn.shapes if getattr(x, "target", "") == "x0_1")
    assert isinstance(arrow, Arrow)
    assert min(point.y for point in arrow.curve.points()) > 0
