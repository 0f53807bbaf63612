"""An up-sampling by 2 and the convolution behind it, as modules that do less."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nestgen.kernels.phases import transpose_phases


class Transposed(nn.Module):
    """conv3x3(conv_transpose2x2(low)): one transposed convolution of 4x4.

    A bias of the up-sampling reaches all but the zeros around the image: its share is
    what a plane of ones would give, through weights that are composed in the same way.

    >>> up = nn.ConvTranspose2d(3, 2, 2, stride=2)
    >>> weight, low = torch.randn(4, 2, 3, 3), torch.randn(1, 3, 5, 6)
    >>> y = Transposed(weight, up.weight.detach(), up.bias.detach())(low)
    >>> torch.allclose(y, F.conv2d(up(low), weight, padding=1), atol=1e-5)
    True
    """

    plane: Tensor | None

    def __init__(
        self, weight: Tensor, up_weight: Tensor, up_bias: Tensor | None
    ) -> None:
        super().__init__()
        self.weight = nn.Buffer(transpose_phases(weight, up_weight))
        plane = None
        if up_bias is not None:
            of_ones = up_bias[None, :, None, None].expand(1, -1, 2, 2)
            plane = transpose_phases(weight, of_ones)
        self.register_buffer("plane", plane)

    def forward(self, low: Tensor) -> Tensor:
        """[N, Cl, h, w] to [N, Co, 2h, 2w], without a bias of the convolution."""
        y = F.conv_transpose2d(low, self.weight, stride=2, padding=1)
        if self.plane is None:
            return y
        ones = torch.ones_like(low[:1, :1])
        return y + F.conv_transpose2d(ones, self.plane, stride=2, padding=1)


class Doubled(nn.Module):
    """conv3x3(nearest(low)): a transposed convolution of 3x3, then sums of 2x2 pixels.

    Up-sampling puts zeros between pixels, then filters: sums of 2x2 for nearest. The
    filter may as well come after the convolution, which then reads the pixels alone: on
    average 2.25 of its 9 taps. The mean of four is their sum by weights four times as
    large, without rounding.

    >>> weight, low = torch.randn(4, 3, 3, 3), torch.randn(1, 3, 5, 6)
    >>> expected = F.conv2d(F.interpolate(low, scale_factor=2), weight, padding=1)
    >>> torch.allclose(Doubled(weight)(low), expected, atol=1e-5)
    True
    """

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = nn.Buffer(4 * _reversed(weight))

    def forward(self, low: Tensor) -> Tensor:
        """[N, Cl, h, w] to [N, Co, 2h, 2w], without a bias of the convolution."""
        return F.avg_pool2d(F.conv_transpose2d(low, self.weight, stride=2), 2, stride=1)


class Interpolated(nn.Module):
    """conv3x3(bilinear(low)): a transposed convolution of 3x3, then a filter of 4x4.

    As `Doubled`, with the filter [1, 3, 3, 1] / 4 on each axis. Interpolation repeats
    the last pixels, the convolution pads with zeros: what it must not see of the rows
    and columns around the image is subtracted from the outermost pixels.

    >>> weight, low = torch.randn(4, 3, 3, 3), torch.randn(1, 3, 5, 6)
    >>> up = F.interpolate(low, scale_factor=2, mode="bilinear")
    >>> expected = F.conv2d(up, weight, padding=1)
    >>> torch.allclose(Interpolated(weight)(low), expected, atol=1e-5)
    True
    """

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = nn.Buffer(_reversed(weight))
        axis = torch.tensor([1.0, 3.0, 3.0, 1.0]).to(weight) / 4
        blur = (axis[:, None] * axis).expand(len(weight), 1, 4, 4)
        self.blur = nn.Buffer(blur.contiguous())
        self.rows = nn.Buffer(torch.cat([weight[:, :, :1], weight[:, :, 2:]]))
        self.columns = nn.Buffer(torch.cat([weight[..., :1], weight[..., 2:]]))

    def forward(self, low: Tensor) -> Tensor:
        """[N, Cl, h, w] to [N, Co, 2h, 2w], without a bias of the convolution."""
        padded = F.pad(low, (1, 1, 1, 1), mode="replicate")
        y = F.conv_transpose2d(padded, self.weight, stride=2, padding=1)
        y = F.conv2d(y, self.blur, groups=len(self.blur))
        top, bottom, left, right = self._around(low)
        if not torch.compiler.is_compiling():
            y[:, :, :1] -= top
            y[:, :, -1:] -= bottom
            y[..., :1] -= left
            y[..., -1:] -= right
            return y
        # a compiler fuses this chain; what is written in place it would copy
        row, column = _ends(y.shape[2], y), _ends(y.shape[3], y)
        y = y - top * row[0][:, None] - bottom * row[1][:, None]
        return y - left * column[0] - right * column[1]

    def _around(self, low: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """What the rows, [N, Co, 1, 2w], and the columns around the image would add."""
        rows = torch.cat([low[:, :, :1], low[:, :, -1:]], 1)
        rows = F.interpolate(rows, scale_factor=(1.0, 2.0), mode="bilinear")
        rows = F.pad(rows, (1, 1, 0, 0), mode="replicate")
        columns = torch.cat([low[..., :1], low[..., -1:]], 1)
        columns = F.interpolate(columns, scale_factor=(2.0, 1.0), mode="bilinear")
        top, bottom = F.conv2d(rows, self.rows, groups=2).chunk(2, 1)
        of_columns = F.conv2d(columns, self.columns, padding=(1, 0), groups=2)
        left, right = of_columns.chunk(2, 1)
        return top, bottom, left, right


def _reversed(weight: Tensor) -> Tensor:
    """The weight [Co, Cl, 3, 3] of a convolution, for a transposed one."""
    return weight.transpose(0, 1).flip(2, 3).contiguous()


def _ends(side: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """1 for the first pixel of a side, 0 for others; the same for the last."""
    place = torch.arange(side, device=like.device)
    return (place == 0).to(like.dtype), (place == side - 1).to(like.dtype)
