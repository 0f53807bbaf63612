"""nestgen: nested U-Nets, described, generated, trained, cut at a level, drawn.

Names are loaded when they are first used, so that `import nestgen` is fast and
imports no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nestgen.arch.graph import NestGraph as NestGraph
    from nestgen.arch.spec import NestSpec as NestSpec
    from nestgen.codegen.load import build as build
    from nestgen.codegen.source import source as source
    from nestgen.errors import NestgenError as NestgenError

__version__ = "0.1.0"

_HOMES = {
    "NestSpec": "nestgen.arch.spec",
    "NestGraph": "nestgen.arch.graph",
    "NestgenError": "nestgen.errors",
    "source": "nestgen.codegen.source",
    "build": "nestgen.codegen.load",
}

__all__ = ["NestGraph", "NestSpec", "NestgenError", "build", "source"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'nestgen' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
