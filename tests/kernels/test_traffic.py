"""Kernels move, load and multiply what the formulas say, to the last number.

All of it is counted on launches under the interpreter, at sizes that tiles fit and at
sizes that they do not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace

import pytest
import torch
from torch import Tensor

from nestgen.kernels.call import Call, Output, Up
from nestgen.kernels.traffic import GATHER, PHASE, Block, Traffic, rows

pytest.importorskip("triton")

from nestgen.kernels.configurations import Configuration
from nestgen.kernels.fused_conv import fused_conv
from tests.kernels.counting import Counts, counted


@dataclass(frozen=True)
class Case:
    """A call by its sizes, and how a kernel is cut into programs for it.

    Attributes:
        impl: the kernel.
        block: what it makes of what it loads once.
        size: of the result.
        widths: channels of the skips.
        low: those of the input of half the resolution.
        channels: of the result; `side` of them are a program's.
        tile: pixels of the result that a program goes through at once.
    """

    impl: str
    block: Block
    size: tuple[int, int]
    widths: tuple[int, ...]
    channels: int
    tile: tuple[int, int] = (4, 8)
    side: int = 16
    low: int = 0
    up: Up = "none"
    borders: bool = False
    outputs: tuple[Output, ...] = ("features",)
    batch: int = 1

    def call(self) -> Call:
        """With numbers of no matter."""
        height, width = self.size
        low = image(self.batch, self.low, (height + 1) // 2, (width + 1) // 2)
        weights = {
            "nearest": torch.ones(self.channels, self.low, 3, 3),
            "phases": torch.ones(self.low, self.channels, 4, 4),
        }
        logits = "logits" in self.outputs
        return Call(
            skips=[image(self.batch, each, height, width) for each in self.widths],
            weight=torch.ones(self.channels, sum(self.widths), 3, 3),
            bias=torch.ones(*([3, 3] if self.borders else []), self.channels),
            low=None if self.up == "none" else low,
            up=self.up,
            low_weight=weights.get(self.up),
            outputs=self.outputs,
            head_weight=torch.ones(2, self.channels, 1, 1) if logits else None,
            head_bias=torch.ones(2) if logits else None,
        )

    def run(self) -> Counts:
        """What its launch does."""
        configuration = Configuration(*self.tile, self.side, 16)
        with counted() as counts:
            fused_conv(self.call(), self.impl, configuration)
        return counts

    @property
    def covered(self) -> tuple[int, int]:
        """The sides of the result, up to whole tiles; the gathering kernel's are of
        windows of 2x2 pixels, where it has such."""
        windows = self.up == "phases" or "pooled" in self.outputs
        scale = 2 if windows and self.impl == "gather" else 1
        height, width = (
            -(-side // (scale * tile)) * scale * tile
            for side, tile in zip(self.size, self.tile, strict=True)
        )
        return height, width

    @property
    def again(self) -> int:
        """Programs that share their pixels, and differ in their channels."""
        return -(-self.channels // self.side)


def image(batch: int, channels: int, height: int, width: int) -> Tensor:
    made = torch.ones(batch, channels, height, width)
    return made.contiguous(memory_format=torch.channels_last)


FITTING = Case("gather", GATHER, (8, 16), (16, 16), 16, tile=(8, 8))
WINDOWS = replace(FITTING, tile=(2, 8), widths=(16,))
CASES = {
    "gather, fitting": FITTING,
    "gather, odd": replace(FITTING, size=(5, 7), widths=(3, 20), batch=2, tile=(4, 8)),
    "gather, nearest": replace(
        FITTING, size=(5, 7), widths=(16,), up="nearest", low=16, channels=20
    ),
    "gather, phases": replace(WINDOWS, size=(4, 16), up="phases", low=20, borders=True),
    "gather, low alone": replace(WINDOWS, size=(6, 10), widths=(), up="phases", low=16),
    "gather, all outputs": replace(
        WINDOWS, size=(7, 10), widths=(5,), outputs=("features", "pooled", "logits")
    ),
}
EACH = pytest.mark.parametrize("name", CASES)

Needs = Callable[[int], set[int]]


def near(y: int) -> set[int]:
    """Of a skip, what the result y is made of, along an axis."""
    return {y - 1, y, y + 1}


def below(y: int) -> set[int]:
    """The same of the input of half the resolution."""
    return {(y - 1) // 2, (y + 1) // 2}


def along(needs: Needs, inputs: int, covered: int, count: int) -> int:
    """How much is loaded along an axis: each block of `count` results, what they need.

    >>> along(near, 8, 8, 1), along(near, 8, 8, 4), along(below, 4, 8, 2)
    (22, 10, 10)
    """
    return sum(
        len({i for y in range(at, at + count) for i in needs(y) if 0 <= i < inputs})
        for at in range(0, covered, count)
    )


def loads(case: Case, needs: Needs, shrunk: int = 1) -> int:
    """Of one channel, by all programs."""
    sides = (
        along(needs, -(-side // shrunk), covered, count)
        for side, covered, count in zip(
            case.size, case.covered, case.block, strict=True
        )
    )
    height, width = sides
    return case.batch * case.again * height * width


@pytest.fixture(scope="module")
def launches() -> dict[str, Counts]:
    """What each case's launch does, run once."""
    return {name: case.run() for name, case in CASES.items()}


