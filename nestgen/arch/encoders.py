"""The encoders that have a name: which rows a backbone computes, and how.

To add one of our own, add a row to `ENCODERS` and a golden file; a package with
encoders has a provider in `PROVIDERS`, which is loaded when one of its names is used.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from itertools import pairwise
from typing import Any, Literal, NamedTuple, Protocol, cast

from nestgen.arch.layers import Convolution, Layer, Normalisation
from nestgen.errors import SpecError


@dataclass(frozen=True)
class Encoder:
    """The rows of which a backbone computes X[i,0].

    Attributes:
        first: the first of them: 0, or 1 where even the first stage is coarser than
            the image; X[0,0] is then a node like others, and X[1,0] reads the image.
        widths: channels of its stages, from row `first` on.
        strides: that lead into rows 1, 2, ...
    """

    first: int
    widths: tuple[int, ...]
    strides: tuple[int, ...]

    @property
    def deepest(self) -> int:
        """The last row."""
        return self.first + len(self.widths) - 1

    def names(self, depth: int) -> dict[str, int]:
        """Its nodes in a network of `depth`, and their widths.

        >>> ENCODERS["resnet18"].names(2)
        {'x1_0': 64, 'x2_0': 64}
        """
        rows = enumerate(self.widths, start=self.first)
        return {f"x{row}_0": width for row, width in rows if row <= depth}


Kind = Literal["vgg", "basic", "bottleneck"]


@dataclass(frozen=True)
class Backbone(Encoder):
    """An encoder of our own, for any number of axes, widths and strides.

    Attributes:
        title: with its reference.
        kind: of its stages.
        counts: the layers of each stage, or its residual blocks.
    """

    title: str
    kind: Kind
    counts: tuple[int, ...]

    def count(self, row: int) -> int:
        """The layers or blocks of the stage in `row`."""
        return self.counts[row - self.first]

    def is_stem(self, row: int) -> bool:
        """Whether `row` is a residual network's one strided convolution."""
        return self.kind != "vgg" and row == 1

    def pools(self, row: int) -> bool:
        """Whether pooling leads into `row`, or else the first convolution's stride."""
        return self.kind == "vgg" or row == 2

    def layers(self, row: int, i: int, c: int) -> list[Layer]:
        """All layers of X[row,0], which makes `c` channels of `i`.

        >>> [layer.name for layer in ENCODERS["vgg11"].layers(2, 128, 256)]
        ['conv', 'norm', 'conv', 'norm']
        """
        if self.is_stem(row):
            return stem(i, c)
        if self.kind == "vgg":
            widths = [i, *[c] * self.count(row)]
            return [layer for a, b in pairwise(widths) for layer in convolved(a, b)]
        block = RESIDUALS[self.kind]
        strided = not self.pools(row)
        first = [*block(i, c, inner(c)), *(shortcut(i, c) if strided or i != c else [])]
        return first + (self.count(row) - 1) * block(c, c, inner(c))


Width = Any
"""A number of channels, or its name in the source."""


def convolved(i: Width, c: Width) -> list[Layer]:
    """One layer of a VGG."""
    return [Convolution("conv", i, c, size=3), Normalisation("norm", c)]


def stem(i: Width, c: Width) -> list[Layer]:
    """The first layer of a residual network, 7x7."""
    return [Convolution("conv", i, c, size=7, strided=True), Normalisation("norm", c)]


def shortcut(i: Width, c: Width) -> list[Layer]:
    """The projection beside a residual block that changes width or resolution."""
    return [
        Convolution("conv", i, c, pointwise=True, strided=True),
        Normalisation("norm", c),
    ]


def basic(i: Width, c: Width, inner: Width) -> list[Layer]:
    """The block of the shallower residual networks (He et al., 2016, fig. 5 left)."""
    return [
        Convolution("conv1", i, c, size=3, strided=True),
        Normalisation("norm1", c),
        Convolution("conv2", c, c, size=3),
        Normalisation("norm2", c),
    ]


def bottleneck(i: Width, c: Width, inner: Width) -> list[Layer]:
    """The block of the deeper ones (He et al., 2016, fig. 5 right)."""
    return [
        Convolution("conv1", i, inner, pointwise=True, strided=True),
        Normalisation("norm1", inner),
        Convolution("conv2", inner, inner, size=3),
        Normalisation("norm2", inner),
        Convolution("conv3", inner, c, pointwise=True),
        Normalisation("norm3", c),
    ]


RESIDUALS = {"basic": basic, "bottleneck": bottleneck}


