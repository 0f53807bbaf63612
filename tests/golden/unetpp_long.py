"""UNet++ of depth 12.

Input: [N, 3, H, W] of any size, padded to multiples of 4096 and cropped again.
Output: a dict of logits [N, 1, H, W] by level, from L3 to L12.

Written by nestgen from this spec:

family = "unet++"
depth = 12
dims = 2
widths = [256, 512, 1024, 2048, 4096, 8192, 16384, 32768, 65536, 131072, 262144, 524288,
1048576]
node_widths = []
strides = 2
kernel_sizes = 3
in_channels = 3
classes = 1
up = "transpose"
concat = "up-first"
skip = "plain"
heads = [3, 11, 12]
trim = false
pad = true

[block]
kind = "double"
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
    """H(inputs): twice convolution, norm, activation."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels)
        self.act = nn.ReLU(inplace=True)

    def forward(self, *inputs: Tensor) -> Tensor:
        x: Tensor = torch.cat(inputs, dim=1) if len(inputs) > 1 else inputs[0]
        x = self.act(self.norm1(self.conv1(x)))
        x = self.act(self.norm2(self.conv2(x)))
        return x


class UNetPlusPlus(nn.Module):
    """The network: X[i,j] is `x{i}_{j}`, in row i at the i-th resolution."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.MaxPool2d(kernel_size=2)
        self.x0_0 = Node(3, 256)
        self.x1_0 = Node(256, 512)
        self.up0_1 = nn.ConvTranspose2d(512, 256, kernel_size=2, stride=2)
        self.x0_1 = Node(512, 256)
        self.x2_0 = Node(512, 1024)
        self.up1_1 = nn.ConvTranspose2d(1024, 512, kernel_size=2, stride=2)
        self.x1_1 = Node(1024, 512)
        self.up0_2 = nn.ConvTranspose2d(512, 256, kernel_size=2, stride=2)
        self.x0_2 = Node(768, 256)
        self.x3_0 = Node(1024, 2048)
        self.up2_1 = nn.ConvTranspose2d(2048, 1024, kernel_size=2, stride=2)
        self.x2_1 = Node(2048, 1024)
        self.up1_2 = nn.ConvTranspose2d(1024, 512, kernel_size=2, stride=2)
        self.x1_2 = Node(1536, 512)
        self.up0_3 = nn.ConvTranspose2d(512, 256, kernel_size=2, stride=2)
        self.x0_3 = Node(1024, 256)
        self.x4_0 = Node(2048, 4096)
        self.up3_1 = nn.ConvTranspose2d(4096, 2048, kernel_size=2, stride=2)
        self.x3_1 = Node(4096, 2048)
        self.up2_2 = nn.ConvTranspose2d(2048, 1024, kernel_size=2, stride=2)
        self.x2_2 = Node(3072, 1024)
        self.up1_3 = nn.ConvTranspose2d(1024, 512, kernel_size=2, stride=2)
        self.x1_3 = Node(2048, 512)
        self.up0_4 = nn.ConvTranspose2d(512, 256, kernel_size=2, stride=2)
        self.x0_4 = Node(1280, 256)
        self.x5_0 = Node(4096, 8192)
        self.up4_1 = nn.ConvTranspose2d(8192, 4096, kernel_size=2, stride=2)
        self.x4_1 = Node(8192, 4096)
        self.up3_2 = nn.ConvTranspose2d(4096, 2048, kernel_size=2, stride=2)
        self.x3_2 = Node(6144, 2048)
        self.up2_3 = nn.ConvTranspose2d(2048, 1024, kernel_size=2, stride=2)
        self.x2_3 = Node(4096, 1024)
        self.up1_4 = nn.ConvTranspose2d(1024, 512, kernel_size=2, stride=2)
        self.x1_4 = Node(2560, 512)
        self.up0_5 = nn.ConvTranspose2d(512, 256, kernel_size=2, stride=2)
        self.x0_5 = Node(1536, 256)
        self.x6_0 = Node(8192, 16384)
        self.up5_1 = nn.ConvTranspose2d(16384, 8192, kernel_size=2, stride=2)
        self.x5_1 = Node(16384, 8192)
        self.up4_2 = nn.ConvTranspose2d(8192, 4096, kernel_size=2, stride=2)
        self.x4_2 = Node(12288, 4096)
        self.up3_3 = nn.ConvTranspose2d(4096, 2048, kernel_size=2, stride=2)
        self.x3_3 = Node(8192, 2048)
        self.up2_4 = nn.ConvTranspose2d(2048, 1024, kernel_size=2, stride=2)
        self.x2_4 = Node(5120, 1024)
        self.up1_5 = nn.ConvTranspose2d(1024, 512, kernel_size=2, stride=2)
        self.x1_5 = Node(3072, 512)
        self.up0_6 = nn.ConvTranspose2d(512, 256, kernel_size=2, stride=2)
        self.x0_6 = Node(1792, 256)
        self.x7_0 = Node(16384, 32768)
        self.up6_1 = nn.ConvTranspose2d(32768, 16384, kernel_size=2, stride=2)
        self.x6_1 = Node(32768, 16384)
        self.up5_2 = nn.ConvTranspose2d(16384, 8192, kernel_size=2, stride=2)
        self.x5_2 = Node(24576, 8192)
        self.up4_3 = nn.ConvTranspose2d(8192, 4096, kernel_size=2, stride=2)
        self.x4_3 = Node(16384, 4096)
        self.up3_4 = nn.ConvTranspose2d(4096, 2048, kernel_size=2, stride=2)
        self.x3_4 = Node(10240, 2048)
        self.up2_5 = nn.ConvTranspose2d(2048, 1024, kernel_size=2, stride=2)
        self.x2_5 = Node(6144, 1024)
        self.up1_6 = nn.ConvTranspose2d(1024, 512, kernel_size=2, stride=2)
        self.x1_6 = Node(3584, 512)
        self.up0_7 = nn.ConvTranspose2d(512, 256, kernel_size=2, stride=2)
        self.x0_7 = Node(2048, 256)
        self.x8_0 = Node(32768, 65536)
        self.up7_1 = nn.ConvTranspose2d(65536, 32768, kernel_size=2, stride=2)
        self.x7_1 = Node(65536, 32768)
        self.up6_2 = nn.ConvTranspose2d(32768, 16384, kernel_size=2, stride=2)
        self.x6_2 = Node(49152, 16384)
        self.up5_3 = nn.ConvTranspose2d(16384, 8192, kernel_size=2, stride=2)
        self.x5_3 = Node(32768, 8192)
        self.up4_4 = nn.ConvTranspose2d(8192, 4096, kernel_size=2, stride=2)
        self.x4_4 = Node(20480, 4096)
        self.up3_5 = nn.ConvTranspose2d(4096, 2048, kernel_size=2, stride=2)
        self.x3_5 = Node(12288, 2048)
        self.up2_6 = nn.ConvTranspose2d(2048, 1024, kernel_size=2, stride=2)
        self.x2_6 = Node(7168, 1024)
        self.up1_7 = nn.ConvTranspose2d(1024, 512, kernel_size=2, stride=2)
        self.x1_7 = Node(4096, 512)
        self.up0_8 = nn.ConvTranspose2d(512, 256, kernel_size=2, stride=2)
        self.x0_8 = Node(2304, 256)
        self.x9_0 = Node(65536, 131072)
        self.up8_1 = nn.ConvTranspose2d(131072, 65536, kernel_size=2, stride=2)
        self.x8_1 = Node(131072, 65536)
        self.up7_2 = nn.ConvTranspose2d(65536, 32768, kernel_size=2, stride=2)
        self.x7_2 = Node(98304, 32768)
        self.up6_3 = nn.ConvTranspose2d(32768, 16384, kernel_size=2, stride=2)
        self.x6_3 = Node(65536, 16384)
        self.up5_4 = nn.ConvTranspose2d(16384, 8192, kernel_size=2, stride=2)
        self.x5_4 = Node(40960, 8192)
        self.up4_5 = nn.ConvTranspose2d(8192, 4096, kernel_size=2, stride=2)
        self.x4_5 = Node(24576, 4096)
        self.up3_6 = nn.ConvTranspose2d(4096, 2048, kernel_size=2, stride=2)
        self.x3_6 = Node(14336, 2048)
        self.up2_7 = nn.ConvTranspose2d(2048, 1024, kernel_size=2, stride=2)
        self.x2_7 = Node(8192, 1024)
        self.up1_8 = nn.ConvTranspose2d(1024, 512, kernel_size=2, stride=2)
        self.x1_8 = Node(4608, 512)
        self.up0_9 = nn.ConvTranspose2d(512, 256, kernel_size=2, stride=2)
        self.x0_9 = Node(2560, 256)
        self.x10_0 = Node(131072, 262144)
        self.up9_1 = nn.ConvTranspose2d(262144, 131072, kernel_size=2, stride=2)
        self.x9_1 = Node(262144, 131072)
        self.up8_2 = nn.ConvTranspose2d(131072, 65536, kernel_size=2, stride=2)
        self.x8_2 = Node(196608, 65536)
        self.up7_3 = nn.ConvTranspose2d(65536, 32768, kernel_size=2, stride=2)
        self.x7_3 = Node(131072, 32768)
        self.up6_4 = nn.ConvTranspose2d(32768, 16384, kernel_size=2, stride=2)
        self.x6_4 = Node(81920, 16384)
        self.up5_5 = nn.ConvTranspose2d(16384, 8192, kernel_size=2, stride=2)
        self.x5_5 = Node(49152, 8192)
        self.up4_6 = nn.ConvTranspose2d(8192, 4096, kernel_size=2, stride=2)
        self.x4_6 = Node(28672, 4096)
        self.up3_7 = nn.ConvTranspose2d(4096, 2048, kernel_size=2, stride=2)
        self.x3_7 = Node(16384, 2048)
        self.up2_8 = nn.ConvTranspose2d(2048, 1024, kernel_size=2, stride=2)
        self.x2_8 = Node(9216, 1024)
        self.up1_9 = nn.ConvTranspose2d(1024, 512, kernel_size=2, stride=2)
        self.x1_9 = Node(5120, 512)
        self.up0_10 = nn.ConvTranspose2d(512, 256, kernel_size=2, stride=2)
        self.x0_10 = Node(2816, 256)
        self.x11_0 = Node(262144, 524288)
        self.up10_1 = nn.ConvTranspose2d(524288, 262144, kernel_size=2, stride=2)
        self.x10_1 = Node(524288, 262144)
        self.up9_2 = nn.ConvTranspose2d(262144, 131072, kernel_size=2, stride=2)
        self.x9_2 = Node(393216, 131072)
        self.up8_3 = nn.ConvTranspose2d(131072, 65536, kernel_size=2, stride=2)
        self.x8_3 = Node(262144, 65536)
        self.up7_4 = nn.ConvTranspose2d(65536, 32768, kernel_size=2, stride=2)
        self.x7_4 = Node(163840, 32768)
        self.up6_5 = nn.ConvTranspose2d(32768, 16384, kernel_size=2, stride=2)
        self.x6_5 = Node(98304, 16384)
        self.up5_6 = nn.ConvTranspose2d(16384, 8192, kernel_size=2, stride=2)
        self.x5_6 = Node(57344, 8192)
        self.up4_7 = nn.ConvTranspose2d(8192, 4096, kernel_size=2, stride=2)
        self.x4_7 = Node(32768, 4096)
        self.up3_8 = nn.ConvTranspose2d(4096, 2048, kernel_size=2, stride=2)
        self.x3_8 = Node(18432, 2048)
        self.up2_9 = nn.ConvTranspose2d(2048, 1024, kernel_size=2, stride=2)
        self.x2_9 = Node(10240, 1024)
        self.up1_10 = nn.ConvTranspose2d(1024, 512, kernel_size=2, stride=2)
        self.x1_10 = Node(5632, 512)
        self.up0_11 = nn.ConvTranspose2d(512, 256, kernel_size=2, stride=2)
        self.x0_11 = Node(3072, 256)
        self.x12_0 = Node(524288, 1048576)
        self.up11_1 = nn.ConvTranspose2d(1048576, 524288, kernel_size=2, stride=2)
        self.x11_1 = Node(1048576, 524288)
        self.up10_2 = nn.ConvTranspose2d(524288, 262144, kernel_size=2, stride=2)
        self.x10_2 = Node(786432, 262144)
        self.up9_3 = nn.ConvTranspose2d(262144, 131072, kernel_size=2, stride=2)
        self.x9_3 = Node(524288, 131072)
        self.up8_4 = nn.ConvTranspose2d(131072, 65536, kernel_size=2, stride=2)
        self.x8_4 = Node(327680, 65536)
        self.up7_5 = nn.ConvTranspose2d(65536, 32768, kernel_size=2, stride=2)
        self.x7_5 = Node(196608, 32768)
        self.up6_6 = nn.ConvTranspose2d(32768, 16384, kernel_size=2, stride=2)
        self.x6_6 = Node(114688, 16384)
        self.up5_7 = nn.ConvTranspose2d(16384, 8192, kernel_size=2, stride=2)
        self.x5_7 = Node(65536, 8192)
        self.up4_8 = nn.ConvTranspose2d(8192, 4096, kernel_size=2, stride=2)
        self.x4_8 = Node(36864, 4096)
        self.up3_9 = nn.ConvTranspose2d(4096, 2048, kernel_size=2, stride=2)
        self.x3_9 = Node(20480, 2048)
        self.up2_10 = nn.ConvTranspose2d(2048, 1024, kernel_size=2, stride=2)
        self.x2_10 = Node(11264, 1024)
        self.up1_11 = nn.ConvTranspose2d(1024, 512, kernel_size=2, stride=2)
        self.x1_11 = Node(6144, 512)
        self.up0_12 = nn.ConvTranspose2d(512, 256, kernel_size=2, stride=2)
        self.x0_12 = Node(3328, 256)
        self.head_L3 = nn.Conv2d(256, 1, kernel_size=1)
        self.head_L11 = nn.Conv2d(256, 1, kernel_size=1)
        self.head_L12 = nn.Conv2d(256, 1, kernel_size=1)
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
        fitted = fit(x, (4096, 4096))
        # X[0,0]
        x0_0 = self.x0_0(fitted)  # [N, 256, H, W]
        # X[1,0], X[0,1]
        x1_0 = self.x1_0(self.down(x0_0))  # [N, 512, H/2, W/2]
        x0_1 = self.x0_1(self.up0_1(x1_0), x0_0)  # [N, 256, H, W]
        # X[2,0], X[1,1], X[0,2]
        x2_0 = self.x2_0(self.down(x1_0))  # [N, 1024, H/4, W/4]
        x1_1 = self.x1_1(self.up1_1(x2_0), x1_0)  # [N, 512, H/2, W/2]
        x0_2 = self.x0_2(self.up0_2(x1_1), x0_0, x0_1)  # [N, 256, H, W]
        # X[3,0], X[2,1], X[1,2], X[0,3]
        x3_0 = self.x3_0(self.down(x2_0))  # [N, 2048, H/8, W/8]
        x2_1 = self.x2_1(self.up2_1(x3_0), x2_0)  # [N, 1024, H/4, W/4]
        x1_2 = self.x1_2(self.up1_2(x2_1), x1_0, x1_1)  # [N, 512, H/2, W/2]
        x0_3 = self.x0_3(self.up0_3(x1_2), x0_0, x0_1, x0_2)  # [N, 256, H, W]
        rows = yield "L3", crop(self.head_L3(x0_3), x)
        [x0_0] = keep(rows, x0_0)
        x1_0, x0_1 = keep(rows, x1_0, x0_1)
        x2_0, x1_1, x0_2 = keep(rows, x2_0, x1_1, x0_2)
        x3_0, x2_1, x1_2, x0_3 = keep(rows, x3_0, x2_1, x1_2, x0_3)
        # X[4,0], X[3,1], X[2,2], X[1,3], X[0,4]
        x4_0 = self.x4_0(self.down(x3_0))  # [N, 4096, H/16, W/16]
        x3_1 = self.x3_1(self.up3_1(x4_0), x3_0)  # [N, 2048, H/8, W/8]
        x2_2 = self.x2_2(self.up2_2(x3_1), x2_0, x2_1)  # [N, 1024, H/4, W/4]
        x1_3 = self.x1_3(self.up1_3(x2_2), x1_0, x1_1, x1_2)  # [N, 512, H/2, W/2]
        x0_4 = self.x0_4(self.up0_4(x1_3), x0_0, x0_1, x0_2, x0_3)  # [N, 256, H, W]
        # X[5,0], X[4,1], X[3,2], X[2,3], X[1,4], X[0,5]
        x5_0 = self.x5_0(self.down(x4_0))  # [N, 8192, H/32, W/32]
        x4_1 = self.x4_1(self.up4_1(x5_0), x4_0)  # [N, 4096, H/16, W/16]
        x3_2 = self.x3_2(self.up3_2(x4_1), x3_0, x3_1)  # [N, 2048, H/8, W/8]
        x2_3 = self.x2_3(self.up2_3(x3_2), x2_0, x2_1, x2_2)  # [N, 1024, H/4, W/4]
        x1_4 = self.x1_4(self.up1_4(x2_3), x1_0, x1_1, x1_2, x1_3)  # [N, 512, H/2, W/2]
        x0_5 = self.x0_5(
            self.up0_5(x1_4),
            x0_0,
            x0_1,
            x0_2,
            x0_3,
            x0_4,
        )  # [N, 256, H, W]
        # X[6,0], X[5,1], X[4,2], X[3,3], X[2,4], X[1,5], X[0,6]
        x6_0 = self.x6_0(self.down(x5_0))  # [N, 16384, H/64, W/64]
        x5_1 = self.x5_1(self.up5_1(x6_0), x5_0)  # [N, 8192, H/32, W/32]
        x4_2 = self.x4_2(self.up4_2(x5_1), x4_0, x4_1)  # [N, 4096, H/16, W/16]
        x3_3 = self.x3_3(self.up3_3(x4_2), x3_0, x3_1, x3_2)  # [N, 2048, H/8, W/8]
        x2_4 = self.x2_4(
            self.up2_4(x3_3),
            x2_0,
            x2_1,
            x2_2,
            x2_3,
        )  # [N, 1024, H/4, W/4]
        x1_5 = self.x1_5(
            self.up1_5(x2_4),
            x1_0,
            x1_1,
            x1_2,
            x1_3,
            x1_4,
        )  # [N, 512, H/2, W/2]
        x0_6 = self.x0_6(
            self.up0_6(x1_5),
            x0_0,
            x0_1,
            x0_2,
            x0_3,
            x0_4,
            x0_5,
        )  # [N, 256, H, W]
        # X[7,0], X[6,1], X[5,2], X[4,3], X[3,4], X[2,5], X[1,6], X[0,7]
        x7_0 = self.x7_0(self.down(x6_0))  # [N, 32768, H/128, W/128]
        x6_1 = self.x6_1(self.up6_1(x7_0), x6_0)  # [N, 16384, H/64, W/64]
        x5_2 = self.x5_2(self.up5_2(x6_1), x5_0, x5_1)  # [N, 8192, H/32, W/32]
        x4_3 = self.x4_3(self.up4_3(x5_2), x4_0, x4_1, x4_2)  # [N, 4096, H/16, W/16]
        x3_4 = self.x3_4(
            self.up3_4(x4_3),
            x3_0,
            x3_1,
            x3_2,
            x3_3,
        )  # [N, 2048, H/8, W/8]
        x2_5 = self.x2_5(
            self.up2_5(x3_4),
            x2_0,
            x2_1,
            x2_2,
            x2_3,
            x2_4,
        )  # [N, 1024, H/4, W/4]
        x1_6 = self.x1_6(
            self.up1_6(x2_5),
            x1_0,
            x1_1,
            x1_2,
            x1_3,
            x1_4,
            x1_5,
        )  # [N, 512, H/2, W/2]
        x0_7 = self.x0_7(
            self.up0_7(x1_6),
            x0_0,
            x0_1,
            x0_2,
            x0_3,
            x0_4,
            x0_5,
            x0_6,
        )  # [N, 256, H, W]
        # X[8,0], X[7,1], X[6,2], X[5,3], X[4,4], X[3,5], X[2,6], X[1,7], X[0,8]
        x8_0 = self.x8_0(self.down(x7_0))  # [N, 65536, H/256, W/256]
        x7_1 = self.x7_1(self.up7_1(x8_0), x7_0)  # [N, 32768, H/128, W/128]
        x6_2 = self.x6_2(self.up6_2(x7_1), x6_0, x6_1)  # [N, 16384, H/64, W/64]
        x5_3 = self.x5_3(self.up5_3(x6_2), x5_0, x5_1, x5_2)  # [N, 8192, H/32, W/32]
        x4_4 = self.x4_4(
            self.up4_4(x5_3),
            x4_0,
            x4_1,
            x4_2,
            x4_3,
        )  # [N, 4096, H/16, W/16]
        x3_5 = self.x3_5(
            self.up3_5(x4_4),
            x3_0,
            x3_1,
            x3_2,
            x3_3,
            x3_4,
        )  # [N, 2048, H/8, W/8]
        x2_6 = self.x2_6(
            self.up2_6(x3_5),
            x2_0,
            x2_1,
            x2_2,
            x2_3,
            x2_4,
            x2_5,
        )  # [N, 1024, H/4, W/4]
        x1_7 = self.x1_7(
            self.up1_7(x2_6),
            x1_0,
            x1_1,
            x1_2,
            x1_3,
            x1_4,
            x1_5,
            x1_6,
        )  # [N, 512, H/2, W/2]
        x0_8 = self.x0_8(
            self.up0_8(x1_7),
            x0_0,
            x0_1,
            x0_2,
            x0_3,
            x0_4,
            x0_5,
            x0_6,
            x0_7,
        )  # [N, 256, H, W]
        # X[9,0], X[8,1], X[7,2], X[6,3], X[5,4], X[4,5], X[3,6], X[2,7], X[1,8], X[0,9]
        x9_0 = self.x9_0(self.down(x8_0))  # [N, 131072, H/512, W/512]
        x8_1 = self.x8_1(self.up8_1(x9_0), x8_0)  # [N, 65536, H/256, W/256]
        x7_2 = self.x7_2(self.up7_2(x8_1), x7_0, x7_1)  # [N, 32768, H/128, W/128]
        x6_3 = self.x6_3(self.up6_3(x7_2), x6_0, x6_1, x6_2)  # [N, 16384, H/64, W/64]
        x5_4 = self.x5_4(
            self.up5_4(x6_3),
            x5_0,
            x5_1,
            x5_2,
            x5_3,
        )  # [N, 8192, H/32, W/32]
        x4_5 = self.x4_5(
            self.up4_5(x5_4),
            x4_0,
            x4_1,
            x4_2,
            x4_3,
            x4_4,
        )  # [N, 4096, H/16, W/16]
        x3_6 = self.x3_6(
            self.up3_6(x4_5),
            x3_0,
            x3_1,
            x3_2,
            x3_3,
            x3_4,
            x3_5,
        )  # [N, 2048, H/8, W/8]
        x2_7 = self.x2_7(
            self.up2_7(x3_6),
            x2_0,
            x2_1,
            x2_2,
            x2_3,
            x2_4,
            x2_5,
            x2_6,
        )  # [N, 1024, H/4, W/4]
        x1_8 = self.x1_8(
            self.up1_8(x2_7),
            x1_0,
            x1_1,
            x1_2,
            x1_3,
            x1_4,
            x1_5,
            x1_6,
            x1_7,
        )  # [N, 512, H/2, W/2]
        x0_9 = self.x0_9(
            self.up0_9(x1_8),
            x0_0,
            x0_1,
            x0_2,
            x0_3,
            x0_4,
            x0_5,
            x0_6,
            x0_7,
            x0_8,
        )  # [N, 256, H, W]
        # X[10,0], X[9,1], X[8,2], X[7,3], X[6,4], X[5,5], X[4,6], X[3,7], X[2,8],
        # X[1,9], X[0,10]
        x10_0 = self.x10_0(self.down(x9_0))  # [N, 262144, H/1024, W/1024]
        x9_1 = self.x9_1(self.up9_1(x10_0), x9_0)  # [N, 131072, H/512, W/512]
        x8_2 = self.x8_2(self.up8_2(x9_1), x8_0, x8_1)  # [N, 65536, H/256, W/256]
        x7_3 = self.x7_3(self.up7_3(x8_2), x7_0, x7_1, x7_2)  # [N, 32768, H/128, W/128]
        x6_4 = self.x6_4(
            self.up6_4(x7_3),
            x6_0,
            x6_1,
            x6_2,
            x6_3,
        )  # [N, 16384, H/64, W/64]
        x5_5 = self.x5_5(
            self.up5_5(x6_4),
            x5_0,
            x5_1,
            x5_2,
            x5_3,
            x5_4,
        )  # [N, 8192, H/32, W/32]
        x4_6 = self.x4_6(
            self.up4_6(x5_5),
            x4_0,
            x4_1,
            x4_2,
            x4_3,
            x4_4,
            x4_5,
        )  # [N, 4096, H/16, W/16]
        x3_7 = self.x3_7(
            self.up3_7(x4_6),
            x3_0,
            x3_1,
            x3_2,
            x3_3,
            x3_4,
            x3_5,
            x3_6,
        )  # [N, 2048, H/8, W/8]
        x2_8 = self.x2_8(
            self.up2_8(x3_7),
            x2_0,
            x2_1,
            x2_2,
            x2_3,
            x2_4,
            x2_5,
            x2_6,
            x2_7,
        )  # [N, 1024, H/4, W/4]
        x1_9 = self.x1_9(
            self.up1_9(x2_8),
            x1_0,
            x1_1,
            x1_2,
            x1_3,
            x1_4,
            x1_5,
            x1_6,
            x1_7,
            x1_8,
        )  # [N, 512, H/2, W/2]
        x0_10 = self.x0_10(
            self.up0_10(x1_9),
            x0_0,
            x0_1,
            x0_2,
            x0_3,
            x0_4,
            x0_5,
            x0_6,
            x0_7,
            x0_8,
            x0_9,
        )  # [N, 256, H, W]
        # X[11,0], X[10,1], X[9,2], X[8,3], X[7,4], X[6,5], X[5,6], X[4,7], X[3,8],
        # X[2,9], X[1,10], X[0,11]
        x11_0 = self.x11_0(self.down(x10_0))  # [N, 524288, H/2048, W/2048]
        x10_1 = self.x10_1(self.up10_1(x11_0), x10_0)  # [N, 262144, H/1024, W/1024]
        x9_2 = self.x9_2(self.up9_2(x10_1), x9_0, x9_1)  # [N, 131072, H/512, W/512]
        x8_3 = self.x8_3(self.up8_3(x9_2), x8_0, x8_1, x8_2)  # [N, 65536, H/256, W/256]
        x7_4 = self.x7_4(
            self.up7_4(x8_3),
            x7_0,
            x7_1,
            x7_2,
            x7_3,
        )  # [N, 32768, H/128, W/128]
        x6_5 = self.x6_5(
            self.up6_5(x7_4),
            x6_0,
            x6_1,
            x6_2,
            x6_3,
            x6_4,
        )  # [N, 16384, H/64, W/64]
        x5_6 = self.x5_6(
            self.up5_6(x6_5),
            x5_0,
            x5_1,
            x5_2,
            x5_3,
            x5_4,
            x5_5,
        )  # [N, 8192, H/32, W/32]
        x4_7 = self.x4_7(
            self.up4_7(x5_6),
            x4_0,
            x4_1,
            x4_2,
            x4_3,
            x4_4,
            x4_5,
            x4_6,
        )  # [N, 4096, H/16, W/16]
        x3_8 = self.x3_8(
            self.up3_8(x4_7),
            x3_0,
            x3_1,
            x3_2,
            x3_3,
            x3_4,
            x3_5,
            x3_6,
            x3_7,
        )  # [N, 2048, H/8, W/8]
        x2_9 = self.x2_9(
            self.up2_9(x3_8),
            x2_0,
            x2_1,
            x2_2,
            x2_3,
            x2_4,
            x2_5,
            x2_6,
            x2_7,
            x2_8,
        )  # [N, 1024, H/4, W/4]
        x1_10 = self.x1_10(
            self.up1_10(x2_9),
            x1_0,
            x1_1,
            x1_2,
            x1_3,
            x1_4,
            x1_5,
            x1_6,
            x1_7,
            x1_8,
            x1_9,
        )  # [N, 512, H/2, W/2]
        x0_11 = self.x0_11(
            self.up0_11(x1_10),
            x0_0,
            x0_1,
            x0_2,
            x0_3,
            x0_4,
            x0_5,
            x0_6,
            x0_7,
            x0_8,
            x0_9,
            x0_10,
        )  # [N, 256, H, W]
        rows = yield "L11", crop(self.head_L11(x0_11), x)
        [x0_0] = keep(rows, x0_0)
        x1_0, x0_1 = keep(rows, x1_0, x0_1)
        x2_0, x1_1, x0_2 = keep(rows, x2_0, x1_1, x0_2)
        x3_0, x2_1, x1_2, x0_3 = keep(rows, x3_0, x2_1, x1_2, x0_3)
        x4_0, x3_1, x2_2, x1_3 = keep(rows, x4_0, x3_1, x2_2, x1_3)
        [x0_4] = keep(rows, x0_4)
        x5_0, x4_1, x3_2, x2_3 = keep(rows, x5_0, x4_1, x3_2, x2_3)
        x1_4, x0_5 = keep(rows, x1_4, x0_5)
        x6_0, x5_1, x4_2, x3_3 = keep(rows, x6_0, x5_1, x4_2, x3_3)
        x2_4, x1_5, x0_6 = keep(rows, x2_4, x1_5, x0_6)
        x7_0, x6_1, x5_2, x4_3 = keep(rows, x7_0, x6_1, x5_2, x4_3)
        x3_4, x2_5, x1_6, x0_7 = keep(rows, x3_4, x2_5, x1_6, x0_7)
        x8_0, x7_1, x6_2, x5_3 = keep(rows, x8_0, x7_1, x6_2, x5_3)
        x4_4, x3_5, x2_6, x1_7 = keep(rows, x4_4, x3_5, x2_6, x1_7)
        [x0_8] = keep(rows, x0_8)
        x9_0, x8_1, x7_2, x6_3 = keep(rows, x9_0, x8_1, x7_2, x6_3)
        x5_4, x4_5, x3_6, x2_7 = keep(rows, x5_4, x4_5, x3_6, x2_7)
        x1_8, x0_9 = keep(rows, x1_8, x0_9)
        x10_0, x9_1, x8_2, x7_3 = keep(rows, x10_0, x9_1, x8_2, x7_3)
        x6_4, x5_5, x4_6, x3_7 = keep(rows, x6_4, x5_5, x4_6, x3_7)
        x2_8, x1_9, x0_10 = keep(rows, x2_8, x1_9, x0_10)
        x11_0, x10_1, x9_2, x8_3 = keep(rows, x11_0, x10_1, x9_2, x8_3)
        x7_4, x6_5, x5_6, x4_7 = keep(rows, x7_4, x6_5, x5_6, x4_7)
        x3_8, x2_9, x1_10, x0_11 = keep(rows, x3_8, x2_9, x1_10, x0_11)
        # X[12,0], X[11,1], X[10,2], X[9,3], X[8,4], X[7,5], X[6,6], X[5,7], X[4,8],
        # X[3,9], X[2,10], X[1,11], X[0,12]
        x12_0 = self.x12_0(self.down(x11_0))  # [N, 1048576, H/4096, W/4096]
        x11_1 = self.x11_1(self.up11_1(x12_0), x11_0)  # [N, 524288, H/2048, W/2048]
        x10_2 = self.x10_2(
            self.up10_2(x11_1),
            x10_0,
            x10_1,
        )  # [N, 262144, H/1024, W/1024]
        x9_3 = self.x9_3(
            self.up9_3(x10_2),
            x9_0,
            x9_1,
            x9_2,
        )  # [N, 131072, H/512, W/512]
        x8_4 = self.x8_4(
            self.up8_4(x9_3),
            x8_0,
            x8_1,
            x8_2,
            x8_3,
        )  # [N, 65536, H/256, W/256]
        x7_5 = self.x7_5(
            self.up7_5(x8_4),
            x7_0,
            x7_1,
            x7_2,
            x7_3,
            x7_4,
        )  # [N, 32768, H/128, W/128]
        x6_6 = self.x6_6(
            self.up6_6(x7_5),
            x6_0,
            x6_1,
            x6_2,
            x6_3,
            x6_4,
            x6_5,
        )  # [N, 16384, H/64, W/64]
        x5_7 = self.x5_7(
            self.up5_7(x6_6),
            x5_0,
            x5_1,
            x5_2,
            x5_3,
            x5_4,
            x5_5,
            x5_6,
        )  # [N, 8192, H/32, W/32]
        x4_8 = self.x4_8(
            self.up4_8(x5_7),
            x4_0,
            x4_1,
            x4_2,
            x4_3,
            x4_4,
            x4_5,
            x4_6,
            x4_7,
        )  # [N, 4096, H/16, W/16]
        x3_9 = self.x3_9(
            self.up3_9(x4_8),
            x3_0,
            x3_1,
            x3_2,
            x3_3,
            x3_4,
            x3_5,
            x3_6,
            x3_7,
            x3_8,
        )  # [N, 2048, H/8, W/8]
        x2_10 = self.x2_10(
            self.up2_10(x3_9),
            x2_0,
            x2_1,
            x2_2,
            x2_3,
            x2_4,
            x2_5,
            x2_6,
            x2_7,
            x2_8,
            x2_9,
        )  # [N, 1024, H/4, W/4]
        x1_11 = self.x1_11(
            self.up1_11(x2_10),
            x1_0,
            x1_1,
            x1_2,
            x1_3,
            x1_4,
            x1_5,
            x1_6,
            x1_7,
            x1_8,
            x1_9,
            x1_10,
        )  # [N, 512, H/2, W/2]
        x0_12 = self.x0_12(
            self.up0_12(x1_11),
            x0_0,
            x0_1,
            x0_2,
            x0_3,
            x0_4,
            x0_5,
            x0_6,
            x0_7,
            x0_8,
            x0_9,
            x0_10,
            x0_11,
        )  # [N, 256, H, W]
        yield "L12", crop(self.head_L12(x0_12), x)


if __name__ == "__main__":
    with torch.device("meta"):
        model = UNetPlusPlus().eval()
        outputs = model(torch.empty((1, 3, 8192, 8192)))
    print(f"{sum(p.numel() for p in model.parameters()):,} parameters")
    for level, logits in outputs.items():
        print(level, list(logits.shape))