@EACH
def test_formulas_count_numbers_of_tensors(name: str) -> None:
    call = CASES[name].call()
    traffic, moved = Traffic.of(call), numbers(call)
    assert traffic.read == sum(moved.values())
    assert traffic.moved(2) == 2 * (traffic.read + traffic.written)


def numbers(call: Call) -> dict[str, int]:
    """How many there are of each input, by the names that kernels give them."""
    told = {"skips": sum(skip.numel() for skip in call.skips)}
    for field in fields(call):
        value = getattr(call, field.name)
        if isinstance(value, Tensor):
            told[field.name] = value.numel()
    return {name: count for name, count in told.items() if count}


@EACH
def test_every_input_is_read_and_nothing_else(
    name: str, launches: dict[str, Counts]
) -> None:
    call = CASES[name].call()
    assert launches[name].read == numbers(call)
    assert sum(launches[name].read.values()) == Traffic.of(call).read


@EACH
def test_every_output_is_written_once(name: str, launches: dict[str, Counts]) -> None:
    case = CASES[name]
    height, width = case.size
    pixels = {
        "features": case.channels * height * width,
        "pooled": case.channels * (height // 2) * (width // 2),
        "logits": 2 * height * width,
    }
    wanted = {word: case.batch * pixels[word] for word in case.outputs}
    assert launches[name].stored == launches[name].written == wanted
    assert sum(wanted.values()) == Traffic.of(case.call()).written


@EACH
def test_images_are_loaded_as_often_as_is_said(
    name: str, launches: dict[str, Counts]
) -> None:
    case, loaded = CASES[name], launches[name].loaded
    assert loaded.get("skips", 0) == sum(case.widths) * loads(case, near)
    if case.up == "nearest":  # its doubled pixels are loaded one by one
        assert loaded["low"] == case.low * loads(case, near)
    if case.up == "phases":
        assert loaded["low"] == case.low * loads(case, below, shrunk=2)


@EACH
def test_products_are_those_of_whole_tiles(
    name: str, launches: dict[str, Counts]
) -> None:
    """Channels are padded to 16, those of the result to a program's; no head's."""
    case = CASES[name]
    height, width = case.covered
    padded = replace(
        Traffic.of(case.call()),
        height=height,
        width=width,
        skips=sum(-(-each // 16) * 16 for each in case.widths),
        low=-(-case.low // 16) * 16,
        channels=case.again * case.side,
        classes=0,
    )
    assert 2 * launches[name].products == padded.flops


@pytest.mark.parametrize("block", [GATHER, PHASE, rows(2), rows(4)])
def test_loads_are_the_rounded_ones_but_for_the_borders(block: Block) -> None:
    """Along an axis of whole blocks, the padding's two are not loaded."""
    for needs, shrunk, told in (
        (near, 1, block.skip_loads),
        (below, 2, block.low_loads("phases")),
    ):
        height, width = (along(needs, 16 // shrunk, 16, count) + 2 for count in block)
        assert height * width == told * 16 * 16
    assert block.low_loads("nearest") == block.skip_loads
    assert block.low_loads("none") == 0


def test_cases_that_fit_have_no_padding(launches: dict[str, Counts]) -> None:
    call = FITTING.call()
    traffic, counts = Traffic.of(call), launches["gather, fitting"]
    assert 2 * counts.products == traffic.flops
    borders = (3 * 8 - 2) * (3 * 16 - 2) / (9 * 8 * 16)
    images = traffic.loaded(GATHER) - traffic.pixels * traffic.weights / 256
    assert counts.loaded["skips"] == pytest.approx(borders * images, rel=1e-12)
