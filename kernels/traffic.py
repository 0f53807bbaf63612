"""What one launch of the hot path must do, whatever the kernel, and what it may cost.

Formulas over sizes alone: no tensor is made, and torch is not loaded.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor

    from nestgen.kernels.call import Call

TAPS = {"none": 0, "nearest": 9, "phases": 4}
"""Of the input of half the resolution, that a pixel of the result is made of."""
LOW_WEIGHTS = {"none": 0, "nearest": 9, "phases": 16}
"""Of its weight, for each pair of channels."""


class Block(NamedTuple):
    """The outputs [rows, columns] that a kernel makes of what it loads once.

    Along the axes that a block does not span, it loads anew for each tap.
    """

    rows: int
    columns: int

    @property
    def skip_loads(self) -> float:
        """How often a skip is loaded, for each pixel of the result.

        >>> GATHER.skip_loads, PHASE.skip_loads, rows(2).skip_loads, rows(4).skip_loads
        (9.0, 4.0, 6.0, 4.5)
        """
        return (self.rows + 2) * (self.columns + 2) / (self.rows * self.columns)

    def low_loads(self, up: str) -> float:
        """How often the input of half the resolution is, for each pixel of the result.

        >>> GATHER.low_loads("nearest"), GATHER.low_loads("phases")
        (9.0, 4.0)
        >>> PHASE.low_loads("phases")
        2.25
        """
        if up != "phases":
            return self.skip_loads if TAPS[up] else 0.0
        rows, columns = self.rows // 2 + 2, self.columns // 2 + 2
        return rows * columns / (self.rows * self.columns)


GATHER = Block(1, 1)
PHASE = Block(2, 2)


def floor(moved: int, flops: int, bandwidth: float, peak: float) -> float:
    """The least seconds of a launch (Williams et al., 2009, Roofline).

    `moved` bytes cross the bus of the memory at `bandwidth` bytes a second, and `flops`
    are computed at `peak` a second, at once.

    >>> floor(6, 8, bandwidth=2.0, peak=4.0)
    3.0
    """
    return max(moved / bandwidth, flops / peak)


def rows(count: int) -> Block:
    """The block of the kernel that makes `count` rows of the result at once."""
    return Block(count, 1)


@dataclass(frozen=True)
class Traffic:
    """The sizes of one launch, and what follows from them.

    A multiply-add is two FLOPs; biases and activations are not counted, and taps on the
    padding are. What is read is read once, what is written once.

    Attributes:
        batch: N.
        height: H of the result.
        width: W of the result.
        skips: channels of all skips together.
        channels: Co, of the result.
        low: Cl, of the input of half the resolution.
        up: as in `Call`.
        biases: numbers of the bias: 0, Co or 9 Co.
        features: whether the result is written.
        pooled: whether its 2x2 maxima are.
        classes: of the logits that are; 0 where there are none.
        head_biases: 0 or as many as classes.

    >>> plain = Traffic(batch=1, height=4, width=6, skips=2, channels=3)
    >>> plain.flops == 2 * 24 * 9 * 2 * 3, plain.read, plain.written
    (True, 102, 72)
    """

    batch: int
    height: int
    width: int
    skips: int
    channels: int
    low: int = 0
    up: str = "none"
    biases: int = 0
    features: bool = True
    pooled: bool = False
    classes: int = 0
    head_biases: int = 0

    @classmethod
    def of(cls, call: Call) -> Traffic:
        """The traffic of `call`, by the shapes of its tensors alone."""
        height, width = call.size
        low = call.low
        logits = "logits" in call.outputs
        return cls(
            batch=(low if low is not None else call.skips[0]).shape[0],
            height=height,
            width=width,
            skips=sum(skip.shape[1] for skip in call.skips),
            channels=call.weight.shape[0],
            low=0 if low is None else low.shape[1],
            up=call.up,
            biases=_count(call.bias),
            features="features" in call.outputs,
            pooled="pooled" in call.outputs,
            classes=_count(call.head_weight) // call.weight.shape[0] if logits else 0,
            head_biases=_count(call.head_bias) if logits else 0,
        )

    @property
    def pixels(self) -> int:
        """Of the result, N H W."""
        return self.batch * self.height * self.width

    @property
    def low_pixels(self) -> int:
        """Of the input of half the resolution; an odd side is a cropped one."""
        return self.batch * -(-self.height // 2) * -(-self.width // 2)

    @property
    def flops(self) -> int:
        """Of the convolutions.

        >>> node = Traffic(1, 2, 2, skips=1, channels=1, low=1, up="phases")
        >>> node.flops, Traffic(1, 2, 2, 1, 1, low=1, up="nearest").flops
        (104, 144)
        """
        columns = 9 * self.skips + TAPS[self.up] * self.low + self.classes
        return 2 * self.pixels * columns * self.channels

    @property
    def weights(self) -> int:
        """Numbers of the weights and biases."""
        columns = 9 * self.skips + LOW_WEIGHTS[self.up] * self.low + self.classes
        return columns * self.channels + self.biases + self.head_biases

    @property
    def read(self) -> int:
        """Numbers read: of images, weights and biases."""
        images = self.pixels * self.skips + self.low_pixels * self.low
        return images + self.weights

    @property
    def written(self) -> int:
        """Numbers written, of all outputs."""
        pooled = self.batch * (self.height // 2) * (self.width // 2) * self.pooled
        features = self.pixels * self.features
        return (features + pooled) * self.channels + self.pixels * self.classes

    def moved(self, itemsize: int) -> int:
        """Bytes that must cross the memory's bus, at `itemsize` bytes a number."""
        return itemsize * (self.read + self.written)

    def loaded(self, block: Block, tile: int = 256, wide: int = 256) -> float:
        """Numbers that a kernel of `block` loads, about: as if there were no borders.

        `tile` pixels and `wide` channels of the result are one program's: it loads the
        weights once, and other programs the images again for other channels.

        >>> Traffic(1, 16, 16, skips=1, channels=1).loaded(GATHER) == 9 * 256 + 9
        True
        """
        skips = self.skips * block.skip_loads
        low = self.low * block.low_loads(self.up)
        again = -(-self.channels // wide)
        return self.pixels * ((skips + low) * again + self.weights / tile)


def _count(tensor: Tensor | None) -> int:
    return 0 if tensor is None else tensor.numel()
