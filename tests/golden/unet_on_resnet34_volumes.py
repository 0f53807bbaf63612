"""3-D U-Net of depth 2 on resnet34.

Input: [N, 3, D, H, W] of any size, padded to multiples of (2, 4, 4) and cropped
again. Output: logits [N, 1, D, H, W] of level L2.

Written by nestgen from this spec:

family = "unet"
depth = 2
dims = 3
widths = [16, 32, 64]
node_widths = [["x1_0", 64]]
strides = [[1, 2, 2], 2]
kernel_sizes = 3
in_channels = 3
classes = 1
up = "transpose"
concat = "up-first"
skip = "plain"
encoder = "resnet34"
encoder_row = 1
heads = [2]
trim = true
pad = true

[block]
kind = "double"
norm = "instance"
activation = "relu"
slope = 0.01
dropout = 0.0
drop_path = 0.0
bias = false
groups = 8
expansion = 4
standardise = true
"""

from __future__ import annotations

import torch
from torch import Tensor, fx, nn


@fx.wrap
def fit(x: Tensor, multiples: tuple[int, ...]) -> Tensor:
    """Repeat the last pixels of each axis up to a multiple; what fits is kept."""
    for axis, multiple in enumerate(multiples, start=2):
        size = x.shape[axis]
        blocks: float = (size + multiple - 1) // multiple
        exported = isinstance(size, torch.SymInt)
        if exported:
            # a number of which the program knows nothing, so that it takes any size
            known = torch.scalar_tensor(blocks, dtype=torch.int64)
            blocks = known.clamp(min=2).item()
        padded = max(blocks, 2) * multiple
        if exported or padded != size:
            pixels = torch.arange(padded, device=x.device)
            x = x.index_select(axis, pixels.clamp(max=size - 1))
    return x


@fx.wrap
def crop(y: Tensor, x: Tensor) -> Tensor:
    """The part of `y` that is not padding, where `x` is the input."""
    for axis, size in enumerate(x.shape[2:], start=2):
        if isinstance(size, torch.SymInt) or y.shape[axis] != size:
            y = y.index_select(axis, torch.arange(size, device=y.device))
    return y


class StandardConv3d(nn.Conv3d):
    """Each filter has mean zero and variance one (Qiao et al., 2019)."""

    def forward(self, x: Tensor) -> Tensor:
        flat = self.weight.flatten(1)
        mean = flat.mean(1, keepdim=True)
        deviation = flat.std(1, correction=0, keepdim=True)
        weight = ((flat - mean) / (deviation + 1e-5)).view_as(self.weight)
        y: Tensor = self._conv_forward(x, weight, self.bias)
        return y


class Stem(nn.Module):
    """The first layer of a ResNet: convolution, norm, activation."""

    def __init__(
        self, in_channels: int, channels: int, stride: tuple[int, int, int]
    ) -> None:
        super().__init__()
        self.conv = StandardConv3d(
            in_channels,
            channels,
            7,
            stride=stride,
            padding=3,
            bias=False,
        )
        self.norm = nn.InstanceNorm3d(channels, affine=True)
        self.act = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.norm(self.conv(x)))
        return x


class Projection(nn.Module):
    """Convolution and norm: what a block that changes its input adds to."""

    def __init__(
        self, in_channels: int, channels: int, stride: tuple[int, int, int]
    ) -> None:
        super().__init__()
        self.conv = nn.Conv3d(in_channels, channels, 1, stride=stride, bias=False)
        self.norm = nn.InstanceNorm3d(channels, affine=True)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.conv(x))
        return x


