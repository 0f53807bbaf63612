"""The layout of MONAI's BasicUNetPlusPlus, of one to three axes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nestgen.arch.graph import NestGraph
from nestgen.arch.spec import NestSpec
from nestgen.errors import WeightsError
from nestgen.foreign.layout import Layout

_NODES = {
    "conv_0_0": "x0_0",
    "conv_{i}_0.convs": "x{i}_0",
    "upcat_{i}_{j}.convs": "x{i}_{j}",
}
_LAYERS = {
    "conv_0.conv": "conv1",
    "conv_0.adn.N": "norm1",
    "conv_1.conv": "conv2",
    "conv_1.adn.N": "norm2",
}
_ACTIVATIONS = {
    "relu": "relu",
    "leaky_relu": "leakyrelu",
    "relu6": "relu6",
    "elu": "elu",
    "selu": "selu",
    "gelu": "gelu",
    "silu": "swish",
    "mish": "mish",
}
_UPS = {"transpose": "deconv", "pixel-shuffle-blur": "pixelshuffle"}


def _arguments(spec: NestSpec, names: frozenset[str]) -> dict[str, Any]:
    """Of the constructor; all four heads are asked for, since all have tensors."""
    graph, block = NestGraph(spec), spec.block
    slope = {"negative_slope": block.slope} if block.activation == "leaky_relu" else {}
    learned = any(".adn.N." in name for name in names)
    norms = {
        "batch": "batch",
        "instance": ("instance", {"affine": learned}),
        "group": ("group", {"num_groups": block.groups, "affine": learned}),
        "none": None,
    }
    return {
        "spatial_dims": spec.dims,
        "in_channels": spec.in_channels,
        "out_channels": spec.classes,
        "features": (*spec.widths, graph.width(graph.head(spec.depth))),
        "deep_supervision": True,
        "act": (_known("activation", block.activation, _ACTIVATIONS), slope),
        "norm": _known("norm", block.norm, norms),
        "bias": block.bias,
        "upsample": _UPS.get(spec.up, "nontrainable"),
    }


def _known(option: str, value: str, words: Mapping[str, Any]) -> Any:
    if value not in words:
        allowed = ", ".join(words)
        raise WeightsError(f"{option}: {value!r} is none of MONAI's, {allowed} are")
    return words[value]


LAYOUT = Layout(
    title="MONAI's BasicUNetPlusPlus",
    modules=(
        *(
            (f"{node}.{layer}", f"{our_node}.{our_layer}")
            for node, our_node in _NODES.items()
            for layer, our_layer in _LAYERS.items()
        ),
        ("upcat_{i}_{j}.upsample.deconv", "up{i}_{j}"),
        ("upcat_{i}_{j}.upsample.pixelshuffle.conv_block", "up{i}_{j}.conv"),
        ("upcat_{i}_{j}.upsample.preconv", "narrow{i}_{j}"),
        ("final_conv_0_{k}", "head_L{k}"),
    ),
    assumed={
        "concat": "up-last",
        "block": {"activation": "leaky_relu", "slope": 0.1},
    },
    shuffle="pixel-shuffle-blur",
    arguments=_arguments,
    original="monai.networks.nets:BasicUNetPlusPlus",
)
