"""Kernels move, load and multiply what the formulas say, to the last number.

All of it is counted on launches under the interpreter, at sizes that tiles fit and at
sizes that they do not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from functools import cache

import pytest
import torch
from torch import Tensor

from nestgen.kernels.call import Call, Output
from nestgen.kernels.layout import channels_last
from nestgen.kernels.raise2x import MODES, Mode, raise2x
from nestgen.kernels.traffic import GATHER, PHASE, Block, Traffic, rows

pytest.importorskip("triton")

from nestgen.kernels.configurations import Configuration
from nestgen.kernels.fused_conv import fused_conv
from tests.kernels.calls import Case
from tests.kernels.counting import Counts, counted


@dataclass(frozen=True)
class Cut:
    """A call, and how a kernel is cut into programs for it.

    Attributes:
        impl: the kernel.
        block: what it makes of what it loads once.
        case: of the call.
        tile: pixels of the result that a program goes through at once.
        side: channels of the result that are a program's.
    """

    impl: str
    block: Block
    case: Case
    tile: tuple[int, int]
    side: int = 16

    def run(self) -> Counts:
        """What its launch does."""
        configuration = Configuration(*self.tile, self.side, 16)
        with counted() as counts:
            fused_conv(self.case.call(), self.impl, configuration)
        return counts

    @property
    def covered(self) -> tuple[int, int]:
        """The sides of the result, up to whole tiles; the gathering kernel's are of
        windows of 2x2 pixels, where it has such."""
        windows = self.case.up == "phases" or "pooled" in self.case.outputs
        scale = 2 if windows and self.impl == "gather" else 1
        height, width = (
            -(-side // (scale * tile)) * scale * tile
            for side, tile in zip(self.case.size, self.tile, strict=True)
        )
        return height, width

    @property
    def again(self) -> int:
        """Programs that share their pixels, and differ in their channels."""
        return -(-self.case.channels // self.side)


FITTING = Case(size=(8, 16), skips=(16, 16), channels=16, bias="vector")
ALL: tuple[Output, ...] = ("features", "pooled", "logits")
GATHERED = {
    "fitting": Cut("gather", GATHER, FITTING, (8, 8)),
    "odd": Cut("gather", GATHER, Case(size=(5, 7), skips=(3, 20), batch=2), (4, 8)),
    "nearest": Cut("gather", GATHER, Case("nearest", skips=(16,), channels=20), (8, 8)),
    "phases": Cut("gather", GATHER, Case("phases", (4, 16), (16,), low=20), (2, 8)),
    "low alone": Cut("gather", GATHER, Case("phases", (6, 10), skips=()), (2, 8)),
    "all outputs": Cut("gather", GATHER, Case(size=(7, 10), outputs=ALL), (2, 8)),
}
PHASED = {
    "fitting": Cut("phase", PHASE, replace(FITTING, up="phases", low=16), (8, 8)),
    "odd": Cut("phase", PHASE, Case("phases", (6, 10), (3, 20)), (8, 8)),
    "all outputs": Cut("phase", PHASE, Case("phases", (6, 10), outputs=ALL), (8, 8)),
}
BY_ROWS = {
    "fitting": Cut("rows", rows(4), FITTING, (4, 16)),
    "two": Cut("rows", rows(2), Case(skips=(3, 20)), (2, 16)),
    "nearest": Cut(
        "rows", rows(4), Case("nearest", (3, 9), channels=20, batch=2), (4, 16)
    ),
    "all outputs": Cut("rows", rows(4), Case(size=(7, 10), outputs=ALL), (4, 16)),
}
CUTS = {
    f"{cut.impl}, {name}": cut
    for cuts in (GATHERED, PHASED, BY_ROWS)
    for name, cut in cuts.items()
}
EACH = pytest.mark.parametrize("name", CUTS)

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


def loads(cut: Cut, needs: Needs, shrunk: int = 1) -> int:
    """Of one channel, by all programs."""
    height, width = (
        along(needs, -(-side // shrunk), covered, count)
        for side, covered, count in zip(
            cut.case.size, cut.covered, cut.block, strict=True
        )
    )
    return cut.case.batch * cut.again * height * width


@cache
def launched(name: str) -> Counts:
    """What a launch does; it runs once."""
    return CUTS[name].run()


def numbers(call: Call) -> dict[str, int]:
    """How many there are of each input, by the names that kernels give them."""
    told = {"skips": sum(skip.numel() for skip in call.skips)}
    for field in fields(call):
        value = getattr(call, field.name)
        unread = field.name.startswith("head") and "logits" not in call.outputs
        if isinstance(value, Tensor) and not unread:
            told[field.name] = value.numel()
    return {name: count for name, count in told.items() if count}


@EACH
def test_formulas_count_numbers_of_tensors(name: str) -> None:
    call = CUTS[name].case.call()
    traffic = Traffic.of(call)
    assert traffic.read == sum(numbers(call).values())
    assert traffic.moved(2) == 2 * (traffic.read + traffic.written)


@EACH
def test_every_input_is_read_and_nothing_else(name: str) -> None:
    call = CUTS[name].case.call()
    assert launched(name).read == numbers(call)
    assert sum(launched(name).read.values()) == Traffic.of(call).read


@EACH
def test_every_output_is_written_once(name: str) -> None:
    case = CUTS[name].case
    height, width = case.size
    pixels = {
        "features": case.channels * height * width,
        "pooled": case.channels * (height // 2) * (width // 2),
        "logits": case.classes * height * width,
    }
    wanted = {word: case.batch * pixels[word] for word in case.outputs}
    assert launched(name).stored == launched(name).written == wanted
    assert sum(wanted.values()) == Traffic.of(case.call()).written


@EACH
def test_images_are_loaded_as_often_as_is_said(name: str) -> None:
    cut, loaded = CUTS[name], launched(name).loaded
    assert loaded.get("skips", 0) == sum(cut.case.skips) * loads(cut, near)
    if cut.case.up == "nearest":  # its doubled pixels are loaded one by one
        assert loaded["low"] == cut.case.low * loads(cut, near)
    if cut.case.up == "phases":
        assert loaded["low"] == cut.case.low * loads(cut, below, shrunk=2)


@EACH
def test_products_are_those_of_whole_tiles(name: str) -> None:
    """Channels are padded to 16, those of the result to a program's; no head's."""
    cut = CUTS[name]
    height, width = cut.covered
    padded = replace(
        Traffic.of(cut.case.call()),
        height=height,
        width=width,
        skips=sum(-(-each // 16) * 16 for each in cut.case.skips),
        low=-(-cut.case.low // 16) * 16,
        channels=cut.again * cut.side,
        classes=0,
    )
    assert 2 * launched(name).products == padded.flops


@pytest.mark.parametrize("mode", MODES)
def test_up_sampling_alone_writes_once(mode: Mode) -> None:
    low = channels_last(torch.ones(2, 20, 3, 5))
    with counted() as counts:
        raised = raise2x(low, mode, (5, 9), impl="triton")
    assert counts.read == {"low": low.numel()}
    assert counts.stored == counts.written == {"out": raised.numel()}


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


def test_cases_that_fit_have_no_padding() -> None:
    traffic, counts = Traffic.of(FITTING.call()), launched("gather, fitting")
    assert 2 * counts.products == traffic.flops
    borders = (3 * 8 - 2) * (3 * 16 - 2) / (9 * 8 * 16)
    images = traffic.loaded(GATHER) - traffic.pixels * traffic.weights / 256
    assert counts.loaded["skips"] == pytest.approx(borders * images, rel=1e-12)
