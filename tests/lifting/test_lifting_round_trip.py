"""What nestgen wrote is found again: the grid of a spec, and the spec of blocks."""

from __future__ import annotations

from typing import Any

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nestgen.arch.blocks import BLOCKS
from nestgen.arch.families import FAMILIES
from nestgen.arch.graph import NestGraph
from nestgen.arch.inputs import ancestors
from nestgen.arch.spec import NestSpec
from nestgen.codegen.load import build
from nestgen.lifting.lift import Lifted, lift

LINEAR = {1: "linear", 2: "bilinear", 3: "trilinear"}


@st.composite
def specs(draw: st.DrawFn, kinds: tuple[str, ...]) -> NestSpec:
    """Specs of all families whose deepest row is small."""
    dims = draw(st.sampled_from([1, 2, 2, 3]))
    depth = draw(st.integers(1, {1: 5, 2: 4, 3: 2}[dims]))
    family = draw(st.sampled_from([name for name in FAMILIES if name != "custom"]))
    widths = st.lists(st.integers(2, 4), min_size=depth + 1, max_size=depth + 1)
    linear = LINEAR[dims]
    norm = draw(st.sampled_from(["batch", "instance", "layer", "none"]))
    fields: dict[str, Any] = {
        "family": family,
        "depth": depth,
        "dims": dims,
        "widths": draw(widths),
        "strides": 3 if depth == 1 and draw(st.booleans()) else 2,
        "in_channels": draw(st.integers(1, 3)),
        "classes": draw(st.integers(1, 3)),
        "up": draw(st.sampled_from(["nearest", linear, f"{linear}-aligned"])),
        "concat": draw(st.sampled_from(["up-first", "up-last", "up-first-newest"])),
        "block": {
            "kind": draw(st.sampled_from(kinds)),
            "norm": norm,
            "activation": draw(st.sampled_from(["relu", "elu", "selu", "gelu"])),
            "bias": norm == "none" or draw(st.booleans()),
        },
    }
    if not FAMILIES[family].full_scale:
        learned = ["transpose", "pixel-shuffle", "pixel-shuffle-blur"]
        fields["up"] = draw(st.sampled_from([fields["up"], *learned]))
        fields["skip"] = draw(st.sampled_from(["plain", "se", "gate"]))
        if draw(st.booleans()):
            fields["up_widths"] = draw(widths)[:depth]
    if not FAMILIES[family].single:
        others = draw(st.sets(st.integers(1, depth)))
        fields["heads"] = sorted({depth, *others})
    return NestSpec(**fields)


def found_in(spec: NestSpec) -> Lifted:
    """What is found in the network of `spec`, whose rows have two pixels or more."""
    torch.manual_seed(0)
    size = (2 * side for side in NestGraph(spec).multiples)
    return lift(build(spec), torch.randn(1, spec.in_channels, *size))


def needed(spec: NestSpec) -> dict[Any, Any]:
    """The inputs of the nodes that a head needs; others are computed for nothing."""
    graph = NestGraph(spec)
    left = ancestors(spec.inputs, [graph.head(level) for level in spec.heads])
    return {node: found for node, found in spec.inputs.items() if node in left}


@settings(max_examples=40)
@given(specs(tuple(BLOCKS)))
def test_the_grid_is_found_again(spec: NestSpec) -> None:
    lifted = found_in(spec)
    assert lifted.graph is not None, lifted.why
    assert lifted.graph.spec.inputs == needed(spec)
    assert tuple(lifted.outputs.values()) == spec.heads
    own = NestGraph(spec)
    for node in lifted.graph.nodes:
        assert lifted.graph.width(node) == own.width(node)
        assert lifted.parts[node.name].modules[-1] == node.name
    for row in range(1, spec.depth + 1):
        assert lifted.graph.spec.stride(row) == spec.stride(row)


@settings(max_examples=20)
@given(specs(tuple(BLOCKS)))
def test_the_same_network_is_written_with_the_same_weights(spec: NestSpec) -> None:
    lifted = found_in(spec)
    assert lifted.spec is not None, lifted.why
    assert lifted.model is not None
    assert lifted.difference == 0.0
    assert lifted.spec.block.kind == spec.block.kind


@settings(max_examples=20)
@given(specs(("double",)))
def test_the_spec_of_double_blocks_is_found_again(spec: NestSpec) -> None:
    lifted = found_in(spec)
    assert lifted.spec is not None, lifted.why
    seen, own = dict(lifted.spec), dict(spec)
    # what several specs say of the same edges
    for name in ("family", "concat", "trim"):
        del seen[name], own[name]
    if own["up_widths"] and not seen["up_widths"]:
        plain = NestGraph(spec.replace(up_widths=None))
        whole = NestGraph(spec)
        assert [*map(plain.channels, plain.edges)] == [
            *map(whole.channels, whole.edges)
        ]
        del own["up_widths"], seen["up_widths"]
    assert seen == own
    assert lifted.spec.inputs == needed(spec)


@st.composite
def edges(draw: st.DrawFn) -> tuple[int, list[tuple[str, str]]]:
    """A triangle whose nodes have what comes up and some others, in any order."""
    depth = draw(st.integers(1, 3))
    found = [(f"x{i}_0", f"x{i + 1}_0") for i in range(depth)]
    for diagonal in range(1, depth + 1):
        for j in range(1, diagonal + 1):
            i = diagonal - j
            skips = [f"x{i}_{k}" for k in range(j)]
            ups = [f"x{i + 1}_{k}" for k in range(j - 1)]
            downs = [f"x{i - 1}_{k}" for k in range(1, j)] if i else []
            some = draw(st.sets(st.sampled_from(skips), min_size=1))
            more = draw(st.sets(st.sampled_from([*ups, *downs]))) if ups + downs else {}
            inputs = draw(st.permutations([f"x{i + 1}_{j - 1}", *some, *more]))
            found += [(source, f"x{i}_{j}") for source in inputs]
    return depth, found


@settings(max_examples=20)
@given(edges())
def test_listed_edges_are_found_again(drawn: tuple[int, list[tuple[str, str]]]) -> None:
    depth, listed = drawn
    spec = NestSpec(family="custom", edges=listed, depth=depth, widths=2, heads=[depth])
    lifted = found_in(spec)
    assert lifted.graph is not None, lifted.why
    assert lifted.graph.spec.inputs == needed(spec)
