"""The models of timm as encoders: their rows, their cost, how they are written.

Loaded, with timm and torch, only when a spec names one of them. Models are asked on
the meta device, where they have shapes and no weights.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from nestgen.arch.encoders import Encoder, Form, Price
from nestgen.errors import SpecError

Options = tuple[tuple[str, str | bool], ...]

OPTIONS: tuple[Options, ...] = (
    (),
    (("feature_cls", "getter"),),
    (("strict_img_size", False),),
)
"""Tried in turn, until the model takes any size and drops the stages that are not
asked for: as it is; by way of its intermediate features, which drops what lies beyond
them where the model's own way does not (EfficientNet); with windows that follow the
size (Swin)."""

SIZES = ((2, 3), (3, 5))
"""At which a model is tried, in units of its coarsest stage."""


@cache
def encoder(name: str) -> Encoder:
    """The rows of timm's model `name`; `SpecError` where it cannot be one."""
    model = made(name, options_of(name), 3)
    scales = [1, *model.feature_info.reduction()]
    first = 0 if scales[1] == 1 else 1
    scales = scales if first else scales[1:]
    strides = [b // a for a, b in pairwise(scales)]
    return Encoder(first, tuple(model.feature_info.channels()), tuple(strides))


@cache
def price(name: str, in_channels: int, row: int, size: tuple[int, ...]) -> Price:
    """What the stage in `row` adds: the model up to it, less the model above it."""
    stages = row - encoder(name).first + 1
    upto = _price(name, in_channels, stages, size)
    if stages == 1:
        return upto
    above = _price(name, in_channels, stages - 1, size)
    return Price(*(a - b for a, b in zip(upto, above, strict=True)))


def form(name: str) -> Form:
    """How it is written."""
    model = made(name, options_of(name), 3)
    return Form(options_of(name), _channels_last(model), timm_for(name).__version__)


@cache
def _price(name: str, in_channels: int, stages: int, size: tuple[int, ...]) -> Price:
    model = made(name, options_of(name), in_channels, stages)
    with FlopCounterMode(display=False) as counter:
        _run(model, in_channels, size)
    return Price(
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        macs=counter.get_total_flops() // 2,
        weight_bytes=sum(tensor.nbytes for tensor in model.state_dict().values()),
    )


@cache
def options_of(name: str) -> Options:
    """The first of `OPTIONS` with which the model is an encoder."""
    _known(name)
    problems = []
    for options in OPTIONS:
        try:
            problem = next(_problems(name, options), None)
        except Exception as error:  # whatever a model says to what it does not take
            problem = " ".join(str(error).split()) or type(error).__name__
        if problem is None:
            return options
        problems.append(problem)
    raise SpecError(
        f"encoder: 'timm:{name}' is not allowed, {problems[0][:120]}; models whose "
        "stages halve images of any size are, such as resnet34, vgg16_bn, "
        "efficientnet_b0, convnext_tiny or swinv2_tiny_window8_256"
    )


def _problems(name: str, options: Options) -> Iterator[str]:
    """Why the model is no encoder with these options."""
    model = made(name, options, 3)
    if hasattr(model, "hooks"):
        yield "it collects its stages by hooks, which no trace sees"
    scales = model.feature_info.reduction()
    if any(b <= a or b % a for a, b in pairwise(scales)):
        yield f"its stages are coarser than the image by {scales}, not step by step"
    for sides in SIZES:
        yield from _wrong_sizes(model, tuple(scales[-1] * side for side in sides))
    if len(scales) > 1:
        if _count(made(name, options, 3, 1)) == _count(model):
            yield "it computes all stages where one is asked for"
        fewer = made(name, options, 3, len(scales) - 1)
        yield from _wrong_sizes(fewer, tuple(scales[-2] * side for side in SIZES[-1]))


def _wrong_sizes(model: Any, size: tuple[int, ...]) -> Iterator[str]:
    info = model.feature_info
    found = [_channels_and_size(model, stage) for stage in _run(model, 3, size)]
    wanted = [
        (channels, *(side // scale for side in size))
        for channels, scale in zip(info.channels(), info.reduction(), strict=True)
    ]
    if found != wanted:
        yield f"its stages at {size} are {found}, not {wanted}"


def _count(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def _channels_and_size(model: nn.Module, stage: Tensor) -> tuple[int, ...]:
    _, *rest = stage.shape
    return (rest[-1], *rest[:-1]) if _channels_last(model) else tuple(rest)


def _channels_last(model: nn.Module) -> bool:
    return getattr(model, "output_fmt", None) == "NHWC"


def _run(model: nn.Module, in_channels: int, size: tuple[int, ...]) -> list[Tensor]:
    with torch.no_grad():
        stages: list[Tensor] = model(torch.empty(1, in_channels, *size, device="meta"))
    return stages


def made(
    name: str, options: Options, in_channels: int, stages: int | None = None
) -> Any:
    """The model on the meta device, in eval mode, with so many stages or all."""
    asked: dict[str, Any] = dict(options)
    if stages is not None:
        asked["out_indices"] = tuple(range(stages))
    with torch.device("meta"):
        model: Any = timm_for(name).create_model(
            name, features_only=True, in_chans=in_channels, **asked
        )
    return model.eval()


def _known(name: str) -> None:
    """Raise `SpecError`, with names that are near, unless timm has that model."""
    timm = timm_for(name)
    if timm.is_model(name):
        return
    bare = name.partition(".")[0]
    near = difflib.get_close_matches(bare, timm.list_models(), n=4)
    hint = f"near it are {', '.join(near)}" if near else "timm.list_models() lists them"
    raise SpecError(f"encoder: 'timm:{name}' is no model of timm; {hint}")


def timm_for(name: str) -> ModuleType:
    """timm; where it, or its torchvision, cannot be imported, how to get it."""
    try:
        import timm
    except (ImportError, RuntimeError) as error:
        line = str(error).splitlines()[0]
        raise SpecError(
            f"encoder: 'timm:{name}' needs timm, which cannot be imported here "
            f"({line}); pip install 'nestgen[timm]' beside a torchvision that was "
            "built for this torch, or take an encoder without 'timm:'"
        ) from error
    module: ModuleType = timm
    return module
