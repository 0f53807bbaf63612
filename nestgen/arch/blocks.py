"""The blocks: which layers a node has, and how they are wired.

To add one, add its rule to `BLOCKS`, its name to `BlockKind`, and a golden file.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from nestgen.arch.choices import BlockKind
from nestgen.arch.layers import Convolution, Gain, Layer, Named, Normalisation

Width = int | Named

Rule = Callable[[Width, Width, int], list[Layer]]
"""(channels in, channels out, expansion) -> layers, in the order of the state dict."""


@dataclass(frozen=True)
class BlockRule:
    """One block.

    Attributes:
        doc: what it computes, for the class's docstring, with its reference.
        layers: see `Rule`.
        wiring: the lines of its `forward`; `y = x: a b` stands for `y = b(a(x))`, of
            those layers that there are. By them memory is counted, too.
        residual: adds its input, so that stochastic depth may leave out the rest.
    """

    doc: str
    layers: Rule
    wiring: tuple[str, ...]
    residual: bool = False


def double(i: Width, c: Width, expansion: int) -> list[Layer]:
    """Twice convolution, norm, activation.

    >>> [layer.name for layer in double(3, 16, 4)]
    ['conv1', 'norm1', 'conv2', 'norm2']
    """
    return [
        Convolution("conv1", i, c),
        Normalisation("norm1", c),
        Convolution("conv2", c, c),
        Normalisation("norm2", c),
    ]


def double_preact(i: Width, c: Width, expansion: int) -> list[Layer]:
    """Twice norm, activation, convolution."""
    return [
        Normalisation("norm1", i),
        Convolution("conv1", i, c),
        Normalisation("norm2", c),
        Convolution("conv2", c, c),
    ]


def residual(i: Width, c: Width, expansion: int) -> list[Layer]:
    """The double convolution beside a projection of its input."""
    return [
        *double(i, c, expansion),
        Convolution("shortcut", i, c, pointwise=True),
        Normalisation("norm3", c),
    ]


def separable(i: Width, c: Width, expansion: int) -> list[Layer]:
    """Twice depthwise, pointwise, norm, activation."""
    return [
        Convolution("depthwise1", i, i, depthwise=True),
        Convolution("pointwise1", i, c, pointwise=True),
        Normalisation("norm1", c),
        Convolution("depthwise2", c, c, depthwise=True),
        Convolution("pointwise2", c, c, pointwise=True),
        Normalisation("norm2", c),
    ]


def inverted(i: Width, c: Width, expansion: int) -> list[Layer]:
    """Two inverted residuals: one changes the width, the other adds its input."""
    wide = expansion * c
    return [
        Convolution("expand1", i, wide, pointwise=True),
        Normalisation("norm1", wide),
        Convolution("depthwise1", wide, wide, depthwise=True),
        Normalisation("norm2", wide),
        Convolution("project1", wide, c, pointwise=True),
        Normalisation("norm3", c),
        Convolution("expand2", c, wide, pointwise=True),
        Normalisation("norm4", wide),
        Convolution("depthwise2", wide, wide, depthwise=True),
        Normalisation("norm5", wide),
        Convolution("project2", wide, c, pointwise=True),
        Normalisation("norm6", c),
    ]


def convnext(i: Width, c: Width, expansion: int) -> list[Layer]:
    """A pointwise change of width, then the block of ConvNeXt."""
    wide = expansion * c
    return [
        Convolution("enter", i, c, pointwise=True),
        Convolution("depthwise", c, c, depthwise=True),
        Normalisation("norm", c),
        Convolution("expand", c, wide, pointwise=True),
        Convolution("project", wide, c, pointwise=True),
        Gain("gain", c),
    ]


def single(i: Width, c: Width, expansion: int = 1) -> list[Layer]:
    """Convolution, norm, activation: on the edges of UNet 3+, and where they meet."""
    return [Convolution("conv", i, c), Normalisation("norm", c)]


SINGLE_WIRING = ("x = x: conv norm act dropout",)

BLOCKS: dict[BlockKind, BlockRule] = {
    "double": BlockRule(
        "twice convolution, norm, activation",
        double,
        ("x = x: conv1 norm1 act dropout", "x = x: conv2 norm2 act dropout"),
    ),
    "double-preact": BlockRule(
        "twice norm, activation, convolution (He et al., 2016, Identity Mappings)",
        double_preact,
        ("x = x: norm1 act dropout conv1", "x = x: norm2 act dropout conv2"),
    ),
    "residual": BlockRule(
        "twice convolution, norm, activation, beside a projection of the input that is "
        "added before the last activation (He et al., 2016, fig. 2; ResUNet)",
        residual,
        (
            "y = x: conv1 norm1 act dropout",
            "y = y: conv2 norm2",
            "y = y: drop_path",
            "x = x: shortcut norm3",
            "x = x + y: act",
        ),
        residual=True,
    ),
    "separable": BlockRule(
        "twice a depthwise separable convolution (Chollet, 2017), norm, activation",
        separable,
        (
            "x = x: depthwise1 pointwise1 norm1 act dropout",
            "x = x: depthwise2 pointwise2 norm2 act dropout",
        ),
    ),
    "inverted": BlockRule(
        "two inverted residuals with linear bottlenecks (Sandler et al., 2018, fig. 3)",
        inverted,
        (
            "x = x: expand1 norm1 act",
            "x = x: depthwise1 norm2 act",
            "x = x: project1 norm3",
            "y = x: expand2 norm4 act",
            "y = y: depthwise2 norm5 act dropout",
            "y = y: project2 norm6",
            "y = y: drop_path",
            "x = x + y:",
        ),
        residual=True,
    ),
    "convnext": BlockRule(
        "a pointwise convolution to the node's width, then the block of ConvNeXt "
        "(Liu et al., 2022, fig. 4)",
        convnext,
        (
            "x = x: enter",
            "y = x: depthwise norm",
            "y = y: expand act dropout project",
            "y = y: gain",
            "y = y: drop_path",
            "x = x + y:",
        ),
        residual=True,
    ),
}
