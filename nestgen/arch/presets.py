"""Named recipes: the fields in which each differs from the spec's own defaults.

`default` is what one would train today. Batch norm before each activation, since a
network this deep does not train reliably without a norm; no bias before it, as the
norm's shift stands in its place; ReLU and transposed up-sampling, as in the paper: the
up-sampled input then has the target row's width, so that a node reads (j+1) widths
where an interpolated one reads (j+2). No dropout: batch norm and augmentation do its
work. 16 channels in row 0, half the paper's: a quarter of the cost, so that a laptop
trains it in minutes (docs/nuclei.md has what it reaches); `--widths 32` are the
paper's.

`zhou2018` is the recipe of the authors' released code for UNet++ (Zhou et al., DLMIA
2018): 32 channels in row 0, convolutions with a bias, ReLU, dropout 0.5 after each, no
norm, transposed up-sampling, the up-sampled input first in the concatenation.

`phone` is for small devices: depthwise separable convolutions, ReLU6, and nearest
up-sampling, all of which integer runtimes have.

`convnext` has the block of ConvNeXt as its authors give it (Liu et al., 2022): 7x7
depthwise, layer norm, GELU, four times the channels inside.
"""

from __future__ import annotations

from typing import Any

from nestgen.arch.choices import PresetName

PRESETS: dict[PresetName, dict[str, Any]] = {
    "default": {},
    "zhou2018": {"widths": 32, "block": {"norm": "none", "bias": True, "dropout": 0.5}},
    "phone": {"up": "nearest", "block": {"kind": "separable", "activation": "relu6"}},
    "convnext": {
        "kernel_sizes": 7,
        "block": {
            "kind": "convnext",
            "norm": "layer",
            "activation": "gelu",
            "bias": True,
        },
    },
}
