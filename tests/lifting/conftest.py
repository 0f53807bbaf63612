"""What the tests of lifting share."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

TESTS = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def ports() -> ModuleType:
    """The networks in others' styles."""
    return _loaded(TESTS / "surgery" / "ports.py")


@pytest.fixture(scope="session")
def style() -> ModuleType:
    """The networks in the style of 4uiiurz1's."""
    return _loaded(TESTS / "foreign" / "nested_unet_style.py")


def _loaded(file: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"lifted_{file.stem}", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
