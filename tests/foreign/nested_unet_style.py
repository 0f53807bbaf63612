"""Networks in the style of 4uiiurz1/pytorch-nested-unet, written from its description.

The modules are called as there; what they compute is what the paper's figure shows.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Block(nn.Module):
    """Twice convolution with a bias, batch norm, ReLU."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, padding=1)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.bn2 = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.bn1(self.conv1(x)))
        return torch.relu(self.bn2(self.conv2(x)))


class Style(nn.Module):
    """What both networks share."""

    base = 32

    def __init__(self, input_channels: int) -> None:
        super().__init__()
        self.widths = [self.base * 2**i for i in range(5)]
        self.pool = nn.MaxPool2d(2)
        self.up = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)
        inside = [input_channels, *self.widths]
        for i in range(5):
            self.add_module(f"conv{i}_0", Block(inside[i], inside[i + 1]))

    def encode(self, x: Tensor) -> dict[tuple[int, int], Tensor]:
        nodes = {}
        for i in range(5):
            x = self.get_submodule(f"conv{i}_0")(self.pool(x) if i else x)
            nodes[i, 0] = x
        return nodes


class NestedUNet(Style):
    """Its UNet++: the skips from the oldest, then what comes up."""

    def __init__(
        self, num_classes: int, input_channels: int = 3, deep_supervision: bool = False
    ) -> None:
        super().__init__(input_channels)
        self.deep_supervision = deep_supervision
        for j in range(1, 5):
            for i in range(5 - j):
                inputs = j * self.widths[i] + self.widths[i + 1]
                self.add_module(f"conv{i}_{j}", Block(inputs, self.widths[i]))
        for name in self.finals():
            self.add_module(name, nn.Conv2d(self.widths[0], num_classes, 1))

    def finals(self) -> list[str]:
        return (
            [f"final{k}" for k in range(1, 5)] if self.deep_supervision else ["final"]
        )

    def forward(self, x: Tensor) -> list[Tensor] | Tensor:
        nodes = self.encode(x)
        for j in range(1, 5):
            for i in range(5 - j):
                skips = [nodes[i, k] for k in range(j)]
                inputs = torch.cat([*skips, self.up(nodes[i + 1, j - 1])], 1)
                nodes[i, j] = self.get_submodule(f"conv{i}_{j}")(inputs)
        heads = [self.get_submodule(name) for name in self.finals()]
        outputs = [
            head(nodes[0, k])
            for k, head in zip(range(5 - len(heads), 5), heads, strict=True)
        ]
        return outputs if self.deep_supervision else outputs[0]


class UNet(Style):
    """Its U-Net."""

    def __init__(self, num_classes: int, input_channels: int = 3) -> None:
        super().__init__(input_channels)
        for i in range(4):
            inputs = self.widths[i] + self.widths[i + 1]
            self.add_module(f"conv{i}_{4 - i}", Block(inputs, self.widths[i]))
        self.final = nn.Conv2d(self.widths[0], num_classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        nodes = self.encode(x)
        y = nodes[4, 0]
        for i in range(3, -1, -1):
            inputs = torch.cat([nodes[i, 0], self.up(y)], 1)
            y = self.get_submodule(f"conv{i}_{4 - i}")(inputs)
        logits: Tensor = self.final(y)
        return logits


class SmallNestedUNet(NestedUNet):
    """Of 2 channels in row 0."""

    base = 2


class SmallUNet(UNet):
    """Of 2 channels in row 0."""

    base = 2
