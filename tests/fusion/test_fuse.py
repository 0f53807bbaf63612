"""A fused network is the network, whatever it is; what cannot be is refused."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten

from nestgen.arch.spec import NestSpec
from nestgen.codegen.load import build
from nestgen.fusion.fuse import fuse
from nestgen.fusion.fused import Fused
from nestgen.surgery.outside import load_class

Lived = Callable[[nn.Module], nn.Module]
Does = type[nn.Module]
TESTS = Path(__file__).parents[1]
PORTS: dict[str, Any] = load_class(f"{TESTS / 'surgery' / 'ports.py'}:PORTS")
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
SMALL: dict[str, Any] = {"depth": 2, "widths": 2, "in_channels": 2}


def noise(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def both(module: nn.Module, fused: nn.Module, x: Tensor) -> Iterator[tuple[Any, Any]]:
    """What both give, leaf by leaf, in structures that are the same."""
    before = x.clone()
    with torch.no_grad():
        theirs, how = tree_flatten(module(x.clone()))
        ours, same = tree_flatten(fused(x))
    assert torch.equal(before, x), "the input stays as it is"
    assert same == how
    for one, other in zip(theirs, ours, strict=True):
        assert type(one) is type(other)
        if isinstance(one, Tensor):
            assert (one.shape, one.dtype) == (other.shape, other.dtype)
        yield one, other


def check_same(
    module: nn.Module, fused: nn.Module, x: Tensor, within: float = 1e-10
) -> None:
    for one, other in both(module, fused, x):
        if isinstance(one, Tensor):
            assert one.isfinite().all()
            assert (other - one).norm() <= within * one.norm()
        else:
            assert one == other


def check_rounds_alike(module: nn.Module, fused: nn.Module, x: Tensor) -> None:
    """In a low precision: at most twice as far from float64 as the network itself."""
    exact, _ = tree_flatten(copy.deepcopy(module).double()(x.double()))
    for (one, other), wanted in zip(both(module, fused, x), exact, strict=True):
        own = (one.double() - wanted).norm()
        least = torch.finfo(one.dtype).eps * wanted.norm() / 2
        assert (other.double() - wanted).norm() <= 2 * max(own, least)


def norms(module: nn.Module) -> int:
    return sum(isinstance(inside, NORMS) for inside in module.modules())


def folds(fused: Fused) -> int:
    return sum(row.done.count("norm folded") for row in fused.report.rows)


SPECS: dict[str, dict[str, Any]] = {
    "unet++": {"concat": "up-last", "heads": [1, 2]},
    "unet++, newest first": {"concat": "up-first-newest", "depth": 3, "heads": [3]},
    "unet": {"family": "unet", "up": "nearest", "classes": 2},
    "unet-e": {"family": "unet-e", "up": "bilinear", "block": {"bias": True}},
    "unet+": {"family": "unet+", "up": "bilinear-aligned", "trim": True},
    "unet3+": {"family": "unet3+", "up": "bilinear"},
    "residual": {"block": {"kind": "residual", "activation": "leaky_relu"}},
    "preact": {"block": {"kind": "double-preact"}, "up": "nearest"},
    "separable": {"block": {"kind": "separable", "activation": "silu"}},
    "inverted": {"block": {"kind": "inverted", "activation": "relu6"}},
    "convnext": {"block": {"kind": "convnext", "norm": "layer", "activation": "gelu"}},
    "no norm": {"block": {"norm": "none", "dropout": 0.3}},
    "instance": {"block": {"norm": "instance"}, "pad": False},
    "group": {"block": {"norm": "group", "groups": 2, "standardise": True}},
    "standardised": {"block": {"standardise": True}},
    "gate": {"skip": "gate", "up": "pixel-shuffle-blur"},
    "se": {"skip": "se", "up": "pixel-shuffle"},
    "kernels": {"kernel_sizes": [5, 3, 1], "strides": [3, 2]},
    "signals": {"dims": 1, "up": "nearest"},
    "volumes": {"dims": 3, "block": {"activation": "leaky_relu"}},
    "resnet18": {"encoder": "resnet18"},
}


@pytest.mark.parametrize("name", SPECS)
def test_what_nestgen_writes(name: str, lived: Lived) -> None:
    """In float64, on sizes that it has not seen and that do not fit."""
    spec = NestSpec(**{**SMALL, **SPECS[name]})
    module = lived(build(spec)).double()
    sides = {1: (20,), 2: (12, 20), 3: (4, 8, 12)}[spec.dims]
    fused = fuse(module, noise(2, 2, *sides, dtype=torch.float64))
    odd = [side + 3 if spec.pad else 2 * side for side in sides]
    for shape in ((1, 2, *sides), (3, 2, *odd)):
        check_same(module, fused, noise(*shape, seed=1, dtype=torch.float64))
    expected = 0 if name in ("preact", "standardised") else norms(module)
    assert folds(fused) >= expected
    assert norms(fused) == norms(module) - folds(fused)
    assert fused.report.way == "torch.fx"