def inner(channels: int) -> int:
    """The channels inside a bottleneck.

    >>> inner(256)
    64
    """
    return max(1, channels // 4)


def _vgg(*counts: int) -> Backbone:
    return Backbone(
        first=0,
        widths=(64, 128, 256, 512, 512),
        strides=(2, 2, 2, 2),
        title=f"VGG-{sum(counts) + 3} (Simonyan & Zisserman, 2015, table 1)",
        kind="vgg",
        counts=counts,
    )


def _resnet(layers: int, kind: Kind, *counts: int) -> Backbone:
    wide = 4 if kind == "bottleneck" else 1
    return Backbone(
        first=1,
        widths=(64, 64 * wide, 128 * wide, 256 * wide, 512 * wide),
        strides=(2, 2, 2, 2, 2),
        title=f"ResNet-{layers} (He et al., 2016, table 1)",
        kind=kind,
        counts=(1, *counts),
    )


ENCODERS: dict[str, Backbone] = {
    "vgg11": _vgg(1, 1, 2, 2, 2),
    "vgg13": _vgg(2, 2, 2, 2, 2),
    "vgg16": _vgg(2, 2, 3, 3, 3),
    "vgg19": _vgg(2, 2, 4, 4, 4),
    "resnet18": _resnet(18, "basic", 2, 2, 2, 2),
    "resnet34": _resnet(34, "basic", 3, 4, 6, 3),
    "resnet50": _resnet(50, "bottleneck", 3, 4, 6, 3),
}

PROVIDERS = {"timm": "nestgen.codegen.timm_encoder"}
"""The packages that have encoders, by the prefix of their names."""


class Price(NamedTuple):
    """What a stage costs, as `nestgen.arch.cost.Cost` has it."""

    parameters: int
    macs: int
    weight_bytes: int


class Form(NamedTuple):
    """How a package's encoder is written.

    Attributes:
        options: of the call that makes it.
        channels_last: whether its stages are [N, H, W, C].
        version: of the package, for which it is written.
    """

    options: tuple[tuple[str, str | bool], ...]
    channels_last: bool
    version: str


class Provider(Protocol):
    """What a package's module knows of its models. All raise `SpecError`."""

    def encoder(self, name: str) -> Encoder:
        """The rows of a model, by its name without the prefix."""

    def price(
        self, name: str, in_channels: int, row: int, size: tuple[int, ...]
    ) -> Price:
        """What its stage in `row` costs for an image of `size`."""

    def form(self, name: str) -> Form:
        """How it is written."""


def provider(name: str) -> tuple[Provider, str]:
    """Who knows the encoder `name`, `PREFIX:MODEL`, and what it is called there."""
    prefix, _, model = name.partition(":")
    return cast(Provider, import_module(PROVIDERS[prefix])), model


def is_foreign(name: str) -> bool:
    """Whether a name is that of a package's encoder, as far as its prefix says.

    >>> is_foreign("timm:resnet34"), is_foreign("vgg17"), is_foreign("timm:")
    (True, False, False)
    """
    prefix, _, model = name.partition(":")
    return prefix in PROVIDERS and bool(model)


def encoder_nodes(first: int | None, rows: int) -> set[str]:
    """The names of the nodes from row `first` on that an encoder computes.

    >>> sorted(encoder_nodes(1, 3)), encoder_nodes(None, 3)
    (['x1_0', 'x2_0'], set())
    """
    return set() if first is None else {f"x{row}_0" for row in range(first, rows)}


@cache
def encoder(name: str) -> Encoder:
    """The encoder of that name; `SpecError` where there is none.

    >>> encoder("vgg16").widths
    (64, 128, 256, 512, 512)
    >>> encoder("vgg17")
    Traceback (most recent call last):
    nestgen.errors.SpecError: encoder: 'vgg17' is not allowed, one of vgg11, vgg13, \
vgg16, vgg19, resnet18, resnet34, resnet50 or timm:NAME
    """
    if name in ENCODERS:
        return ENCODERS[name]
    if not is_foreign(name):
        allowed = ", ".join(ENCODERS)
        raise SpecError(
            f"encoder: {name!a} is not allowed, one of {allowed} or timm:NAME"
        )
    known, model = provider(name)
    return known.encoder(model)


def misfit(name: str, fields: Mapping[str, Any]) -> str | None:
    """Why a network of `fields` cannot have the encoder `name`, in one line.

    >>> misfit("vgg11", {"depth": 5, "dims": 2})
    "encoder: 'vgg11' is not allowed, it reaches row 4 and the depth is 5"
    """
    try:
        found = encoder(name)
    except SpecError as error:
        return str(error)
    opening = f"encoder: {name!a} is not allowed, it"
    if fields["depth"] > found.deepest:
        return (
            f"{opening} reaches row {found.deepest} and the depth is {fields['depth']}"
        )
    if fields.get("encoder_row") not in (None, found.first):
        return f"encoder_row: {fields['encoder_row']} is not allowed, {found.first}"
    return None if isinstance(found, Backbone) else _foreign_misfit(found, fields)


def _foreign_misfit(found: Encoder, fields: Mapping[str, Any]) -> str | None:
    """A package's model is as it is: its axes, strides and widths are not chosen."""
    name, depth, dims = fields["encoder"], fields["depth"], fields["dims"]
    if dims != 2:
        return f"encoder: {name!a} is not allowed with {dims} axes, it has 2"
    strides = fields["strides"]
    rows = strides if isinstance(strides, tuple) else (strides,) * depth
    wanted = found.strides[:depth]
    if tuple(rows) != wanted:
        return f"strides: {_shown(rows)} is not allowed, {name} has {_shown(wanted)}"
    given = dict(fields["node_widths"])
    for node, width in found.names(depth).items():
        row = int(node[1:].partition("_")[0])
        if given.get(node, fields["widths"][row]) != width:
            return f"node_widths: {node} of {name} has {width}"
    return None


def _shown(rows: Sequence[object]) -> str:
    return str(list(rows))
