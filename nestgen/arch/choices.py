"""The words that a spec may use, apart from the families.

They stand here, and not beside the spec, so that the command line can offer
them without loading what checks them.
"""

from __future__ import annotations

from typing import Literal

MAX_DEPTH = 12

Up = Literal["transpose", "bilinear", "bilinear-aligned", "nearest"]
"""Transposed 2x2 convolution; bilinear without or with align_corners; nearest."""

Norm = Literal["batch", "instance", "group", "none"]

Activation = Literal["relu", "leaky_relu", "elu", "gelu", "silu"]

Concat = Literal["up-first", "up-last", "up-first-newest"]
"""The up-sampled input, then the skips from the oldest (the paper); the skips from the
oldest, then the up-sampled input; the up-sampled input, then the skips from the
newest."""

PresetName = Literal["default", "zhou2018"]
