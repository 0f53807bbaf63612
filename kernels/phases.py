"""Up-sampling by 2, then a 3x3 convolution, as one transposed convolution.

A tap t of the convolution that reads an up-sampled pixel of phase a adds into the place
a + 2 - t of a kernel of 4, of stride 2 and padding 1, on each axis by itself. All of it
is exact, for signals, images and volumes, also at the borders where the size is even.
"""

from __future__ import annotations

import torch
from torch import Tensor

_PLACES = torch.tensor(
    [[[float(k == a + 2 - t) for k in range(4)] for t in range(3)] for a in range(2)],
    dtype=torch.float64,
)
"""[phase, tap, place]"""
_INSIDE = torch.tensor([[0, 1, 1], [1, 1, 1], [1, 1, 0]], dtype=torch.float64)
"""[class, tap]: what is no padding, of the first, the inner and the last pixels."""


def nearest_phases(weight: Tensor) -> Tensor:
    """The transposed convolution [Cl, Co, 4, 4] of nearest up-sampling, conv3x3.

    `weight` is [Co, Cl, 3, 3], or [Co, Cl, 3] or [Co, Cl, 3, 3, 3].

    >>> nearest_phases(torch.ones(1, 1, 3)).tolist()
    [[[1.0, 2.0, 2.0, 1.0]]]
    """
    composed = weight.double()
    for axis in range(2, weight.ndim):
        places = _PLACES.sum(0).to(weight.device)
        composed = torch.tensordot(composed.movedim(axis, -1), places, dims=1)
        composed = composed.movedim(-1, axis)
    return composed.transpose(0, 1).to(weight.dtype).contiguous()


def transpose_phases(weight: Tensor, up_weight: Tensor) -> Tensor:
    """The transposed convolution [Cl, Co, 4, 4] of one of 2x2, stride 2, then conv3x3.

    `weight` is [Co, Cu, 3, 3] and `up_weight` [Cl, Cu, 2, 2]. What the bias of the
    up-sampling does is told by `border_bias`.

    >>> transpose_phases(torch.ones(1, 1, 3), torch.ones(1, 1, 2)).tolist()
    [[[1.0, 2.0, 2.0, 1.0]]]
    """
    axes = range(weight.ndim - 2)
    taps, phases, places = ([base + n for n in axes] for base in (10, 20, 30))
    moves = [
        part
        for n in axes
        for part in (_PLACES.to(weight.device), [phases[n], taps[n], places[n]])
    ]
    composed: Tensor = torch.einsum(
        weight.double(), [0, 1, *taps], up_weight.double(), [2, 1, *phases], *moves,
        [2, 0, *places],
    )  # fmt: skip
    return composed.to(weight.dtype).contiguous()


def border_bias(weight: Tensor, up_bias: Tensor, bias: Tensor | None) -> Tensor:
    """The bias [3, 3, Co] of an up-sampling with a bias, then conv3x3 with `bias`.

    The convolution's padding is zero, not `up_bias`, so it is less at the borders:
    places are the first, the inner and the last row, by those of the columns. `weight`
    is [Co, Cu, 3, 3], `up_bias` [Cu], `bias` [Co] or None.

    >>> border_bias(torch.ones(1, 1, 3), torch.ones(1), None).tolist()
    [[2.0], [3.0], [2.0]]
    """
    axes = range(weight.ndim - 2)
    taps, classes = ([base + n for n in axes] for base in (10, 20))
    inside = [
        part
        for n in axes
        for part in (_INSIDE.to(weight.device), [classes[n], taps[n]])
    ]
    table: Tensor = torch.einsum(
        weight.double(), [0, 1, *taps], up_bias.double(), [1], *inside, [*classes, 0]
    )
    if bias is not None:
        table = table + bias.double()
    return table.to(weight.dtype)
