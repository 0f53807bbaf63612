"""The layout of 4uiiurz1/pytorch-nested-unet: its NestedUNet and its UNet."""

from __future__ import annotations

from typing import Any

from nestgen.arch.spec import NestSpec
from nestgen.foreign.layout import Layout


def _arguments(spec: NestSpec, names: frozenset[str]) -> dict[str, Any]:
    """Of the constructors; a UNet knows no deep supervision."""
    sizes = {"num_classes": spec.classes, "input_channels": spec.in_channels}
    deep = "final1.weight" in names
    return sizes if spec.family == "unet" else {**sizes, "deep_supervision": deep}


LAYOUT = Layout(
    title="a network of 4uiiurz1/pytorch-nested-unet",
    modules=(
        ("conv{i}_{j}.conv1", "x{i}_{j}.conv1"),
        ("conv{i}_{j}.bn1", "x{i}_{j}.norm1"),
        ("conv{i}_{j}.conv2", "x{i}_{j}.conv2"),
        ("conv{i}_{j}.bn2", "x{i}_{j}.norm2"),
        ("final{k}", "head_L{k}"),
        ("final", "head_L"),
    ),
    assumed={"concat": "up-last", "block": {"activation": "relu"}},
    arguments=_arguments,
)
