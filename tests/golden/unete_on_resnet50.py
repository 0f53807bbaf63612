"""1-D U-Net^e of depth 3 on resnet50.

Input: [N, 3, L] of any size, padded to multiples of 8 and cropped again.
Output: a dict of logits [N, 1, L] by level, from L1 to L3.

Written by nestgen from this spec:

family = "unet-e"
depth = 3
dims = 1
widths = [16, 32, 64, 128]
node_widths = [["x1_0", 64], ["x2_0", 256], ["x3_0", 512]]
strides = 2
kernel_sizes = [5, 3, 3, 3]
in_channels = 3
classes = 1
up = "transpose"
concat = "up-first"
skip = "plain"
encoder = "resnet50"
encoder_row = 1
heads = [1, 2, 3]
trim = false
pad = true

[block]
kind = "double"
norm = "batch"
activation = "gelu"
slope = 0.01
dropout = 0.1
drop_path = 0.0
bias = false
groups = 8
expansion = 4
standardise = false
"""

from __future__ import annotations

from collections.abc import Generator

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
            blocks = known.clamp(min=1).item()
        padded = max(blocks, 1) * multiple
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


def keep(rows: Tensor | None, *tensors: Tensor) -> tuple[Tensor, ...]:
    """Of each tensor the images at `rows`, all of them where that is None."""
    return tensors if rows is None else tuple(y.index_select(0, rows) for y in tensors)


class MaxPool1d(nn.MaxPool2d):
    """Max pooling of a signal, as of an image of one row: so it exports any length."""

    def __init__(
        self, kernel_size: int, stride: int | None = None, padding: int = 0
    ) -> None:
        step = (1, stride or kernel_size)
        super().__init__((1, kernel_size), stride=step, padding=(0, padding))

    def forward(self, x: Tensor) -> Tensor:
        row: Tensor = super().forward(x.unsqueeze(2))
        return row.squeeze(2)


class Stem(nn.Module):
    """The first layer of a ResNet: convolution, norm, activation."""

    def __init__(self, in_channels: int, channels: int, stride: tuple[int]) -> None:
        super().__init__()
        self.conv = nn.Conv1d(
            in_channels,
            channels,
            7,
            stride=stride,
            padding=3,
            bias=False,
        )
        self.norm = nn.BatchNorm1d(channels)
        self.act = nn.GELU()
        self.dropout = nn.Dropout(p=0.1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.dropout(self.act(self.norm(self.conv(x))))
        return x


class Projection(nn.Module):
    """Convolution and norm: what a block that changes its input adds to."""

    def __init__(self, in_channels: int, channels: int, stride: tuple[int]) -> None:
        super().__init__()
        self.conv = nn.Conv1d(in_channels, channels, 1, stride=stride, bias=False)
        self.norm = nn.BatchNorm1d(channels)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.conv(x))
        return x


