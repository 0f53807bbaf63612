"""Nested U-Nets as others write them: five styles, small, each with its own trap.

`PORTS` has a factory and the shape of an input for each. None is anyone's code.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

WIDTHS = (4, 6, 8, 10)


def norm_block(inside: int, width: int) -> nn.Sequential:
    """Twice convolution, batch norm, ReLU."""
    layers: list[nn.Module] = []
    for channels in (inside, width):
        layers += [
            nn.Conv2d(channels, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
        ]
    return nn.Sequential(*layers)


class ShallowFirst(nn.Module):
    """UNet++ by attributes; a list of heads, the shallowest first; aligned corners."""

    def __init__(
        self, widths: tuple[int, int, int, int] = WIDTHS, classes: int = 1
    ) -> None:
        super().__init__()
        a, b, c, d = widths
        self.pool = nn.MaxPool2d(2, 2)
        self.up = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)
        self.conv0_0, self.conv1_0 = norm_block(3, a), norm_block(a, b)
        self.conv2_0, self.conv3_0 = norm_block(b, c), norm_block(c, d)
        self.conv0_1, self.conv1_1 = norm_block(a + b, a), norm_block(b + c, b)
        self.conv2_1, self.conv0_2 = norm_block(c + d, c), norm_block(2 * a + b, a)
        self.conv1_2, self.conv0_3 = norm_block(2 * b + c, b), norm_block(3 * a + b, a)
        self.final1 = nn.Conv2d(a, classes, kernel_size=1)
        self.final2 = nn.Conv2d(a, classes, kernel_size=1)
        self.final3 = nn.Conv2d(a, classes, kernel_size=1)

    def forward(self, x: Tensor) -> list[Tensor]:
        x0_0 = self.conv0_0(x)
        x1_0 = self.conv1_0(self.pool(x0_0))
        x0_1 = self.conv0_1(torch.cat([x0_0, self.up(x1_0)], 1))
        x2_0 = self.conv2_0(self.pool(x1_0))
        x1_1 = self.conv1_1(torch.cat([x1_0, self.up(x2_0)], 1))
        x0_2 = self.conv0_2(torch.cat([x0_0, x0_1, self.up(x1_1)], 1))
        x3_0 = self.conv3_0(self.pool(x2_0))
        x2_1 = self.conv2_1(torch.cat([x2_0, self.up(x3_0)], 1))
        x1_2 = self.conv1_2(torch.cat([x1_0, x1_1, self.up(x2_1)], 1))
        x0_3 = self.conv0_3(torch.cat([x0_0, x0_1, x0_2, self.up(x1_2)], 1))
        return [self.final1(x0_1), self.final2(x0_2), self.final3(x0_3)]


class DeepestFirst(nn.Module):
    """A dict: the main head, with it a tuple of the others, the deepest first."""

    def __init__(self, widths: tuple[int, ...] = WIDTHS, classes: int = 2) -> None:
        super().__init__()
        self.rows = len(widths)
        self.nodes, self.ups = nn.ModuleDict(), nn.ModuleDict()
        for i, (inside, width) in enumerate(pairwise((3, *widths))):
            self.nodes[f"{i}_0"] = norm_block(inside, width)
        for j in range(1, self.rows):
            for i in range(self.rows - j):
                here, below = widths[i : i + 2]
                self.ups[f"{i}_{j}"] = nn.ConvTranspose2d(below, here, 2, 2)
                self.nodes[f"{i}_{j}"] = norm_block((j + 1) * here, here)
        self.heads = nn.ModuleList(
            nn.Conv2d(widths[0], classes, 1) for _ in range(self.rows - 1)
        )

    def forward(
        self, x: Tensor
    ) -> dict[str, Tensor | tuple[Tensor, tuple[Tensor, ...]]]:
        grid: dict[tuple[int, int], Tensor] = {}
        for i in range(self.rows):
            below = F.max_pool2d(x, 2) if i else x
            grid[i, 0] = x = self.nodes[f"{i}_0"](below)
        for j in range(1, self.rows):
            for i in range(self.rows - j):
                up = self.ups[f"{i}_{j}"](grid[i + 1, j - 1])
                row = [grid[i, k] for k in range(j)]
                grid[i, j] = self.nodes[f"{i}_{j}"](torch.cat([up, *row], dim=1))
        logits = [head(grid[0, j + 1]) for j, head in enumerate(self.heads)][::-1]
        return {"seg": (logits[0], tuple(logits[1:])), "bottom": grid[self.rows - 1, 0]}


class Rectified(nn.Module):
    """Two convolutions, what the first gives added to the second's, all in place."""

    def __init__(self, inside: int, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inside, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        kept = self.relu(self.first(x))
        y: Tensor = self.second(kept)
        y += kept
        y = self.relu(y)
        return y


class PadsOdd(nn.Module):
    """Pads what comes up where a side was odd, by the shapes it meets; in place."""

    def __init__(self, widths: tuple[int, ...] = WIDTHS[:3], classes: int = 1) -> None:
        super().__init__()
        a, b, c = widths
        self.down0, self.down1 = Rectified(3, a), Rectified(a, b)
        self.down2 = Rectified(b, c)
        self.node01, self.node11 = Rectified(a + b, a), Rectified(b + c, b)
        self.node02 = Rectified(2 * a + b, a)
        self.out1, self.out2 = nn.Conv2d(a, classes, 1), nn.Conv2d(a, classes, 1)

    def join(self, below: Tensor, *row: Tensor) -> Tensor:
        up = F.interpolate(below, scale_factor=2.0, mode="nearest")
        high, wide = (row[0].shape[axis] - up.shape[axis] for axis in (-2, -1))
        if high or wide:
            up = F.pad(up, (0, wide, 0, high), mode="replicate")
        return torch.cat((*row, up), dim=1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        zero = self.down0(x)
        one = self.down1(F.max_pool2d(zero, 2))
        two = self.down2(F.max_pool2d(one, 2))
        first = self.node01(self.join(one, zero))
        middle = self.node11(self.join(two, one))
        second = self.node02(self.join(middle, zero, first))
        return self.out1(first), self.out2(second)


class MeanToo(nn.Module):
    """One module for all ways up, buffers, dropout; the mean of the heads, and they."""

    mean: Tensor
    scale: Tensor

    def __init__(self, width: int = 4, depth: int = 3, classes: int = 1) -> None:
        super().__init__()
        self.depth = depth
        self.register_buffer("mean", torch.tensor([0.4, 0.5, 0.6]).view(1, 3, 1, 1))
        self.register_buffer("scale", torch.full((1, 3, 1, 1), 0.25), persistent=False)
        self.up = nn.ConvTranspose2d(width, width, 2, stride=2)
        self.drop = nn.Dropout2d(0.1)
        self.columns = nn.ModuleList(
            nn.ModuleList(
                norm_block((j + 1) * width if i or j else 3, width)
                for i in range(depth + 1 - j)
            )
            for j in range(depth + 1)
        )
        self.heads = nn.ModuleList(nn.Conv2d(width, classes, 1) for _ in range(depth))

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        rows: list[list[Tensor]] = [[] for _ in range(self.depth + 1)]
        y = (x - self.mean) / self.scale
        for i in range(self.depth + 1):
            y = self.columns[0][i](F.avg_pool2d(y, 2) if i else y)  # type: ignore[index]
            rows[i].append(self.drop(y))
        for j in range(1, self.depth + 1):
            for i in range(self.depth + 1 - j):
                inputs = [*rows[i][:j], self.up(rows[i + 1][j - 1])]
                rows[i].append(self.columns[j][i](torch.cat(inputs, 1)))  # type: ignore[index]
        heads = [head(rows[0][j + 1]) for j, head in enumerate(self.heads)]
        return torch.stack(heads).mean(dim=0), heads


class ByName(nn.Module):
    """An encoder's list, decoder blocks x_i_j in a dict, one head; asks for a shape."""

    def __init__(self, widths: tuple[int, ...] = WIDTHS, classes: int = 1) -> None:
        super().__init__()
        self.widths = widths
        self.encoder = nn.ModuleList(
            norm_block(*ends) for ends in pairwise((3, *widths))
        )
        self.blocks = nn.ModuleDict()
        for j in range(1, len(widths)):
            for i in range(len(widths) - j):
                inside = widths[i + 1] + j * widths[i]
                self.blocks[f"x_{i}_{j}"] = norm_block(inside, widths[i])
        self.segmentation_head = nn.Conv2d(widths[0], classes, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        unit = 2 ** (len(self.widths) - 1)
        if x.shape[-1] % unit or x.shape[-2] % unit:
            raise RuntimeError(
                f"sides {tuple(x.shape[-2:])} are no multiples of {unit}"
            )
        found: dict[str, Tensor] = {}
        for i, stage in enumerate(self.encoder):
            found[f"x_{i}_0"] = x = stage(F.max_pool2d(x, 2) if i else x)
        for j in range(1, len(self.widths)):
            for i in range(len(self.widths) - j):
                below = found[f"x_{i + 1}_{j - 1}"]
                up = F.interpolate(below, scale_factor=2, mode="nearest")
                newest = [found[f"x_{i}_{k}"] for k in range(j - 1, -1, -1)]
                block = self.blocks[f"x_{i}_{j}"]
                found[f"x_{i}_{j}"] = block(torch.cat([up, *newest], dim=1))
        logits: Tensor = self.segmentation_head(found[f"x_0_{len(self.widths) - 1}"])
        return logits


PORTS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "shallow-first": (ShallowFirst, (2, 3, 16, 24)),
    "deepest-first": (DeepestFirst, (2, 3, 16, 24)),
    "pads-odd": (PadsOdd, (2, 3, 11, 14)),
    "mean-too": (MeanToo, (2, 3, 16, 24)),
    "by-name": (ByName, (2, 3, 16, 24)),
}
"""A factory and the shape of an input, by name."""
