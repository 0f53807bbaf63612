"""What the tests of generated code share: the golden files and their specs."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from nestgen.arch.spec import NestSpec

GOLDEN = Path(__file__).parents[1] / "golden"


def load_file(path: Path) -> ModuleType:
    """The module in a file, as Python itself makes it; nestgen has no part in it."""
    described = importlib.util.spec_from_file_location(f"golden_{path.stem}", path)
    assert described is not None
    assert described.loader is not None
    module = importlib.util.module_from_spec(described)
    described.loader.exec_module(module)
    return module


_SPECS: dict[str, NestSpec] = load_file(GOLDEN / "regenerate.py").SPECS


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that asks for `golden_name` runs for each golden file."""
    if "golden_name" in metafunc.fixturenames:
        metafunc.parametrize("golden_name", _SPECS)


@pytest.fixture(scope="session")
def golden_specs() -> dict[str, NestSpec]:
    """Golden files' names, without their suffix, and their specs."""
    return _SPECS


@pytest.fixture(scope="session")
def golden_folder() -> Path:
    """Where the golden files lie."""
    return GOLDEN


@pytest.fixture(scope="session")
def load_golden() -> Callable[[str], ModuleType]:
    """A golden file as a module, by its name."""
    return lambda name: load_file(GOLDEN / f"{name}.py")
