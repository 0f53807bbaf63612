"""UNet++ of depth 1 on timm:vgg11.

Input: [N, 3, H, W] where H and W are a multiple of 2. Output: logits [N, 1, H,
W] of level L1.
Needs timm, and was written for its version 1.0.31.

Written by nestgen from this spec:

family = "unet++"
depth = 1
dims = 2
widths = [16, 32]
node_widths = [["x0_0", 64], ["x1_0", 128]]
strides = 2
kernel_sizes = 3
in_channels = 3
classes = 1
up = "transpose"
concat = "up-first"
skip = "plain"
encoder = "timm:vgg11"
encoder_row = 0
heads = [1]
trim = false
pad = false

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

import timm
import torch
from torch import Tensor, nn


class Encoder(nn.Module):
    """X[0,0] to X[1,0]: the stages of timm's vgg11."""

    def __init__(self) -> None:
        super().__init__()
        self.stages = timm.create_model(
            "vgg11",
            features_only=True,
            in_chans=3,
            out_indices=(0, 1),
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        stages: list[Tensor] = self.stages(x)
        return stages


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
        self.encoder = Encoder()
        self.up0_1 = nn.ConvTranspose2d(128, 16, kernel_size=2, stride=2)
        self.x0_1 = Node(80, 16)
        self.head_L1 = nn.Conv2d(16, 1, kernel_size=1)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the convolutions' weights anew (He et al., 2015); biases are zero.

        The encoder's stay as they are.
        """
        encoder = set(self.encoder.modules())
        for module in [made for made in self.modules() if made not in encoder]:
            if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        # X[0,0], X[1,0]
        # [N, 64, H, W]; [N, 128, H/2, W/2]
        x0_0, x1_0 = self.encoder(x)
        # X[0,1]
        x0_1 = self.x0_1(self.up0_1(x1_0), x0_0)  # [N, 16, H, W]
        logits: Tensor = self.head_L1(x0_1)
        return logits


if __name__ == "__main__":
    with torch.device("meta"):
        model = UNetPlusPlus().eval()
        outputs = model(torch.empty((1, 3, 4, 4)))
    print(f"{sum(p.numel() for p in model.parameters()):,} parameters")
    print(list(outputs.shape))
