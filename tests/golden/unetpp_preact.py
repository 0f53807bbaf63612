"""UNet++ of depth 2.

Input: [N, 3, H, W] of any size, padded to multiples of 4 and cropped again.
Output: a dict of logits [N, 1, H, W] by level, from L1 to L2.

Written by nestgen from this spec:

family = "unet++"
depth = 2
dims = 2
widths = [16, 32, 64]
node_widths = []
strides = 2
kernel_sizes = 3
in_channels = 3
classes = 1
up = "transpose"
concat = "up-first"
skip = "plain"
heads = [1, 2]
trim = false
pad = true

[block]
kind = "double-preact"
norm = "batch"
activation = "relu"
slope = 0.01
dropout = 0.0
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


class Node(nn.Module):
    """H(inputs): twice norm, activation, convolution (He et al., 2016, Identity
    Mappings).
    """

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(in_channels)
        self.conv1 = nn.Conv2d(in_channels, channels, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.act = nn.ReLU()

    def forward(self, *inputs: Tensor) -> Tensor:
        x: Tensor = torch.cat(inputs, dim=1) if len(inputs) > 1 else inputs[0]
        x = self.conv1(self.act(self.norm1(x)))
        x = self.conv2(self.act(self.norm2(x)))
        return x


class UNetPlusPlus(nn.Module):
    """The network: X[i,j] is `x{i}_{j}`, in row i at the i-th resolution."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.MaxPool2d(kernel_size=2)
        self.x0_0 = Node(3, 16)
        self.x1_0 = Node(16, 32)
        self.up0_1 = nn.ConvTranspose2d(32, 16, kernel_size=2, stride=2)
        self.x0_1 = Node(32, 16)
        self.x2_0 = Node(32, 64)
        self.up1_1 = nn.ConvTranspose2d(64, 32, kernel_size=2, stride=2)
        self.x1_1 = Node(64, 32)
        self.up0_2 = nn.ConvTranspose2d(32, 16, kernel_size=2, stride=2)
        self.x0_2 = Node(48, 16)
        self.head_L1 = nn.Conv2d(16, 1, kernel_size=1)
        self.head_L2 = nn.Conv2d(16, 1, kernel_size=1)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the convolutions' weights anew (He et al., 2015); biases are zero."""
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return dict(self.levels(x))

    def levels(self, x: Tensor) -> Generator[tuple[str, Tensor], Tensor | None, None]:
        """Each level's name and logits, before the nodes of the next are computed.

        What is sent, `send(rows)`, are the images that go on, as an index [M].
        """
        fitted = fit(x, (4, 4))
        # X[0,0]
        x0_0 = self.x0_0(fitted)  # [N, 16, H, W]
        # X[1,0], X[0,1]
        x1_0 = self.x1_0(self.down(x0_0))  # [N, 32, H/2, W/2]
        x0_1 = self.x0_1(self.up0_1(x1_0), x0_0)  # [N, 16, H, W]
        rows = yield "L1", crop(self.head_L1(x0_1), x)
        [x0_0] = keep(rows, x0_0)
        x1_0, x0_1 = keep(rows, x1_0, x0_1)
        # X[2,0], X[1,1], X[0,2]
        x2_0 = self.x2_0(self.down(x1_0))  # [N, 64, H/4, W/4]
        x1_1 = self.x1_1(self.up1_1(x2_0), x1_0)  # [N, 32, H/2, W/2]
        x0_2 = self.x0_2(self.up0_2(x1_1), x0_0, x0_1)  # [N, 16, H, W]
        yield "L2", crop(self.head_L2(x0_2), x)


if __name__ == "__main__":
    with torch.device("meta"):
        model = UNetPlusPlus().eval()
        outputs = model(torch.empty((1, 3, 8, 8)))
    print(f"{sum(p.numel() for p in model.parameters()):,} parameters")
    for level, logits in outputs.items():
        print(level, list(logits.shape))
