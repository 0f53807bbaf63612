"""Edges that a user lists, rules that a user registers, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from nestgen.arch import families
from nestgen.arch.families import FAMILIES, inputs_by_rule, nest, register
from nestgen.arch.graph import NestGraph, Node
from nestgen.arch.spec import NestSpec
from nestgen.arch.specfile import from_json, from_toml, to_json, to_toml
from nestgen.errors import SpecError

SMALL = [("x0_0", "x1_0"), ("x1_0", "x0_1"), ("x0_0", "x0_1")]

WRONG: list[tuple[dict[str, Any], str]] = [
    ({}, "edges: the family 'custom' lists them"),
    ({"family": "unet++", "edges": SMALL}, "edges: None is allowed of the family"),
    ({"depth": 2, "edges": [("x0_0", "x2_0")]}, "edges: x0_0 -> x2_0 skips a row"),
    ({"edges": [*SMALL, ("x0_1", "x1_0")]}, "x1_0 -> x0_1 -> x1_0 is a cycle"),
    ({"edges": [("x0_1", "x0_1"), *SMALL]}, "x0_1 -> x0_1 is a cycle"),
    ({"edges": [*SMALL, ("x0_1", "x0_0")]}, "x0_1 -> x0_0: x0_0 reads the image"),
    ({"edges": SMALL[1:]}, "edges: x1_0 has no input"),
    ({"edges": [SMALL[0]]}, "heads: L1 is not allowed, x0_1 has no input"),
    ({"edges": [SMALL[2]]}, "edges: none reaches row 1, the deepest of depth 1"),
    ({"edges": [*SMALL, SMALL[0]]}, "edges: x0_0 -> x1_0 is listed twice"),
    ({"edges": [*SMALL, ("x1_0", "x2_0")]}, "x2_0 is outside, rows go to 1"),
    ({"edges": [*SMALL, ("x0_1", "x0_13")]}, "x0_13 is outside, rows go to 1"),
    (
        {"edges": [*SMALL, ("x0_0", "x0_2")]},
        "L2 is not allowed, x0_2 needs row 0 alone",
    ),
    ({"edges": [("image", "x0_0")]}, "edges: 'image' is no node; x0_1 is one"),
    ({"edges": [("x0_00", "x0_1")]}, "edges: 'x0_00' is no node"),
    ({"edges": [("x0_0",)]}, "edges.0.1: "),
    ({"edges": SMALL, "concat": "up-last"}, "concat: 'up-last' is not allowed"),
    (
        {"edges": [*SMALL, ("x1_0", "x2_0")], "heads": [1], "depth": 2},
        "heads: [1] is not allowed, none of them needs row 2",
    ),
    (
        {"edges": [*SMALL, ("x0_0", "x1_0")][:3], "skip": "gate", "depth": 2},
        "edges: none reaches row 2",
    ),
]


@pytest.mark.parametrize(("fields", "message"), WRONG)
def test_what_is_wrong_is_said_by_name(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError) as caught:
        NestSpec(**{"family": "custom", "depth": 1, **fields})
    assert message in str(caught.value)
    assert str(caught.value).isprintable()


def test_listed_edges_are_the_network() -> None:
    spec = NestSpec(family="custom", depth=1, edges=SMALL)
    graph = NestGraph(spec)
    assert [node.name for node in graph.nodes] == ["x0_0", "x1_0", "x0_1"]
    ordered = [edge.source.name for edge in graph.inputs(Node(0, 1))]
    assert ordered == ["x1_0", "x0_0"], "as they are listed"
    assert from_toml(to_toml(spec)) == from_json(to_json(spec)) == spec


def test_a_family_is_its_edges() -> None:
    """UNet++ listed edge by edge is UNet++, and so is its cut."""
    whole = NestSpec(depth=3)
    edges = [(edge.source.name, edge.target.name) for edge in NestGraph(whole).edges]
    listed = NestSpec(family="custom", depth=3, edges=edges)
    for one, other in ((whole, listed), (whole.cut([2]), listed.cut([2]))):
        assert NestGraph(one).nodes == NestGraph(other).nodes
        assert NestGraph(one).edges == NestGraph(other).edges


@pytest.fixture
def free_name() -> Iterator[str]:
    yield "ladder"
    families.REGISTERED.pop("ladder", None)


def test_a_registered_rule_is_written_as_edges(free_name: str) -> None:
    """A file with it is read where the rule is not known."""
    register(free_name, nest(lambda j: [j - 1, 0] if j > 1 else [0]))
    spec = NestSpec(family=free_name, depth=3)
    families.REGISTERED.pop(free_name)
    assert spec.family == "custom"
    assert from_toml(to_toml(spec)) == spec
    sources = [edge.source.name for edge in NestGraph(spec).inputs(Node(0, 3))]
    assert sources == ["x1_2", "x0_2", "x0_0"]
    with pytest.raises(SpecError, match=r"^family: 'ladder' is not allowed, 'unet'"):
        NestSpec(family=free_name, depth=3)


def test_a_rule_that_is_wrong_is_refused_by_name(free_name: str) -> None:
    register(free_name, lambda depth, node: [(node.i + 2, 0)] if node.j else [])
    with pytest.raises(SpecError, match="x2_0 -> x0_1 skips a row"):
        NestSpec(family=free_name, depth=2)


@pytest.mark.parametrize("name", ["unet++", "custom", "", "Mine", "a b", "x" * 40])
def test_a_name_that_cannot_be_registered(name: str) -> None:
    with pytest.raises(SpecError, match=r"^family: .* is not allowed, a free name"):
        register(name, nest(lambda j: [0]))


def test_unet3plus_has_its_heads_where_its_decoder_is() -> None:
    graph = NestGraph(NestSpec(family="unet3+", depth=4))
    assert [graph.head(k) for k in graph.levels] == [(3, 1), (2, 2), (1, 3), (0, 4)]
    assert {graph.width(node) for node in graph.nodes if node.j} == {5 * 16}
    assert len(graph.edges) == 4 + 4 * 5
    assert [len(graph.needed(k)) for k in graph.levels] == [6, 7, 8, 9]
    kept = graph.level(2)
    assert kept.depth == 4, "the coarsest row is needed by every level"
    assert set(kept.nodes) == graph.needed(2)


def test_every_rule_names_nodes_of_the_triangle() -> None:
    for name, family in FAMILIES.items():
        inputs = inputs_by_rule(family.rule, 6)
        assert all(sum(node) <= 6 for ins in inputs.values() for node in ins), name
