"""Named recipes: the fields in which each differs from the spec's own defaults.

`default` is what one would train today. Batch norm before each activation, for a
network this deep does not train reliably without one; no bias before it, since the
norm's shift stands in its place; ReLU and transposed up-sampling, as in the paper:
the up-sampled input then has the target row's width, so that a node reads (j+1)
widths where an interpolated one reads (j+2). No dropout: batch norm and augmentation
do its work.

`zhou2018` is the recipe of the authors' released code for UNet++ (Zhou et al., DLMIA
2018): convolutions with a bias, ReLU, dropout 0.5 after each, no norm, transposed
up-sampling, the up-sampled input first in the concatenation.
"""

from __future__ import annotations

from typing import Any

from nestgen.arch.choices import PresetName

PRESETS: dict[PresetName, dict[str, Any]] = {
    "default": {},
    "zhou2018": {"block": {"norm": "none", "bias": True, "dropout": 0.5}},
}
