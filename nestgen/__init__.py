"""nestgen: nested U-Nets, described, generated, trained, cut at a level, drawn.

Names are loaded when they are first used, so that `import nestgen` is fast and
imports no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nestgen.arch.block import Block as Block
    from nestgen.arch.families import register as register
    from nestgen.arch.graph import NestGraph as NestGraph
    from nestgen.arch.spec import NestSpec as NestSpec
    from nestgen.checkpoint import load as load
    from nestgen.checkpoint import save as save
    from nestgen.codegen.load import build as build
    from nestgen.codegen.source import source as source
    from nestgen.drawing import alt_text as alt_text
    from nestgen.drawing import draw as draw
    from nestgen.errors import NestgenError as NestgenError
    from nestgen.foreign.take import import_weights as import_weights
    from nestgen.fusion.fuse import fuse as fuse
    from nestgen.fusion.training import fuse_training as fuse_training
    from nestgen.inference.bench import bench as bench
    from nestgen.inference.calibrate import calibrate as calibrate
    from nestgen.inference.growing import predict_anytime as predict_anytime
    from nestgen.inference.predict import predict as predict
    from nestgen.inspection.report import inspect as inspect
    from nestgen.lifting.lift import lift as lift
    from nestgen.lifting.prune import prune as prune
    from nestgen.surgery.gradients import gradients as gradients
    from nestgen.surgery.gradients import module_gradients as module_gradients
    from nestgen.surgery.transfer import transfer as transfer
    from nestgen.training.loop import train as train

__version__ = "0.1.0"

_HOMES = {
    "Block": "nestgen.arch.block",
    "NestGraph": "nestgen.arch.graph",
    "NestSpec": "nestgen.arch.spec",
    "NestgenError": "nestgen.errors",
    "alt_text": "nestgen.drawing",
    "bench": "nestgen.inference.bench",
    "build": "nestgen.codegen.load",
    "calibrate": "nestgen.inference.calibrate",
    "draw": "nestgen.drawing",
    "fuse": "nestgen.fusion.fuse",
    "fuse_training": "nestgen.fusion.training",
    "gradients": "nestgen.surgery.gradients",
    "import_weights": "nestgen.foreign.take",
    "inspect": "nestgen.inspection.report",
    "lift": "nestgen.lifting.lift",
    "load": "nestgen.checkpoint",
    "module_gradients": "nestgen.surgery.gradients",
    "predict": "nestgen.inference.predict",
    "predict_anytime": "nestgen.inference.growing",
    "prune": "nestgen.lifting.prune",
    "save": "nestgen.checkpoint",
    "register": "nestgen.arch.families",
    "source": "nestgen.codegen.source",
    "train": "nestgen.training.loop",
    "transfer": "nestgen.surgery.transfer",
}

__all__ = [
    "Block",
    "NestGraph",
    "NestSpec",
    "NestgenError",
    "alt_text",
    "bench",
    "build",
    "calibrate",
    "draw",
    "fuse",
    "fuse_training",
    "gradients",
    "import_weights",
    "inspect",
    "lift",
    "load",
    "module_gradients",
    "predict",
    "predict_anytime",
    "prune",
    "register",
    "save",
    "source",
    "train",
    "transfer",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'nestgen' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
