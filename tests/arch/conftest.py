"""What the tests of specs, graphs and costs draw."""

from __future__ import annotations

import string
from typing import Any, get_args

import pytest
from hypothesis import strategies as st

from nestgen.arch.choices import Activation, Concat, Norm, Up
from nestgen.arch.families import FamilyName
from nestgen.arch.spec import NestSpec

_PLAIN = st.characters(exclude_categories=["C", "Z"], exclude_characters='"\\')
_TITLES = st.text(_PLAIN | st.just(" "), max_size=78).map(str.strip).filter(bool)


@pytest.fixture(scope="session")
def specs() -> st.SearchStrategy[NestSpec]:
    """Specs of every kind, narrow and of depth 1 to 5."""
    return _specs()


@st.composite
def _specs(draw: st.DrawFn) -> NestSpec:
    depth = draw(st.integers(1, 5))
    groups = draw(st.integers(1, 3))
    rows = st.integers(1, 4).map(lambda times: times * groups)
    inner = draw(st.sets(st.integers(1, depth))) - {depth}
    family = draw(st.sampled_from(get_args(FamilyName)))
    single = family == "unet"
    fields: dict[str, Any] = {
        "family": family,
        "depth": depth,
        "widths": draw(st.tuples(*[rows] * (depth + 1))),
        "in_channels": draw(st.integers(1, 5)),
        "classes": draw(st.integers(1, 4)),
        "up": draw(st.sampled_from(get_args(Up))),
        "concat": draw(st.sampled_from(get_args(Concat))),
        "heads": [depth] if single else [*sorted(inner), depth],
        "trim": True if single else draw(st.booleans()),
        "name": draw(st.none() | st.text(string.ascii_letters, max_size=9).map(_named)),
        "title": draw(st.none() | _TITLES),
        "block": {
            "norm": draw(st.sampled_from(get_args(Norm))),
            "activation": draw(st.sampled_from(get_args(Activation))),
            "dropout": draw(st.floats(0, 1, exclude_max=True)),
            "bias": draw(st.booleans()),
            "groups": groups,
        },
    }
    return NestSpec(**fields)


def _named(letters: str) -> str:
    return f"Net{letters}"
