"""What is counted of kernels is what one can count by hand."""

# Triton's language has no types
# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-decorators

from __future__ import annotations

from typing import Any

import pytest
import torch

pytest.importorskip("triton")

import triton
import triton.language as tl
from triton.runtime.errors import InterpreterError

from tests.kernels.counting import counted


@triton.jit
def add(xs, y, z, n, BLOCK: tl.constexpr):
    """z = xs[0] + xs[1] + y[0], and y[0] once for each program."""
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    total = tl.load(xs[0] + at, mask=at < n) + tl.load(xs[1] + at, mask=at < n)
    tl.store(z + at, total + tl.load(y), mask=at < n)


@triton.jit
def product(a, b, c, SIDE: tl.constexpr):
    """c = a @ b, twice, by what tensors' descriptors give."""
    wide: tl.constexpr = 2 * SIDE
    of_a = tl.make_tensor_descriptor(a, [SIDE, SIDE], [SIDE, 1], [SIDE, wide])
    of_b = tl.make_tensor_descriptor(b, [SIDE, SIDE], [SIDE, 1], [wide, SIDE])
    of_c = tl.make_tensor_descriptor(c, [SIDE, SIDE], [SIDE, 1], [SIDE, SIDE])
    for _ in range(2):
        of_c.store([0, 0], tl.dot(of_a.load([0, 0]), of_b.load([0, 0])))


def test_elements_by_argument() -> None:
    xs, y = (torch.ones(10), torch.ones(10)), torch.ones(1)
    z = torch.full((10,), float("nan"))
    with counted() as counts:
        add[(3,)](xs, y, z, 10, BLOCK=4)
    assert z.tolist() == [3.0] * 10
    assert counts.loaded == {"xs": 20, "y": 3}
    assert counts.read == {"xs": 20, "y": 1}
    assert counts.stored == counts.written == {"z": 10}
    assert counts.products == 0


def test_one_tensor_twice_is_read_once() -> None:
    x = torch.ones(10)
    with counted() as counts:
        add[(3,)]((x, x), torch.ones(1), torch.ones(10), 10, BLOCK=4)
    assert (counts.loaded["xs"], counts.read["xs"]) == (20, 10)


def test_descriptors_and_products() -> None:
    """Of a block that is half outside of its tensor, that half is not loaded."""
    a, b, c = (torch.ones(16, 16) for _ in range(3))
    with counted() as counts:
        product[(1,)](a, b, c, SIDE=16)
    assert c.tolist() == [[16.0] * 16] * 16
    assert counts.loaded == {"a": 2 * 256, "b": 2 * 256}
    assert counts.read == {"a": 256, "b": 256}
    assert (counts.stored, counts.written) == ({"c": 2 * 256}, {"c": 256})
    assert counts.products == 2 * 16 * 32 * 16


@pytest.mark.parametrize("short", ["x", "z"])
def test_what_is_outside_is_seen(short: str) -> None:
    whole, part = torch.ones(12), torch.ones(12)[:10]
    given: dict[str, Any] = {"x": whole, "z": whole, short: part}
    with counted(), pytest.raises(InterpreterError, match="2 elements outside of all"):
        add[(3,)]((given["x"],) * 2, torch.ones(1), given["z"], 12, BLOCK=4)


def test_nothing_is_counted_afterwards() -> None:
    x = torch.ones(4)
    with counted() as counts:
        pass
    add[(1,)]((x, x), x, x, 4, BLOCK=4)
    assert (counts.loaded, counts.stored) == ({}, {})
