"""The graph: its nodes, edges, order, levels and cuts."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, get_args

import networkx as nx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nestgen.arch.families import FAMILIES, FamilyName
from nestgen.arch.graph import NestGraph, Node
from nestgen.arch.spec import NestSpec
from nestgen.errors import CutError

Specs = st.SearchStrategy[NestSpec]
NESTS: list[FamilyName] = ["unet-e", "unet+", "unet++"]

anything = settings(max_examples=100, deadline=None)


@pytest.mark.parametrize("family", NESTS)
@pytest.mark.parametrize("depth", range(1, 13))
def test_a_nest_is_a_triangle(family: FamilyName, depth: int) -> None:
    graph = NestGraph(NestSpec(family=family, depth=depth))
    assert len(graph.nodes) == (depth + 1) * (depth + 2) // 2
    triangle = {(i, j) for i in range(depth + 1) for j in range(depth + 1 - i)}
    assert set(graph.nodes) == triangle


@pytest.mark.parametrize("depth", range(1, 13))
def test_a_unet_is_the_last_level_of_the_ensemble(depth: int) -> None:
    unet = NestGraph(NestSpec(family="unet", depth=depth))
    level = NestGraph(NestSpec(family="unet-e", depth=depth)).level(depth)
    assert unet.nodes == level.nodes
    assert unet.edges == level.edges
    assert unet.levels == level.levels == (depth,)
    assert len(unet.nodes) == 2 * depth + 1


@anything
@given(data=st.data())
def test_sources_come_before_targets(specs: Specs, data: st.DataObject) -> None:
    graph = NestGraph(data.draw(specs))
    place = {node: index for index, node in enumerate(graph.nodes)}
    assert all(place[edge.source] < place[edge.target] for edge in graph.edges)
    assert nx.is_directed_acyclic_graph(graph.dag)
    assert set(graph.dag) == set(graph.nodes)
    assert all(sum(a) <= sum(b) for a, b in pairwise(graph.nodes))


@anything
@given(data=st.data())
def test_edges_say_what_they_do(specs: Specs, data: st.DataObject) -> None:
    graph = NestGraph(data.draw(specs))
    for edge in graph.edges:
        rows = edge.target.i - edge.source.i
        assert edge.kind == {-1: "up", 0: "skip", 1: "down"}[(rows > 0) - (rows < 0)]
        assert abs(rows) <= 1 or graph.full_scale
        assert graph.dag.edges[edge.source, edge.target]["kind"] == edge.kind
    assert len(set(graph.edges)) == graph.dag.number_of_edges()


@anything
@given(data=st.data())
def test_a_node_reads_what_its_family_says(specs: Specs, data: st.DataObject) -> None:
    graph = NestGraph(data.draw(specs))
    for node in graph.nodes:
        found = sorted(edge.source for edge in graph.inputs(node))
        assert found == sorted(expected_sources(graph, *node))


def expected_sources(graph: NestGraph, i: int, j: int) -> list[tuple[int, int]]:
    """From the papers' equations, written down once more."""
    if (i, j) == (graph.spec.encoder_row, 0):
        return []  # the image alone
    family, d = graph.spec.family, graph.depth
    if graph.spec.edges is not None:
        ends = [(Node.named(a), Node.named(b)) for a, b in graph.spec.edges]
        return [source for source, target in ends if target == (i, j)]
    if j == 0:
        return [(i - 1, 0)] if i else []
    if family == "unet3+":
        finer = [(row, 0) for row in range(i + 1)]
        return finer + [(row, d - row) for row in range(i + 1, d + 1)]
    columns = {
        "unet": [0],
        "unet-e": [0],
        "unet+": [j - 1],
        "unet++": range(j),
    }[family]
    return [(i + 1, j - 1), *((i, column) for column in columns)]


@pytest.mark.parametrize(
    ("concat", "expected"),
    [
        ("up-first", "x1_2 x0_0 x0_1 x0_2"),
        ("up-last", "x0_0 x0_1 x0_2 x1_2"),
        ("up-first-newest", "x1_2 x0_2 x0_1 x0_0"),
    ],
)
def test_order_of_the_concatenation(concat: Any, expected: str) -> None:
    graph = NestGraph(NestSpec(depth=3, concat=concat))
    sources = [edge.source.name for edge in graph.inputs(Node(0, 3))]
    assert sources == expected.split()


@anything
@given(data=st.data())
def test_a_level_is_what_its_output_depends_on(
    specs: Specs, data: st.DataObject
) -> None:
    graph = NestGraph(data.draw(specs))
    for k in graph.levels:
        level, output = graph.level(k), graph.head(k)
        assert set(level.nodes) == nx.ancestors(graph.dag, output) | {output}
        assert set(level.nodes) == graph.needed(k)
        assert level.levels == (k,)
        if graph.spec.family in ("unet", "unet-e", "unet+", "unet++"):
            assert all(node.i + node.j <= k for node in level.nodes)
        assert set(level.edges) <= set(graph.edges)
        for node in level.nodes:
            assert level.inputs(node) == graph.inputs(node)
            assert level.in_channels(node) == graph.in_channels(node)


@anything
@given(data=st.data())
def test_a_cut_of_a_cut_is_a_cut(specs: Specs, data: st.DataObject) -> None:
    graph = NestGraph(data.draw(specs))
    subsets = st.sets(st.sampled_from(graph.levels), min_size=1)
    many = data.draw(subsets)
    few = data.draw(st.sets(st.sampled_from(sorted(many)), min_size=1))
    once, twice = graph.cut(few), graph.cut(many).cut(few)
    assert once.spec == twice.spec
    assert (once.nodes, once.edges) == (twice.nodes, twice.edges)
    assert once.cut(few).spec == once.spec


def supervised_of(graph: NestGraph) -> set[Node]:
    return {node for k in graph.levels for node in graph.needed(k)}


@anything
@given(data=st.data())
def test_trimmed_is_supervised(specs: Specs, data: st.DataObject) -> None:
    graph = NestGraph(data.draw(specs))
    supervised = supervised_of(graph)
    cut = graph.cut(graph.levels)
    assert set(cut.nodes) == supervised
    assert (set(graph.nodes) == supervised) >= graph.spec.trim


def test_the_ensemble_with_its_last_head_leaves_nodes_without_gradient() -> None:
    graph = NestGraph(NestSpec(family="unet-e", depth=3, heads=[3]))
    idle = {node.name for node in set(graph.nodes) - supervised_of(graph)}
    assert idle == {"x0_1", "x0_2", "x1_1"}


@pytest.mark.parametrize("levels", [[1], [5], [0], [], [2, 3], [-1]])
def test_a_level_without_a_head_is_refused(levels: list[int]) -> None:
    graph = NestGraph(NestSpec(depth=4, heads=[2, 4]))
    with pytest.raises(CutError, match=r": this UNet\+\+ of depth 4 has .* L2, L4$"):
        graph.cut(levels)


def test_the_graph_cannot_be_changed() -> None:
    graph = NestGraph(NestSpec(depth=1))
    with pytest.raises(nx.NetworkXError, match=r"[Ff]rozen"):
        graph.dag.remove_node(Node(0, 0))


@pytest.mark.parametrize("family", get_args(FamilyName))
def test_every_family_has_a_row(family: FamilyName) -> None:
    assert FAMILIES[family].class_name.isidentifier()
    assert len(FAMILIES) == len(get_args(FamilyName))
