"""What the drawing says, read back from the SVG and from the text."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from typing import Any

import networkx as nx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nestgen.arch.graph import NestGraph, Node
from nestgen.arch.spec import NestSpec
from nestgen.drawing import style
from nestgen.drawing.dot import dot_text
from nestgen.drawing.engines import render
from nestgen.drawing.figure import figure
from nestgen.drawing.options import Options
from nestgen.errors import DrawingError

SVG = "{http://www.w3.org/2000/svg}"
FOUR = NestGraph(NestSpec(depth=4))
GRAPHS = [
    NestGraph(NestSpec(family=family, depth=depth))
    for family in ("unet", "unet-e", "unet+", "unet++")
    for depth in (1, 2, 4)
] + [FOUR.cut([1, 3])]
HOSTILE = [
    '"><script>alert(1)</script>',
    "</TABLE></FONT>>",
    r"\N \G \L \l",
    "\\",
    'a\\" ]; evil [label="x',
    "<B>bold</B>",
    "&lt;&#38;&amp;",
    "--> <!-- ]]> %s {} */ // #",
    "é 中文 ᵉ \U0001f600",
    "\x00\x07\x1b",
    "\ud800",
]


def dot(graph: NestGraph, **options: Any) -> str:
    return dot_text(figure([graph], Options(**options)))


def parse(text: str) -> ET.Element:
    return ET.fromstring(render(text, "svg"))


def groups(root: ET.Element, kind: str) -> Iterator[tuple[str, ET.Element]]:
    for group in root.iter(f"{SVG}g"):
        if group.get("class") == kind:
            yield group.findtext(f"{SVG}title") or "", group


def written(group: ET.Element) -> str:
    return "".join(text.text or "" for text in group.iter(f"{SVG}text"))


def colours(root: ET.Element, kind: str, tag: str) -> dict[str, str]:
    """The stroke of the first `tag` of every node or edge."""
    return {
        title: shape.get("stroke", "")
        for title, group in groups(root, kind)
        if (shape := group.find(f"{SVG}{tag}")) is not None
    }


@pytest.mark.parametrize("graph", GRAPHS, ids=lambda graph: graph.spec.label)
def test_svg_holds_the_graph(graph: NestGraph) -> None:
    root = parse(dot(graph, legend=False))
    nodes = {title: written(group) for title, group in groups(root, "node")}
    edges = {title for title, _ in groups(root, "edge")}
    inside = {node.name: f"X{node.i},{node.j}" for node in graph.nodes}
    tags = {f"L{level}": f"L{level}" for level in graph.levels}
    stems = {f"x0_{level}->L{level}" for level in graph.levels}
    assert {**inside, **tags, "title0": nodes["title0"]} == {
        name: text for name, text in nodes.items() if not name.startswith("corner")
    }
    assert edges == stems | {
        f"{edge.source.name}->{edge.target.name}" for edge in graph.edges
    }


@pytest.mark.parametrize("graph", GRAPHS, ids=lambda graph: graph.spec.label)
def test_text_without_an_engine_is_one_whole_digraph(graph: NestGraph) -> None:
    text = dot(graph, channels=True)
    assert text.startswith("digraph ")
    assert text.endswith("\n}\n")
    assert len(re.findall(r"^  x\d+_\d+ \[", text, re.M)) == len(graph.nodes)
    drawn = re.findall(r'^  x\d+_\d+ -> x\d+_\d+ \[pos="e,', text, re.M)
    assert len(drawn) == len(graph.edges)


@pytest.mark.parametrize("family", ["unet", "unet-e", "unet+", "unet++"])
def test_cut_greys_what_is_no_ancestor(family: str) -> None:
    graph = NestGraph(NestSpec(family=family, depth=4))
    for level in graph.levels:
        output = Node(0, level)
        kept: set[Node] = {output, *nx.ancestors(graph.dag, output)}
        root = parse(dot(graph, level=level, legend=False))

        nodes = colours(root, "node", "ellipse")
        grey = {name for name, line in nodes.items() if line == "#c6c6c6"}
        assert grey == {node.name for node in graph.nodes if node not in kept}

        edges = colours(root, "edge", "path")
        assert {name for name, line in edges.items() if line == "#d4d4d4"} == {
            f"{edge.source.name}->{edge.target.name}"
            for edge in graph.edges
            if not {edge.source, edge.target} <= kept
        }

        tags = colours(root, "node", "path")
        assert {name for name, line in tags.items() if line != "#c6c6c6"} == {
            f"L{level}"
        }


def test_cut_leaves_every_thing_in_its_place() -> None:
    def places(text: str) -> list[str]:
        return sorted(re.findall(r'^  (x\S+(?: -> \S+)? \[pos="[^"]*")', text, re.M))

    assert places(dot(FOUR, level=2)) == places(dot(FOUR))


def test_head_of_a_cut_is_the_one_that_is_ringed() -> None:
    root = parse(dot(FOUR, level=2, legend=False))
    ringed = {
        title
        for title, group in groups(root, "node")
        if len(group.findall(f"{SVG}ellipse")) == 2
    }
    assert ringed == {"x0_2"}


def test_unknown_level_names_those_that_exist() -> None:
    with pytest.raises(DrawingError, match=r"L2.*has the levels L1, L3$"):
        dot(FOUR.cut([1, 3]), level=2)


@pytest.mark.parametrize("size", [(250, 256), (256, 8), (0, 16), (-16, 16)])
def test_size_that_cannot_be_halved(size: tuple[int, int]) -> None:
    message = f"size: {size[0]}x{size[1]} is not allowed, multiples of 16$"
    with pytest.raises(DrawingError, match=message):
        dot(FOUR, size=size)


def test_rows_say_height_before_width() -> None:
    root = parse(dot(FOUR, size=(256, 512)))
    rows = [written(g) for title, g in groups(root, "node") if title[:3] == "row"]
    expected = ["256 512", "128 256", "64 128", "32 64", "16 32"]
    assert rows == [text.replace(" ", " \N{MULTIPLICATION SIGN} ") for text in expected]


def test_channels_are_each_nodes_own() -> None:
    graph = NestGraph(NestSpec(depth=2, widths=(7, 11, 13)))
    root = parse(dot(graph, channels=True, legend=False))
    nodes = {title: written(group) for title, group in groups(root, "node")}
    assert {node.name: nodes[node.name] for node in graph.nodes} == {
        node.name: f"X{node.i},{node.j}{graph.width(node)}" for node in graph.nodes
    }


@pytest.mark.parametrize(
    ("graph", "level", "names"),
    [
        (GRAPHS[0], None, ["encoder", "head", "down", "up", "skip"]),
        (GRAPHS[2], None, ["encoder", "decoder", "head", "down", "up", "skip"]),
        (FOUR, None, ["encoder", "nested", "head", "down", "up", "skip"]),
        (FOUR, 1, ["encoder", "head", "dropped", "down", "up", "skip"]),
        (FOUR, 4, ["encoder", "nested", "head", "down", "up", "skip"]),
    ],
)
def test_legend_explains_what_occurs(
    graph: NestGraph, level: int | None, names: list[str]
) -> None:
    root = parse(dot(graph, level=level))
    called = {kind: look.name for kind, look in style.NODES.items()}
    called |= {kind: look.name for kind, look in style.EDGES.items()}
    legend = [written(g) for title, g in groups(root, "node") if title[:6] == "legend"]
    assert legend == [called[name] for name in names]


def test_looks_differ_without_colour() -> None:
    kinds = [style.NODES[name] for name in ("encoder", "nested", "head")]
    assert len({(look.width, look.rings) for look in kinds}) == 3
    assert len({(look.width, look.dashed) for look in style.EDGES.values()}) == 3


@pytest.mark.parametrize(
    ("spec", "options", "title"),
    [
        (NestSpec(depth=1), {}, "UNet++ of depth 1"),
        (NestSpec(depth=1, family="unet-e"), {}, "U-Netᵉ of depth 1"),
        (NestSpec(depth=1, title="Nuclei"), {}, "Nuclei"),
        (NestSpec(depth=1, title="Nuclei"), {"title": "Ours"}, "Ours"),
        (NestSpec(depth=2), {"level": 1}, "UNet++ of depth 2, cut at L1"),
        (NestSpec(depth=2), {"level": 1, "title": "A"}, "A, cut at L1"),
    ],
)
def test_title(spec: NestSpec, options: dict[str, Any], title: str) -> None:
    root = parse(dot(NestGraph(spec), **options))
    assert dict(groups(root, "node"))["title0"].findtext(f"{SVG}text") == title


def test_empty_title_leaves_it_out() -> None:
    assert "title0" not in dot(FOUR, title="")


def test_long_title_is_broken_and_then_shortened() -> None:
    root = parse(dot(FOUR, title="word " * 100))
    lines = [written(g) for title, g in groups(root, "node") if title[:5] == "title"]
    assert len(lines) == 3
    assert all(len(line) <= style.TITLE_LETTERS for line in lines)
    assert lines[-1].endswith("…")


@settings(deadline=None, max_examples=60)
@given(st.text(st.characters(codec=None), min_size=1, max_size=style.TITLE_LETTERS))
def test_title_is_shown_as_it_is(title: str) -> None:
    assert_harmless(title)


@pytest.mark.parametrize("title", HOSTILE, ids=ascii)
def test_hostile_title_is_shown_as_it_is(title: str) -> None:
    assert_harmless(title)


def assert_harmless(title: str) -> None:
    """The title arrives, and nothing else differs from a drawing without one."""
    one_line = " ".join(title.split())
    shown = "".join(letter if letter.isprintable() else "?" for letter in one_line)
    graph = GRAPHS[0]
    root, plain = parse(dot(graph, title=title)), parse(dot(graph, title=""))
    texts = [written(g) for name, g in groups(root, "node") if name[:5] == "title"]
    assert "".join(texts).replace(" ", "") == shown.replace(" ", "")

    def names(root: ET.Element) -> list[str]:
        found = [name for kind in ("node", "edge") for name, _ in groups(root, kind)]
        return [name for name in found if name[:5] != "title"]

    assert names(root) == names(plain)
    assert {element.tag.removeprefix(SVG) for element in root.iter()} == {
        element.tag.removeprefix(SVG) for element in plain.iter()
    }


def test_bytes_do_not_depend_on_the_hash_seed() -> None:
    program = (
        "import sys; from nestgen.arch.graph import *;"
        "from nestgen.drawing.dot import dot_text;"
        "from nestgen.arch.spec import NestSpec; from nestgen.drawing.options import *;"
        "from nestgen.drawing.figure import figure;"
        "graph = NestGraph(NestSpec(depth=4));"
        "options = Options(level=2, channels=True, size=(64, 64));"
        "text = dot_text(figure([graph], options));"
        "sys.stdout.buffer.write(text.encode())"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("0", "1", "2")
    }
    assert outputs == {dot(FOUR, level=2, channels=True, size=(64, 64)).encode()}