class Residual(nn.Module):
    """The block of a ResNet (He et al., 2016, fig. 5)."""

    def __init__(
        self, in_channels: int, channels: int, stride: tuple[int, int, int]
    ) -> None:
        super().__init__()
        self.conv1 = StandardConv3d(
            in_channels,
            channels,
            3,
            stride=stride,
            padding=1,
            bias=False,
        )
        self.norm1 = nn.InstanceNorm3d(channels, affine=True)
        self.conv2 = StandardConv3d(channels, channels, 3, padding=1, bias=False)
        self.norm2 = nn.InstanceNorm3d(channels, affine=True)
        self.act = nn.ReLU(inplace=True)
        self.shortcut: nn.Module = nn.Identity()
        if stride != (1, 1, 1) or in_channels != channels:
            self.shortcut = Projection(in_channels, channels, stride)

    def forward(self, x: Tensor) -> Tensor:
        y = self.act(self.norm1(self.conv1(x)))
        y = self.norm2(self.conv2(y))
        x = self.act(self.shortcut(x) + y)
        return x


class Stage(nn.Sequential):
    """A stage of ResNet-34 (He et al., 2016, table 1)."""

    def __init__(
        self, in_channels: int, channels: int, blocks: int, stride: tuple[int, int, int]
    ) -> None:
        super().__init__(
            Residual(in_channels, channels, stride),
            *(Residual(channels, channels, (1, 1, 1)) for _ in range(blocks - 1)),
        )


class Node(nn.Module):
    """H(inputs): twice convolution, norm, activation."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.conv1 = StandardConv3d(in_channels, channels, 3, padding=1, bias=False)
        self.norm1 = nn.InstanceNorm3d(channels, affine=True)
        self.conv2 = StandardConv3d(channels, channels, 3, padding=1, bias=False)
        self.norm2 = nn.InstanceNorm3d(channels, affine=True)
        self.act = nn.ReLU(inplace=True)

    def forward(self, *inputs: Tensor) -> Tensor:
        x: Tensor = torch.cat(inputs, dim=1) if len(inputs) > 1 else inputs[0]
        x = self.act(self.norm1(self.conv1(x)))
        x = self.act(self.norm2(self.conv2(x)))
        return x


class UNet(nn.Module):
    """The network: X[i,j] is `x{i}_{j}`, in row i at the i-th resolution."""

    def __init__(self) -> None:
        super().__init__()
        self.pool = nn.MaxPool3d(kernel_size=3, stride=2, padding=1)
        self.x0_0 = Node(3, 16)
        self.x1_0 = Stem(3, 64, (1, 2, 2))
        self.x2_0 = Stage(64, 64, 3, (1, 1, 1))
        self.up1_1 = nn.ConvTranspose3d(64, 32, kernel_size=2, stride=2)
        self.x1_1 = Node(96, 32)
        self.up0_2 = nn.ConvTranspose3d(32, 16, kernel_size=(1, 2, 2), stride=(1, 2, 2))
        self.x0_2 = Node(32, 16)
        self.head_L2 = nn.Conv3d(16, 1, kernel_size=1)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the convolutions' weights anew (He et al., 2015); biases are zero."""
        for module in self.modules():
            if isinstance(module, (nn.Conv3d, nn.ConvTranspose3d)):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        fitted = fit(x, (2, 4, 4))
        # X[0,0]
        x0_0 = self.x0_0(fitted)  # [N, 16, D, H, W]
        # X[1,0]
        x1_0 = self.x1_0(fitted)  # [N, 64, D, H/2, W/2]
        # X[2,0], X[1,1], X[0,2]
        x2_0 = self.x2_0(self.pool(x1_0))  # [N, 64, D/2, H/4, W/4]
        x1_1 = self.x1_1(self.up1_1(x2_0), x1_0)  # [N, 32, D, H/2, W/2]
        x0_2 = self.x0_2(self.up0_2(x1_1), x0_0)  # [N, 16, D, H, W]
        logits: Tensor = crop(self.head_L2(x0_2), x)
        return logits


if __name__ == "__main__":
    with torch.device("meta"):
        model = UNet().eval()
        outputs = model(torch.empty((1, 3, 4, 8, 8)))
    print(f"{sum(p.numel() for p in model.parameters()):,} parameters")
    print(list(outputs.shape))
