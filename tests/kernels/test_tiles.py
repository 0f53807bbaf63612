"""What the kernels share, where their own tests do not reach."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

triton = pytest.importorskip("triton")
import triton.language as tl  # noqa: E402

from nestgen.kernels.tiles import dot_precision, first_pixel  # noqa: E402


@triton.jit
def _pixel(out, height, width):  # type: ignore[no-untyped-def]
    tl.store(out, first_pixel(tl.program_id(0) + 3, 5, 7, height, width))


def test_a_pixel_is_numbered_in_64_bits() -> None:
    out = torch.zeros(1, dtype=torch.int64)
    _pixel[(1,)](out, 2**20, 2**20)
    assert out.item() == 3 * 2**40 + 5 * 2**20 + 7


@pytest.mark.parametrize(("allowed", "precision"), [(True, "tf32"), (False, "ieee")])
def test_float32_is_multiplied_as_torch_does(allowed: bool, precision: str) -> None:
    on_gpu: Any = SimpleNamespace(is_cuda=True)
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=allowed):
        assert dot_precision(on_gpu) == precision
        assert dot_precision(torch.zeros(1)) == "ieee"
