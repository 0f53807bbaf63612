"""What is no nested U-Net is told in a line, and drawn as it is, by resolution."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import pytest
import timm
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nestgen import draw
from nestgen.arch.spec import NestSpec
from nestgen.codegen.load import build
from nestgen.drawing import alt_text
from nestgen.drawing.blocks import Block, Blocks, blocks_figure
from nestgen.drawing.shapes import Arrow, Disc, Words
from nestgen.errors import DrawingError
from nestgen.lifting.lift import lift


class Pyramid(nn.Module):
    """An encoder of three rows, added from below, with a head on each row."""

    def __init__(self) -> None:
        super().__init__()
        self.stages = nn.ModuleList(
            nn.Conv2d(a, b, 3, padding=1) for a, b in ((3, 4), (4, 6), (6, 8))
        )
        self.lateral = nn.ModuleList(nn.Conv2d(c, 4, 1) for c in (4, 6, 8))
        self.heads = nn.ModuleList(nn.Conv2d(4, 2, 3, padding=1) for _ in range(2))

    def forward(self, x: Tensor) -> list[Tensor]:
        rows: list[Tensor] = []
        for stage in self.stages:
            x = stage(F.max_pool2d(x, 2) if rows else x).relu()
            rows.append(x)
        one = self.lateral[2](rows[2])
        two = self.lateral[1](rows[1]) + F.interpolate(one, scale_factor=2.0)
        return [head(y) for head, y in zip(self.heads, (one, two), strict=True)]


class Twice(nn.Module):
    """Two convolutions of one image, multiplied as nothing that weighs."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 4, 1), nn.Conv2d(3, 4, 1)
        self.c = nn.Conv2d(4, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.c(self.a(x) * self.b(x))
        return y


def small() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(4, 8, 3, padding=1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 10),
    )


def test_a_small_cnn_is_a_row_of_blocks() -> None:
    lifted = lift(small(), torch.randn(1, 3, 16, 16))
    assert lifted.graph is None
    assert lifted.why == (
        "no nested U-Net: nothing that was up-sampled meets what it came of"
    )
    assert lifted.blocks == Blocks(
        title="Sequential",
        rows=("16x16", "8x8", "1x1"),
        blocks=(
            Block(0, "4", "0 - 1"),
            Block(1, "8", "2 - 3", (0,)),
            Block(2, "10", "4 - 6", (1,), output=True),
        ),
    )


def test_a_resnet_has_a_block_for_each_resolution() -> None:
    lifted = lift(timm.create_model("resnet18"), torch.randn(1, 3, 64, 64))
    assert [block.name for block in lifted.blocks.blocks] == [
        "conv1 - act1",
        "maxpool - layer1",
        "layer2",
        "layer3",
        "layer4",
        "global_pool - fc",
    ]
    counted = sum(part.parameters for part in lifted.parts.values())
    assert counted == sum(x.numel() for x in timm.create_model("resnet18").parameters())


@pytest.mark.parametrize("name", ["densenet121", "mobilenetv3_small_050"])
def test_what_is_inside_of_blocks_is_not_drawn(name: str) -> None:
    """Concatenations, squeeze-and-excite, residuals of which each row has many."""
    lifted = lift(timm.create_model(name), torch.randn(1, 3, 64, 64))
    assert lifted.graph is None
    assert [block.row for block in lifted.blocks.blocks] == list(range(6))


def test_heads_on_other_rows_are_no_levels() -> None:
    lifted = lift(Pyramid(), torch.randn(1, 3, 16, 16))
    assert lifted.graph is not None, lifted.why
    assert lifted.graph.spec.label == "U-Net of depth 1"
    assert lifted.outputs == {"0": None, "1": 1}


def test_what_no_spec_describes_is_told() -> None:
    spec = NestSpec(depth=2, widths=(4, 64, 64), encoder="timm:resnet18")
    lifted = lift(build(spec), torch.randn(1, 3, 32, 32))
    assert lifted.graph is None
    assert lifted.why == (
        "no nested U-Net that a spec describes: x1_0 and x0_0 both read the image"
    )
    assert lifted.outputs == {"L1": None, "L2": None}
    assert {part.modules[0] for part in lifted.parts.values() if part.modules} > {
        "x0_2"
    }


