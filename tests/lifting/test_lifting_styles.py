"""Styles of nested U-Nets that differ from nestgen's: their grids are found as well."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import timm
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nestgen.arch.spec import NestSpec
from nestgen.codegen.load import build
from nestgen.lifting.lift import lift


def convolved(inside: int, width: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inside, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(True)
    )


def twice(inside: int, width: int, padding: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inside, width, 3, padding=padding),
        nn.ReLU(),
        nn.Conv2d(width, width, 3, padding=padding),
        nn.ReLU(),
    )


class FullScale(nn.Module):
    """UNet 3+ with a convolution on each edge, and heads that are up-sampled."""

    def __init__(self, depth: int) -> None:
        super().__init__()
        self.depth, joined = depth, 2 * (depth + 1)
        widths = [2 * 2**i for i in range(depth + 1)]
        self.encoder = nn.ModuleList(twice(a, b) for a, b in pairwise([3, *widths]))
        self.ways, self.decoder = nn.ModuleDict(), nn.ModuleDict()
        for i in range(depth):
            for k in range(depth + 1):
                inside = widths[k] if k <= i or k == depth else joined
                self.ways[f"{k}_{i}"] = convolved(inside, 2)
            self.decoder[str(i)] = convolved(joined, joined)
        self.heads = nn.ModuleList(nn.Conv2d(joined, 1, 1) for _ in range(depth))

    def way(self, x: Tensor, k: int, i: int) -> Tensor:
        if k < i:
            x = F.max_pool2d(x, 2 ** (i - k), ceil_mode=True)
        if k > i:
            x = F.interpolate(x, scale_factor=2 ** (k - i), mode="bilinear")
        y: Tensor = self.ways[f"{k}_{i}"](x)
        return y

    def forward(self, x: Tensor) -> list[Tensor]:
        rows: list[Tensor] = []
        for stage in self.encoder:
            x = stage(F.max_pool2d(x, 2) if rows else x)
            rows.append(x)
        decoded = {self.depth: rows[-1]}
        for i in reversed(range(self.depth)):
            found = [
                self.way(rows[k] if k <= i else decoded[k], k, i)
                for k in range(self.depth + 1)
            ]
            decoded[i] = self.decoder[str(i)](torch.cat(found, 1))
        logits = [head(decoded[i]) for i, head in enumerate(self.heads)]
        return [
            F.interpolate(y, scale_factor=2**i, mode="bilinear")
            for i, y in enumerate(logits)
        ]


class OnBackbone(nn.Module):
    """A package's encoder that begins at half the size; the last node has no skip."""

    def __init__(self, name: str) -> None:
        super().__init__()
        encoder: Any = timm.create_model(name, features_only=True)
        *widths, below = encoder.feature_info.channels()
        self.encoder: nn.Module = encoder
        self.decoder = nn.ModuleList()
        for width in reversed(widths):
            self.decoder.append(twice(below + width, 8))
            below = 8
        self.last, self.head = twice(8, 4), nn.Conv2d(4, 2, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        *rows, y = self.encoder(x)
        for block, row in zip(self.decoder, reversed(rows), strict=True):
            y = block(torch.cat([F.interpolate(y, scale_factor=2.0), row], 1))
        logits: Tensor = self.head(self.last(F.interpolate(y, scale_factor=2.0)))
        return logits.softmax(1)


class Cropped(nn.Module):
    """Ronneberger et al. (2015): no padding, and skips are cropped."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = twice(1, 4, 0), twice(4, 6, 0), twice(6, 8, 0)
        self.up1 = nn.ConvTranspose2d(8, 6, 2, 2)
        self.up0 = nn.ConvTranspose2d(6, 4, 2, 2)
        self.d, self.e, self.out = twice(12, 6, 0), twice(8, 4, 0), nn.Conv2d(4, 2, 1)

    @staticmethod
    def joined(skip: Tensor, up: Tensor) -> Tensor:
        by = [(a - b) // 2 for a, b in zip(skip.shape[2:], up.shape[2:], strict=True)]
        high, wide = up.shape[2:]
        cut = skip[:, :, by[0] : by[0] + high, by[1] : by[1] + wide]
        return torch.cat([cut, up], 1)

    def forward(self, x: Tensor) -> Tensor:
        a = self.a(x)
        b = self.b(F.max_pool2d(a, 2))
        y = self.d(self.joined(b, self.up1(self.c(F.max_pool2d(b, 2)))))
        logits: Tensor = self.out(self.e(self.joined(a, self.up0(y))))
        return logits


class Plain(nn.Module):
    """A U-Net of depth 1 whose output goes through what `last` is."""

    def __init__(self, last: nn.Module) -> None:
        super().__init__()
        self.fine, self.coarse, self.join = twice(3, 4), twice(4, 8), twice(12, 4)
        self.out, self.last = nn.Conv2d(4, 1, 1), last

    def forward(self, x: Tensor) -> Tensor:
        fine = self.fine(x)
        below = F.interpolate(self.coarse(F.max_pool2d(fine, 2)), scale_factor=2.0)
        y: Tensor = self.last(self.out(self.join(torch.cat([fine, below], 1))))
        return y


class Pooled(nn.Module):
    """DeepLab v3+: below, branches beside the mean of the image, up-sampled again."""

    def __init__(self) -> None:
        super().__init__()
        self.fine, self.coarse = twice(3, 4), twice(4, 8)
        self.branches = nn.ModuleList(convolved(8, 4) for _ in range(2))
        self.mean = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(8, 4, 1))
        self.join, self.last = convolved(12, 6), twice(10, 4)
        self.out = nn.Conv2d(4, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        fine = self.fine(x)
        below = self.coarse(F.max_pool2d(fine, 2))
        mean = F.interpolate(self.mean(below), size=below.shape[2:])
        below = self.join(torch.cat([*(b(below) for b in self.branches), mean], 1))
        up = F.interpolate(below, scale_factor=2.0)
        y: Tensor = self.out(self.last(torch.cat([up, fine], 1)))
        return y


def test_the_mean_of_an_image_is_no_row() -> None:
    lifted = lift(Pooled(), torch.randn(1, 3, 16, 16))
    assert lifted.graph is not None, lifted.why
    assert lifted.graph.spec.inputs == NestSpec(family="unet", depth=1).inputs
    inside = {"coarse", "branches.0", "branches.1", "mean", "join"}
    assert inside <= set(lifted.modules["x1_0"])


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_full_scale_edges_of_others(depth: int) -> None:
    lifted = lift(FullScale(depth), torch.randn(1, 3, 32, 32))
    assert lifted.graph is not None, lifted.why
    own = NestSpec(family="unet3+", depth=depth, widths=2)
    assert lifted.graph.spec.family == "unet3+"
    assert lifted.graph.spec.inputs == own.inputs
    assert lifted.outputs == {str(i): depth - i for i in range(depth)}
    assert lifted.modules["L1"] == (f"heads.{depth - 1}",)
    assert lifted.modules[f"x0_0 -> x0_{depth}"] == ("ways.0_0",)


@pytest.mark.parametrize(
    ("name", "depth", "stem"),
    [("resnet18", 4, 2), ("convnext_atto", 3, 4), ("mobilenetv3_small_050", 4, 2)],
)
def test_a_backbone_may_begin_at_any_row(name: str, depth: int, stem: int) -> None:
    lifted = lift(OnBackbone(name), torch.randn(1, 3, 64, 64))
    assert lifted.graph is not None, lifted.why
    spec = lifted.graph.spec
    assert (spec.family, spec.depth, spec.concat) == ("unet", depth, "up-first")
    assert lifted.stem == (stem, stem)
    assert lifted.outputs == {"0": depth}
    assert lifted.why == (
        f"no spec: row 0 is at 1/{stem}x1/{stem} of the image, nestgen's at its size"
    )
    counted = sum(part.parameters for part in lifted.parts.values())
    assert counted == sum(x.numel() for x in OnBackbone(name).parameters())


class FromQuarter(OnBackbone):
    """The same without a skip from the encoder's first row, and no more rows above."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.decoder = self.decoder[:-1]
        self.head = nn.Conv2d(8, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        _, *rows, y = self.encoder(x)
        for block, row in zip(self.decoder, reversed(rows), strict=True):
            y = block(torch.cat([F.interpolate(y, scale_factor=2.0), row], 1))
        return F.interpolate(self.head(y), size=x.shape[2:])


def test_rows_to_which_nothing_comes_back_are_a_stem() -> None:
    network = FromQuarter("resnet18")
    lifted = lift(network, torch.randn(1, 3, 64, 64))
    assert lifted.graph is not None, lifted.why
    assert lifted.graph.spec.inputs == NestSpec(family="unet", depth=3).inputs
    assert lifted.stem == (4, 4)
    assert lifted.modules["x0_0"] == (
        *("encoder.conv1", "encoder.bn1", "encoder.act1"),
        *("encoder.maxpool", "encoder.layer1"),
    )


def test_what_is_cropped_is_of_the_same_row() -> None:
    lifted = lift(Cropped(), torch.randn(1, 1, 92, 92))
    assert lifted.graph is not None, lifted.why
    assert (
        lifted.graph.spec.inputs
        == NestSpec(family="unet", depth=2, concat="up-last").inputs
    )
    assert lifted.why == "no spec: L2 is [1, 2, 52, 52], ours [1, 2, 92, 92]"


def test_probabilities_are_no_logits() -> None:
    lifted = lift(Plain(nn.Sigmoid()), torch.randn(1, 3, 16, 16))
    assert lifted.graph is not None
    assert lifted.why == "no spec: output 0 is sigmoid, nestgen's are logits"
    same = lift(Plain(nn.Identity()), torch.randn(1, 3, 16, 16))
    assert same.difference == 0.0


@pytest.mark.parametrize("size", [(13, 19), (9, 8), (16, 30)])
@pytest.mark.parametrize("family", ["unet", "unet++", "unet3+"])
def test_what_is_padded_is_of_the_same_row(family: str, size: tuple[int, int]) -> None:
    spec = NestSpec(family=family, depth=3, widths=2)
    lifted = lift(build(spec), torch.randn(1, 3, *size))
    assert lifted.spec == spec
