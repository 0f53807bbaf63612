"""The flowchart: each node, edge and head of the graph, and text that stays text."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nestgen.arch.graph import NestGraph
from nestgen.arch.spec import NestSpec
from nestgen.drawing.figure import figure
from nestgen.drawing.mermaid import mermaid_text
from nestgen.drawing.options import Options
from nestgen.errors import DrawingError

FOUR = NestGraph(NestSpec(depth=4))
LINE = re.compile(
    r"""---|title:\ ".*"|flowchart\ (LR|RL)|\ \ (
    accTitle:\ [^\n]+|accDescr:\ [^\n]+
    |subgraph\ row\d+\ \["[^"\n]+"\]|end
    |style\ row\d+\ fill:none,stroke:\#[0-9a-f]{6}
    |\ \ x\d+_\d+\("[^"\n]+"\)
    |x\d+_\d+\ (-->|==>|-\.->|---|===|-\.-)\ x\d+_\d+
    |linkStyle\ \d+\ stroke:\#[0-9a-f]{6}
    |classDef\ look\d+\ [a-z0-9#:,.\ -]+
    |class\ x[x0-9_,]+\ look\d+)""",
    re.X,
)


def mermaid(graph: NestGraph, **options: Any) -> str:
    return mermaid_text(figure([graph], Options(**options)))


@pytest.mark.parametrize(
    "options",
    [{}, {"level": 2}, {"gradients": [4]}, {"channels": True, "size": (64, 64)}],
    ids=str,
)
def test_it_holds_the_graph_and_nothing_else(options: dict[str, Any]) -> None:
    text = mermaid(FOUR, **options)
    assert all(LINE.fullmatch(line) for line in text.splitlines())
    nodes = re.findall(r"^    (x\d+_\d+)\(", text, re.M)
    assert sorted(nodes) == sorted(node.name for node in FOUR.nodes)
    links = re.findall(r"^  (x\S+) (?:--[->]|==[=>]|-\.->?) (x\S+)$", text, re.M)
    assert {frozenset(pair) for pair in links} == {
        frozenset((edge.source.name, edge.target.name)) for edge in FOUR.edges
    }
    assert len(links) == len(FOUR.edges) == text.count("linkStyle")
    assert re.findall(r"<b>(L\d)</b>", text) == ["L1", "L2", "L3", "L4"]


def test_each_node_has_one_class() -> None:
    named = re.findall(r"^  class (\S+) look", mermaid(FOUR, heat="macs"), re.M)
    nodes = [name for names in named for name in names.split(",")]
    assert sorted(nodes) == sorted(node.name for node in FOUR.nodes)


def test_strokes_say_the_kind() -> None:
    text = mermaid(NestGraph(NestSpec(depth=1)))
    links = re.findall(r"^  (x.*x\S+)$", text, re.M)
    assert sorted(links) == ["x0_0 --> x1_0", "x0_0 -.-> x0_1", "x1_0 ==> x0_1"]


def test_gradient_links_run_backwards() -> None:
    text = mermaid(NestGraph(NestSpec(depth=2)), gradients=[1])
    assert "flowchart RL" in text
    assert "x0_1 ==> x1_0" in text
    assert "x0_2 === x1_1" in text
    assert "x0_2 -.- x0_0" in text


def test_a_line_that_is_none_would_be_found() -> None:
    assert not LINE.fullmatch('    x0_0("a" ]")')
    assert not LINE.fullmatch("  click x0_0 call evil()")


@given(st.text(min_size=1))
def test_no_title_becomes_more_than_text(title: str) -> None:
    lines = mermaid(NestGraph(NestSpec(depth=1)), title=title).split("\n")
    assert all(LINE.fullmatch(line) for line in lines[:-1])


def test_what_it_cannot_show_is_said() -> None:
    with pytest.raises(DrawingError, match=r"^2 networks: Mermaid shows one"):
        mermaid_text(figure([FOUR, FOUR], Options()))
    with pytest.raises(DrawingError, match=r"^area: Mermaid"):
        mermaid(FOUR, area="macs")