@pytest.mark.parametrize(
    "layers",
    [
        [nn.ConvTranspose2d(3, 4, 2, stride=2)],
        [nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(3, 4, 1)],
        [nn.Conv2d(3, 4, 1), nn.Upsample(scale_factor=2)],
        [nn.MaxPool2d(2), nn.Upsample(scale_factor=2), nn.Conv2d(3, 4, 1)],
        [nn.Conv2d(3, 4, 2, stride=2), nn.ConvTranspose2d(4, 3, 2, stride=2)],
    ],
)
def test_anything_that_convolves_has_blocks(layers: list[nn.Module]) -> None:
    lifted = lift(nn.Sequential(*layers), torch.randn(1, 3, 16, 16))
    assert lifted.graph is None
    assert lifted.blocks.blocks[-1].output
    assert alt_text(lifted.blocks).startswith("Sequential: ")


def test_branches_of_one_resolution_are_inside_of_a_block() -> None:
    lifted = lift(Twice(), torch.randn(1, 3, 16, 16))
    assert [block.reads for block in lifted.blocks.blocks] == [()]


def _within(point: Sequence[float], page: tuple[Sequence[float], ...]) -> bool:
    low, high = page
    return low[0] <= point[0] <= high[0] and low[1] <= point[1] <= high[1]


@pytest.mark.parametrize("network", [Pyramid, small, lambda: build(NestSpec(depth=3))])
def test_blocks_lie_apart_on_the_page(network: type[nn.Module]) -> None:
    net = lift(network(), torch.randn(1, 3, 16, 16)).blocks
    assert len(set(net.places)) == len(net.blocks)
    drawn = blocks_figure(net)
    discs = [shape for shape in drawn.shapes if isinstance(shape, Disc)]
    words = [shape for shape in drawn.shapes if isinstance(shape, Words)]
    arrows = [shape for shape in drawn.shapes if isinstance(shape, Arrow)]
    assert len(discs) == len(net.blocks)
    assert len(arrows) == sum(len(block.reads) for block in net.blocks)
    assert all(_within(shape.centre, drawn.page) for shape in discs)
    assert all(_within(shape.place, drawn.page) for shape in words)
    assert all(_within(p, drawn.page) for x in arrows for p in x.curve.points())
    for one, other in combinations(discs, 2):
        assert abs(one.centre.x - other.centre.x) + abs(
            one.centre.y - other.centre.y
        ) > 2 * (one.radius)
    for n, block in enumerate(net.blocks):
        for source in block.reads:
            assert net.places[source].x < net.places[n].x


def test_branches_of_one_block_have_places_of_their_own() -> None:
    branches = (Block(0, "4", "b", (0,)), Block(0, "4", "c", (0,)))
    net = Blocks("two", ("8x8",), (Block(0, "2", "a"), *branches))
    assert [place.x for place in net.places] == [0.0, 88.0, 176.0]


@pytest.mark.parametrize("kind", ["svg", "png", "tex", "gv"])
def test_blocks_are_drawn(kind: str, tmp_path: Path) -> None:
    net = lift(Pyramid(), torch.randn(1, 3, 16, 16)).blocks
    draw(net, tmp_path / f"net.{kind}")
    assert (tmp_path / f"net.{kind}").stat().st_size > 1000
    assert alt_text(net) == (
        "Pyramid: 7 blocks in 3 rows, one for each resolution, with 7 connections."
    )


def test_blocks_take_no_options_of_nested_networks(tmp_path: Path) -> None:
    net = lift(small(), torch.randn(1, 3, 16, 16)).blocks
    for name, level in (("net.svg", 1), ("net.mmd", None)):
        with pytest.raises(DrawingError, match="Sequential: is no nested U-Net"):
            draw(net, tmp_path / name, level=level)
        assert not (tmp_path / name).exists()