class Residual(nn.Module):
    """The block of a ResNet (He et al., 2016, fig. 5)."""

    def __init__(self, in_channels: int, channels: int, stride: tuple[int]) -> None:
        super().__init__()
        inner = max(1, channels // 4)
        self.conv1 = nn.Conv1d(in_channels, inner, 1, stride=stride, bias=False)
        self.norm1 = nn.BatchNorm1d(inner)
        self.conv2 = nn.Conv1d(inner, inner, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm1d(inner)
        self.conv3 = nn.Conv1d(inner, channels, 1, bias=False)
        self.norm3 = nn.BatchNorm1d(channels)
        self.act = nn.GELU()
        self.dropout = nn.Dropout(p=0.1)
        self.shortcut: nn.Module = nn.Identity()
        if stride != (1,) or in_channels != channels:
            self.shortcut = Projection(in_channels, channels, stride)

    def forward(self, x: Tensor) -> Tensor:
        y = self.dropout(self.act(self.norm1(self.conv1(x))))
        y = self.dropout(self.act(self.norm2(self.conv2(y))))
        y = self.norm3(self.conv3(y))
        x = self.act(self.shortcut(x) + y)
        return x


class Stage(nn.Sequential):
    """A stage of ResNet-50 (He et al., 2016, table 1)."""

    def __init__(
        self, in_channels: int, channels: int, blocks: int, stride: tuple[int]
    ) -> None:
        super().__init__(
            Residual(in_channels, channels, stride),
            *(Residual(channels, channels, (1,)) for _ in range(blocks - 1)),
        )


class Node(nn.Module):
    """H(inputs): twice convolution, norm, activation."""

    def __init__(
        self, in_channels: int, channels: int, kernel_size: tuple[int]
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv1d(
            in_channels,
            channels,
            kernel_size,
            padding="same",
            bias=False,
        )
        self.norm1 = nn.BatchNorm1d(channels)
        self.conv2 = nn.Conv1d(
            channels,
            channels,
            kernel_size,
            padding="same",
            bias=False,
        )
        self.norm2 = nn.BatchNorm1d(channels)
        self.act = nn.GELU()
        self.dropout = nn.Dropout(p=0.1)

    def forward(self, *inputs: Tensor) -> Tensor:
        x: Tensor = torch.cat(inputs, dim=1) if len(inputs) > 1 else inputs[0]
        x = self.dropout(self.act(self.norm1(self.conv1(x))))
        x = self.dropout(self.act(self.norm2(self.conv2(x))))
        return x


class UNetE(nn.Module):
    """The network: X[i,j] is `x{i}_{j}`, in row i at the i-th resolution."""

    def __init__(self) -> None:
        super().__init__()
        self.pool = MaxPool1d(kernel_size=3, stride=2, padding=1)
        self.x0_0 = Node(3, 16, (5,))
        self.x1_0 = Stem(3, 64, (2,))
        self.up0_1 = nn.ConvTranspose1d(64, 16, kernel_size=2, stride=2)
        self.x0_1 = Node(32, 16, (5,))
        self.x2_0 = Stage(64, 256, 3, (1,))
        self.up1_1 = nn.ConvTranspose1d(256, 32, kernel_size=2, stride=2)
        self.x1_1 = Node(96, 32, (3,))
        self.up0_2 = nn.ConvTranspose1d(32, 16, kernel_size=2, stride=2)
        self.x0_2 = Node(32, 16, (5,))
        self.x3_0 = Stage(256, 512, 4, (2,))
        self.up2_1 = nn.ConvTranspose1d(512, 64, kernel_size=2, stride=2)
        self.x2_1 = Node(320, 64, (3,))
        self.up1_2 = nn.ConvTranspose1d(64, 32, kernel_size=2, stride=2)
        self.x1_2 = Node(96, 32, (3,))
        self.up0_3 = nn.ConvTranspose1d(32, 16, kernel_size=2, stride=2)
        self.x0_3 = Node(32, 16, (5,))
        self.head_L1 = nn.Conv1d(16, 1, kernel_size=1)
        self.head_L2 = nn.Conv1d(16, 1, kernel_size=1)
        self.head_L3 = nn.Conv1d(16, 1, kernel_size=1)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the convolutions' weights anew (He et al., 2015); biases are zero."""
        for module in self.modules():
            if isinstance(module, (nn.Conv1d, nn.ConvTranspose1d)):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return dict(self.levels(x))

    def levels(self, x: Tensor) -> Generator[tuple[str, Tensor], Tensor | None, None]:
        """Each level's name and logits, before the nodes of the next are computed.

        What is sent, `send(rows)`, are the images that go on, as an index [M].
        """
        fitted = fit(x, (8,))
        # X[0,0]
        x0_0 = self.x0_0(fitted)  # [N, 16, L]
        # X[1,0], X[0,1]
        x1_0 = self.x1_0(fitted)  # [N, 64, L/2]
        x0_1 = self.x0_1(self.up0_1(x1_0), x0_0)  # [N, 16, L]
        rows = yield "L1", crop(self.head_L1(x0_1), x)
        [x0_0] = keep(rows, x0_0)
        [x1_0] = keep(rows, x1_0)
        # X[2,0], X[1,1], X[0,2]
        x2_0 = self.x2_0(self.pool(x1_0))  # [N, 256, L/4]
        x1_1 = self.x1_1(self.up1_1(x2_0), x1_0)  # [N, 32, L/2]
        x0_2 = self.x0_2(self.up0_2(x1_1), x0_0)  # [N, 16, L]
        rows = yield "L2", crop(self.head_L2(x0_2), x)
        [x0_0] = keep(rows, x0_0)
        [x1_0] = keep(rows, x1_0)
        [x2_0] = keep(rows, x2_0)
        # X[3,0], X[2,1], X[1,2], X[0,3]
        x3_0 = self.x3_0(x2_0)  # [N, 512, L/8]
        x2_1 = self.x2_1(self.up2_1(x3_0), x2_0)  # [N, 64, L/4]
        x1_2 = self.x1_2(self.up1_2(x2_1), x1_0)  # [N, 32, L/2]
        x0_3 = self.x0_3(self.up0_3(x1_2), x0_0)  # [N, 16, L]
        yield "L3", crop(self.head_L3(x0_3), x)


if __name__ == "__main__":
    with torch.device("meta"):
        model = UNetE().eval()
        outputs = model(torch.empty((1, 3, 16)))
    print(f"{sum(p.numel() for p in model.parameters()):,} parameters")
    for level, logits in outputs.items():
        print(level, list(logits.shape))
