"""Up-sampling by 2, by torch and by the kernel."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from nestgen.kernels.layout import channels_last, empty_channels_last
from nestgen.kernels.raise2x import MODES, Mode, raise2x

every_mode = pytest.mark.parametrize("mode", MODES)


def image(*shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    chance = torch.Generator().manual_seed(0)
    return channels_last(torch.randn(shape, generator=chance).to(dtype))


@every_mode
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize(
    ("shape", "size"),
    [
        ((2, 3, 3, 5), (5, 10)),
        ((1, 130, 2, 17), (4, 33)),
        ((1, 1, 1, 1), (1, 2)),
    ],
    ids=str,
)
def test_the_kernel_is_as_exact_as_torch(
    mode: Mode, dtype: torch.dtype, shape: tuple[int, ...], size: tuple[int, int]
) -> None:
    pytest.importorskip("triton")
    low = image(*shape, dtype=dtype)
    out = empty_channels_last(low, *shape[:2], *size).fill_(float("nan"))
    assert raise2x(low, mode, size, out=out, impl="triton") is out
    exact = raise2x(low.double(), mode, size)
    own = raise2x(low, mode, size)
    rounding = torch.finfo(dtype).eps / 2 * exact.norm()
    allowed = 2 * max((own.double() - exact).norm(), rounding)
    assert (out.double() - exact).norm() <= allowed


@every_mode
def test_the_reference_is_torch_cropped(mode: Mode) -> None:
    low = image(1, 2, 3, 4)
    out = empty_channels_last(low, 1, 2, 5, 8)
    assert raise2x(low, mode, (5, 8), out=out) is out
    options = {} if mode == "nearest" else {"align_corners": mode != "bilinear"}
    whole = F.interpolate(low, scale_factor=2, mode=mode.split("-")[0], **options)
    assert out.equal(whole[:, :, :5])
    assert raise2x(low, mode).equal(whole)


@every_mode
def test_the_operator(mode: Mode) -> None:
    arguments = (image(2, 3, 2, 3), mode, 3, 6, "reference")
    torch.library.opcheck(torch.ops.nestgen.raise2x.default, arguments)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ({"low": torch.zeros(2, 2, 3)}, r"low: \[2, 2, 3\] is not allowed, \[N, C, h"),
        ({"mode": "cubic"}, "mode='cubic' is not allowed, nearest, bilinear"),
        ({"impl": "cuda"}, "impl='cuda' is not allowed, reference, triton"),
        ({"size": (2, 4)}, r"size=\(2, 4\) is not allowed, twice \[2, 3\]"),
        ({"out": torch.zeros(1, 2, 4, 6)}, r"out: \[1, 2, 4, 6\], torch.float32"),
        ({"out": image(1, 2, 4, 6).contiguous()}, "channels_last"),
        ({"impl": "triton"}, "'triton' cannot run this: torch.float64"),
    ],
)
def test_what_does_not_fit(arguments: dict[str, object], line: str) -> None:
    given: dict[str, object] = {"low": image(1, 2, 2, 3), "mode": "nearest"}
    with pytest.raises(ValueError, match=line):
        raise2x(**given | arguments)  # type: ignore[arg-type]
