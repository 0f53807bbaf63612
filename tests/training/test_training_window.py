"""Windows: what they cover, what they cost, and that levels do not notice them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from nestgen.arch.graph import NestGraph
from nestgen.arch.spec import NestSpec
from nestgen.codegen.load import build
from nestgen.errors import SettingsError, SpecError
from nestgen.surgery.cut import prune
from nestgen.training import window as module
from nestgen.training.timing import peak_bytes
from nestgen.training.window import (
    count_windows,
    fitted_size,
    network_of,
    seen_at_once,
    through_windows,
    window_of,
)

CPU = torch.device("cpu")
SIZES = st.lists(
    st.tuples(st.integers(1, 40), st.integers(2, 6)), min_size=1, max_size=3
)


def noise(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


def pointwise(x: Tensor) -> dict[str, Tensor]:
    """A network that sees one pixel: windows cannot change what it says."""
    return {"L1": 2 * x[:, :1], "L2": x.sum(1, keepdim=True).sin()}


@settings(max_examples=40)
@given(SIZES)
def test_windows_cover_everything_and_are_counted(axes: list[tuple[int, int]]) -> None:
    size, halves = zip(*axes, strict=True)
    window = tuple(2 * half for half in halves)
    fitted = fitted_size(size, window, [1] * len(size))
    seen: list[Tensor] = []

    def network(x: Tensor) -> dict[str, Tensor]:
        seen.append(x)
        return pointwise(x)

    x = noise(1, 2, *fitted)
    found = through_windows(network, x, window, CPU)
    for name, logits in pointwise(x).items():
        torch.testing.assert_close(found[name], logits)
    assert {part.shape[2:] for part in seen} == {seen_at_once(fitted, window)}
    assert len(seen) == count_windows(fitted, window)


def test_an_image_that_is_no_larger_is_seen_whole() -> None:
    x = noise(2, 1, 8, 12)
    for window in ((8, 12), (16, 16)):
        found = through_windows(pointwise, x, window, CPU)
        assert all(torch.equal(found[k], y) for k, y in pointwise(x).items())


def test_away_from_their_edges_windows_say_what_the_whole_says() -> None:
    smooth = nn.Conv2d(1, 1, 3, padding=1)

    def network(x: Tensor) -> dict[str, Tensor]:
        return {"L1": smooth(x)}

    x, window = noise(1, 1, 40, 24), (16, 16)
    with torch.inference_mode():
        found = through_windows(network, x, window, CPU)["L1"]
        whole = network(x)["L1"]
    edges = [{0, 7, 8, 15, 16, 23, 24, 31, 32, 39}, {0, 7, 8, 15, 16, 23}]
    rows, columns = (
        [k for k in range(side) if k not in edge]
        for side, edge in zip((40, 24), edges, strict=True)
    )
    inside = np.ix_(rows, columns)
    torch.testing.assert_close(found[0, 0][inside], whole[0, 0][inside])
    assert not torch.allclose(found, whole), "at the edges there is less to see"


def test_where_windows_overlap_the_nearer_middle_counts_more() -> None:
    calls = iter(range(2))

    def network(x: Tensor) -> dict[str, Tensor]:
        return {"L1": torch.full_like(x, next(calls))}

    found = through_windows(network, noise(1, 1, 24), (16,), CPU)["L1"][0, 0]
    assert (found[:8] == 0).all()
    assert (found[16:] == 1).all()
    between = found[8:16]
    assert (between.diff() > 0).all()
    torch.testing.assert_close(between + between.flip(0), torch.ones(8))


def network_on(dims: int, **fields: object) -> nn.Module:
    torch.manual_seed(0)
    spec = {"dims": dims, "depth": 3, "widths": 4, "in_channels": 1, **fields}
    return build(NestSpec(**spec)).eval()


FLAT = network_on(2)
THICK = network_on(3, strides=[[1, 2, 2], 2, 2], kernel_sizes=[[1, 3, 3], 3, 3, 3])
"""Its multiples are 4x8x8."""


@pytest.mark.parametrize(
    ("model", "window", "size"),
    [
        (FLAT, (16, 16), (40, 33)),
        (FLAT, (16, 16), (16, 70)),
        (FLAT, (16, 24), (17, 24)),
        (THICK, (8, 16, 16), (12, 21, 16)),
        (THICK, (8, 16, 24), (8, 16, 30)),
    ],
)
def test_the_levels_of_one_pass_are_those_of_each_cut_alone(
    model: nn.Module, window: Sequence[int], size: Sequence[int]
) -> None:
    x = noise(1, 1, *size)
    with torch.inference_mode():
        found = through_windows(network_of(model, [1, 2, 3]), x, window, CPU)
        assert list(found) == ["L1", "L2", "L3"]
        for level in (1, 2, 3):
            small = network_of(prune(model, level).eval(), [level])
            alone = through_windows(small, x, window, CPU)
            assert torch.equal(found[f"L{level}"], alone[f"L{level}"])


class Windowed(nn.Module):
    def __init__(self, model: nn.Module, window: Sequence[int]) -> None:
        super().__init__()
        self.model, self.window = model, window

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return through_windows(network_of(self.model, [3]), x, self.window, CPU)


@pytest.mark.parametrize(
    ("model", "window", "size"),
    [(FLAT, (32, 32), (256, 256)), (THICK, (8, 16, 16), (32, 48, 64))],
)
def test_what_the_network_holds_is_bounded_by_the_window(
    model: nn.Module, window: Sequence[int], size: Sequence[int]
) -> None:
    small, large = noise(1, 1, *window), noise(1, 1, *size)
    one_window = peak_bytes(model, small)
    # the image, its logits and their weights; nothing else grows
    images, few = 3 * large.nbytes, 4 * small.nbytes
    assert peak_bytes(Windowed(model, window), large) < one_window + images + few
    assert peak_bytes(model, large) > 8 * (one_window + images)


def test_the_window_is_asked_for_or_usual(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = NestGraph(NestSpec(depth=3))
    assert window_of(graph) == (2048, 2048)
    assert window_of(graph, (24,)) == (24, 24)
    assert window_of(graph, (16, 24)) == (16, 24)
    monkeypatch.setitem(module.SIDE, 2, 17)
    assert window_of(graph) == (24, 24)


def test_a_window_that_the_network_does_not_take_is_named() -> None:
    graph = NestGraph(NestSpec(depth=3))
    said = r"window: 16x20 is not allowed, multiples of 8 from 16 on"
    with pytest.raises(SettingsError, match=said):
        window_of(graph, (16, 20))
    with pytest.raises(SettingsError, match="window: 8x16 is not allowed"):
        window_of(graph, (8, 16))
    with pytest.raises(SpecError, match="16x16x16 is not allowed"):
        window_of(graph, (16, 16, 16))
