"""The numbers of the papers and of their public code, by formula and by torch."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from nestgen.arch.cost import graph_cost, level_costs
from nestgen.arch.graph import NestGraph
from nestgen.arch.spec import NestSpec
from nestgen.codegen.load import build

SIZE = (96, 96)


def paper(depth: int = 4, level: int | None = None, **fields: Any) -> NestSpec:
    """The authors' recipe; with `level`, what that level needs, with its head."""
    whole = NestSpec.preset("zhou2018", depth=depth, **fields)
    return whole if level is None else whole.cut([level])


def unet(depth: int = 4, **fields: Any) -> NestSpec:
    return paper(depth, family="unet", **fields)


def one_headed(family: str, depth: int = 4, **fields: Any) -> NestSpec:
    return paper(depth, family=family, heads=[depth], **fields)


WIDE = [35, 70, 140, 280, 560]
GREY: dict[str, Any] = {"in_channels": 1}

COUNTS = [
    (paper(**GREY), 9_041_700),
    (paper(), 9_042_276),
    (one_headed("unet++", **GREY), 9_041_601),
    (one_headed("unet++"), 9_042_177),
    (paper(level=1, **GREY), 100_961),
    (paper(level=2, **GREY), 511_105),
    (paper(level=3, **GREY), 2_204_961),
    (paper(level=4, **GREY), 9_041_601),
    (paper(level=1), 101_537),
    (paper(level=2), 511_681),
    (paper(level=3), 2_205_537),
    (paper(level=4), 9_042_177),
    (one_headed("unet++", 5, **GREY), 36_456_033),
    (one_headed("unet++", 5), 36_456_609),
    (one_headed("unet++", 6, **GREY), 146_185_729),
    (one_headed("unet++", 6), 146_186_305),
    (unet(1, **GREY), 100_961),
    (unet(2, **GREY), 465_953),
    (unet(3, **GREY), 1_925_025),
    (unet(4, **GREY), 7_759_521),
    (unet(4), 7_760_097),
    (unet(4, widths=WIDE, **GREY), 9_282_246),
    (unet(4, widths=WIDE), 9_282_876),
    (one_headed("unet-e", **GREY), 8_728_257),
    (one_headed("unet-e"), 8_728_833),
    (paper(family="unet-e", **GREY), 8_728_356),
    (one_headed("unet+", **GREY), 8_728_257),
    (one_headed("unet+"), 8_728_833),
    (paper(family="unet+", **GREY), 8_728_356),
    (paper(family="unet+", level=2, **GREY), 501_889),
    (paper(family="unet+", level=3, **GREY), 2_140_449),
]
PORT = NestSpec(
    widths=32, up="bilinear-aligned", concat="up-last", block={"bias": True}
)


@pytest.mark.parametrize(("spec", "parameters"), [*COUNTS, (PORT, 9_163_428)])
def test_parameters_of_the_field(spec: NestSpec, parameters: int) -> None:
    side = 2**spec.depth
    assert graph_cost(NestGraph(spec), (side, side)).parameters == parameters
    with torch.device("meta"):
        model = build(spec)
    assert sum(p.numel() for p in model.parameters()) == parameters


def test_macs_of_the_field() -> None:
    graph = NestGraph(paper(**GREY))
    macs = [cost.macs for cost in level_costs(graph, SIZE).values()]
    assert [round(number / 1e9, 3) for number in macs] == [0.489, 1.249, 2.452, 4.184]
    ratios = [round(number / macs[-1], 3) for number in macs]
    assert ratios == [0.117, 0.298, 0.586, 1.0]
    for level, number in zip(graph.levels, macs, strict=True):
        with torch.device("meta"):
            model, x = build(graph.level(level).spec).eval(), torch.empty(1, 1, *SIZE)
        with FlopCounterMode(display=False) as counter:
            model(x)
        assert counter.get_total_flops() == 2 * number
