"""A network of others is cut at a level that only its grid tells."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import nestgen
from nestgen.errors import ModuleError
from nestgen.surgery.kept import output_tensors
from nestgen.surgery.outside import load_class

PORTS: dict[str, Any] = load_class(
    f"{Path(__file__).parents[1] / 'surgery' / 'ports.py'}:PORTS"
)


@pytest.mark.parametrize(
    ("name", "outputs"),
    [
        ("shallow-first", ["0", "1", "2"]),
        ("deepest-first", ["seg.1.1", "seg.1.0", "seg.0"]),
    ],
)
def test_levels_in_any_order(name: str, outputs: list[str]) -> None:
    make, shape = PORTS[name]
    module, x = make().eval(), torch.randn(shape)
    whole = output_tensors(module(x))
    for level, output in enumerate(outputs, start=1):
        small = nestgen.prune(module, keep=f"L{level}", example=x)
        assert torch.equal(small(x), whole[output])


def test_a_level_that_is_none_is_said() -> None:
    make, shape = PORTS["shallow-first"]
    with pytest.raises(ModuleError, match=r"L4 is no output's level.*L3 is output 2"):
        nestgen.prune(make(), keep=["L1", "L4"], example=torch.randn(shape))
