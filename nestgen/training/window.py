"""A network over an image that is larger than what it sees at once: by windows."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from nestgen.arch.cost import full_size
from nestgen.arch.graph import NestGraph
from nestgen.codegen.load import spec_of
from nestgen.errors import SettingsError
from nestgen.imaging.pad import padded_size
from nestgen.imaging.size import size_text
from nestgen.training.outputs import by_level

SIDE = {1: 2**18, 2: 2048, 3: 64}
"""Of a window unless another is asked for, by the number of axes: most images are seen
whole, volumes by what training sees of them."""
OVERLAP = 0.5
"""The share of a side by which neighbours overlap."""

Network = Callable[[Tensor], dict[str, Tensor]]
"""Logits float32 [N, K, *size] by level, of images float32 [N, C, *size]."""


def window_of(
    graph: NestGraph, asked: tuple[int, ...] | None = None
) -> tuple[int, ...]:
    """The window in which a network goes over images: what is asked for, or `SIDE`.

    One number stands for all sides. Raises `SpecError` for another number of sides
    than the network has axes, `SettingsError` for sides that it does not take.

    >>> from nestgen.arch.spec import NestSpec
    >>> graph = NestGraph(NestSpec(depth=4))
    >>> window_of(graph), window_of(graph, (64, 96))
    ((2048, 2048), (64, 96))
    """
    dims, multiples = graph.spec.dims, graph.multiples
    if asked is None:
        return padded_size(full_size((SIDE[dims],), dims), multiples)
    window = full_size(asked, dims, "window")
    check_sides("window", window, multiples)
    return window


def check_sides(name: str, sides: Sequence[int], multiples: Sequence[int]) -> None:
    """Raise `SettingsError` unless a network with these multiples takes such an input.

    >>> check_sides("patch", (96, 96), (16, 16))
    """
    if len(sides) != len(multiples):
        raise SettingsError(
            f"{name}: {size_text(sides)} is not allowed, {len(multiples)} sides"
        )
    if tuple(sides) != padded_size(sides, multiples):
        least = [2 * multiple for multiple in multiples]
        alike = len(set(multiples)) == 1
        texts = [
            str(part[0]) if alike else size_text(part) for part in (multiples, least)
        ]
        raise SettingsError(
            f"{name}: {size_text(sides)} is not allowed, multiples of {texts[0]} "
            f"from {texts[1]} on"
        )


def fitted_size(
    size: Sequence[int], window: Sequence[int], multiples: Sequence[int]
) -> tuple[int, ...]:
    """To what an image is padded: where a window is no larger, not at all.

    >>> fitted_size((3000, 33), (2048, 2048), (16, 16))
    (3000, 48)
    """
    padded = padded_size(size, multiples)
    sides = zip(size, padded, window, strict=True)
    return tuple(own if own > seen else to for own, to, seen in sides)


def seen_at_once(size: Sequence[int], window: Sequence[int]) -> tuple[int, ...]:
    """The window in an image of a fitted size: on a shorter axis, all of it."""
    return tuple(map(min, size, window))


def count_windows(size: Sequence[int], window: Sequence[int]) -> int:
    """How many windows go over an image of a fitted size.

    >>> count_windows((3000, 48), (2048, 2048)), count_windows((48, 48), (64, 64))
    (2, 1)
    """
    seen = seen_at_once(size, window)
    return math.prod(
        math.ceil((side - part) / int(part * OVERLAP)) + 1
        for side, part in zip(size, seen, strict=True)
    )


def through_windows(
    network: Network, x: Tensor, window: Sequence[int], device: torch.device
) -> dict[str, Tensor]:
    """The logits by level that `network`, on `device`, gives images of a fitted size.

    Images `x` float32 [N, C, *size] that are no larger than the window go through the
    network whole. Others go through it window by window, one at a time, every window
    once for all levels; what several windows say of a pixel is averaged with Gaussian
    weights, so that the middle of a window counts most. Bounded is then what the
    network holds on its device, by the window; the images, and the logits of all
    levels with their weights, stay on the device of `x`.
    """
    seen = seen_at_once(x.shape[2:], window)
    if seen == tuple(x.shape[2:]):
        return network(x.to(device))
    # here, since whole images need no monai
    from monai.inferers import sliding_window_inference

    found: Any = sliding_window_inference(
        x,
        seen,
        sw_batch_size=1,
        predictor=network,
        overlap=OVERLAP,
        mode="gaussian",
        sw_device=device,
        device=x.device,
    )
    return dict(found)


def network_of(model: nn.Module, levels: Sequence[int]) -> Network:
    """A model that nestgen built, as what windows go through: in its own precision.

    Of its heads, those of `levels` are kept.
    """
    heads, weight = spec_of(model).heads, next(model.parameters())
    names = [f"L{level}" for level in levels]

    def network(x: Tensor) -> dict[str, Tensor]:
        outputs = by_level(model(x.to(weight)), heads)
        return {name: outputs[name].float() for name in names}

    return network
