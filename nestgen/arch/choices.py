"""The words that a spec may use, apart from the families.

They stand here, and not beside the spec, so that the command line can offer
them without loading what checks them.
"""

from __future__ import annotations

from typing import Literal

MAX_DEPTH = 12

Dims = Literal[1, 2, 3]
"""Spatial axes: signals [N, C, L], images [N, C, H, W], volumes [N, C, D, H, W]."""

AXES: dict[int, tuple[str, ...]] = {1: ("L",), 2: ("H", "W"), 3: ("D", "H", "W")}

Up = Literal[
    "transpose",
    "nearest",
    "linear",
    "linear-aligned",
    "bilinear",
    "bilinear-aligned",
    "trilinear",
    "trilinear-aligned",
    "pixel-shuffle",
    "pixel-shuffle-blur",
]
"""Transposed convolution; interpolation, of the number of axes, without or with
align_corners; sub-pixel convolution, plain or smoothed."""

LINEAR: dict[int, str] = {1: "linear", 2: "bilinear", 3: "trilinear"}
"""The linear interpolation of so many axes."""

LEARNED_UPS = ("transpose", "pixel-shuffle", "pixel-shuffle-blur")
"""Those that have weights and choose their number of channels."""

BlockKind = Literal[
    "double",
    "double-preact",
    "residual",
    "separable",
    "inverted",
    "convnext",
]

Norm = Literal["batch", "instance", "group", "layer", "none"]
"""`layer` norms over the channels of each pixel alone, as in ConvNeXt."""

Activation = Literal[
    "relu", "leaky_relu", "relu6", "elu", "selu", "gelu", "silu", "mish", "hardswish"
]

Skip = Literal["plain", "se", "gate"]
"""As it is; weighed by channel (Hu et al., 2018); by pixel (Oktay et al., 2018)."""

Concat = Literal["up-first", "up-last", "up-first-newest"]
"""The up-sampled input, then the skips from the oldest (the paper); the skips from the
oldest, then the up-sampled input; the up-sampled input, then the skips from the
newest."""

MeasureName = Literal["parameters", "macs", "activations"]
"""What a drawing may show of each node."""

PresetName = Literal["default", "zhou2018", "phone", "convnext"]

Mode = Literal["fast", "accurate"]
"""Whose answer is a network's (Zhou et al., 2018): its highest head's, or the mean of
all heads' probabilities."""
