"""`levels`: every node is computed once, when its level is asked for."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from nestgen.arch.cost import graph_cost, grown_costs, level_costs
from nestgen.arch.graph import NestGraph
from nestgen.arch.spec import NestSpec
from nestgen.codegen.load import build
from nestgen.surgery.cut import prune
from nestgen.surgery.trace import cut_traced

SPECS = {
    "unet++": NestSpec(depth=3, widths=4),
    "unet+": NestSpec(family="unet+", depth=3, widths=4, skip="se"),
    "unet-e": NestSpec(family="unet-e", depth=3, widths=4, up="bilinear"),
    "gates": NestSpec(depth=3, widths=4, skip="gate", concat="up-last"),
    "unet3+": NestSpec(family="unet3+", depth=3, widths=4),
    "some": NestSpec(family="unet-e", depth=3, widths=4, heads=[1, 3]),
    "no padding": NestSpec(depth=2, widths=4, pad=False),
    "signals": NestSpec(depth=2, widths=4, dims=1, up="linear"),
    "volumes": NestSpec(depth=2, widths=4, dims=3, up="nearest"),
    "custom": NestSpec(
        family="custom",
        depth=2,
        widths=4,
        edges=[
            *[("x0_0", "x1_0"), ("x1_0", "x2_0"), ("x1_0", "x0_1"), ("x2_0", "x1_1")],
            *[("x1_1", "x0_2"), ("x1_0", "x0_2"), ("x0_0", "x0_2")],
        ],
    ),
    "encoder": NestSpec(depth=2, widths=4, encoder="resnet18"),
    "package": NestSpec(depth=2, widths=4, encoder="timm:resnet18"),
}

every = pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)


def made(spec: NestSpec, images: int = 2, odd: bool = False) -> tuple[Any, Tensor]:
    """A network whose norms have seen something, and a batch."""
    torch.manual_seed(0)
    model = build(spec)
    sides = [2 * by + (by // 2 if odd else 0) for by in NestGraph(spec).multiples]
    x = torch.randn(images, spec.in_channels, *sides)
    with torch.no_grad():
        model(x)
    return model.eval(), x


@every
def test_all_of_them_are_what_the_network_gives(spec: NestSpec) -> None:
    model, x = made(spec, odd=spec.pad)
    with torch.inference_mode():
        found, expected = dict(model.levels(x)), model(x)
    assert list(found) == list(expected) == [f"L{level}" for level in spec.heads]
    for level, logits in expected.items():
        assert logits.shape[2:] == x.shape[2:]
        assert torch.equal(found[level], logits), level


@every
def test_each_is_what_its_cuts_give(spec: NestSpec) -> None:
    """The cut on the graph has a straight `forward`, that of torch.fx no generator."""
    model, x = made(spec)
    with torch.inference_mode():
        for level, (name, logits) in zip(spec.heads, model.levels(x), strict=True):
            assert name == f"L{level}"
            assert torch.equal(logits, prune(model, level)(x))
            assert torch.equal(logits, cut_traced(model, [level])(x))


def calls(model: nn.Module, x: Tensor, levels: int) -> Counter[str]:
    """How often each child of `model` was called to reach so many levels."""
    seen: Counter[str] = Counter()
    handles = [
        child.register_forward_hook(lambda *_, name=name: seen.update([name]))
        for name, child in model.named_children()
    ]
    growing: Any = model.levels(x)  # type: ignore[operator]
    with torch.inference_mode():
        for _ in range(levels):
            next(growing)
    for handle in handles:
        handle.remove()
    return seen


@every
def test_nodes_are_computed_once_and_none_beyond(spec: NestSpec) -> None:
    model, x = made(spec)
    graph = NestGraph(spec)
    every_node = {node.name for node in graph.nodes}
    reached: set[str] = set()
    for number, level in enumerate(spec.heads, start=1):
        reached |= {node.name for node in graph.needed(level)} | {f"head_L{level}"}
        if number == len(spec.heads):
            reached |= every_node
        seen = calls(model, x, number)
        found = {n: k for n, k in seen.items() if n in every_node or "head" in n}
        assert found == {name: 1 for name in reached if hasattr(model, name)}
        assert seen["encoder"] == hasattr(model, "encoder")


@every
def test_images_that_leave_change_nothing_for_those_that_stay(spec: NestSpec) -> None:
    """In float64, where kernels for other batches round by 1e-16 at other places."""
    model, x = made(spec, images=4)
    model, x = model.double(), x.double()
    with torch.inference_mode():
        whole = model(x)
        growing, kept = model.levels(x), torch.arange(4)
        (name, logits), rows = next(growing), torch.tensor([3, 0, 1])
        assert torch.equal(logits, whole[name])
        for _ in spec.heads[1:]:
            name, logits = growing.send(rows)
            kept, rows = kept[rows], torch.arange(len(rows) - 1)
            assert logits.shape == (len(kept), *whole[name].shape[1:])
            torch.testing.assert_close(logits, whole[name][kept], rtol=0, atol=1e-9)


@every
def test_what_is_grown_is_counted(spec: NestSpec) -> None:
    """On the way to a level are those before it; the last is all of the network."""
    graph = NestGraph(spec)
    size = tuple(2 * by for by in graph.multiples)
    grown, alone = grown_costs(graph, size), level_costs(graph, size)
    assert list(grown) == list(spec.heads)
    assert grown[spec.heads[-1]] == graph_cost(graph, size)
    for level in spec.heads:
        assert grown[level].macs >= alone[level].macs
    assert grown[spec.heads[0]].parameters >= alone[spec.heads[0]].parameters
