"""From source text to a living module. The generated file is the implementation."""

from __future__ import annotations

import hashlib
import linecache
import sys
from functools import cache
from types import ModuleType

import torch
from torch import nn

from nestgen.arch.spec import NestSpec
from nestgen.codegen.source import source
from nestgen.errors import SpecError


def build(spec: NestSpec) -> nn.Module:
    """An instance of the class that `source(spec)` defines, with `.spec` on it.

    `model(x)` takes float [N, in_channels, H, W], of one axis [N, in_channels, L], of
    three [N, in_channels, D, H, W], of any size where the spec pads, and gives logits
    of that size, [N, classes, ...], by level, `{"L1": ..., "L4": ...}`, or one tensor
    where there is one head. Raises `SpecError` for what is no spec.

    >>> import torch
    >>> model = build(NestSpec(depth=2, widths=4))
    >>> {level: list(y.shape) for level, y in model(torch.zeros(1, 3, 8, 8)).items()}
    {'L1': [1, 1, 8, 8], 'L2': [1, 1, 8, 8]}
    """
    if not isinstance(spec, NestSpec):
        raise SpecError(f"{type(spec).__name__}: is no NestSpec")
    return load_class(spec)()


def blank(spec: NestSpec) -> nn.Module:
    """`build(spec)` to be given all of its state dict, and so without weights.

    What a network has beside its state dict, as some backbones have tables of
    positions, is computed.

    >>> {weights.device.type for weights in blank(NestSpec(depth=1)).parameters()}
    {'meta'}
    """
    with torch.device("meta"):
        model = build(spec)
    if {name for name, _ in model.named_buffers()} <= set(model.state_dict()):
        return model
    with torch.random.fork_rng(devices=[]):
        return build(spec)


@cache
def load_class(spec: NestSpec) -> type[nn.Module]:
    """The class in `source(spec)`; tracebacks and `inspect.getsource` show its text."""
    loaded = class_of(source(spec), spec.class_name, spec.stem)
    loaded.spec = spec  # type: ignore[attr-defined]
    return loaded


def class_of(text: str, class_name: str, stem: str) -> type[nn.Module]:
    """The class that a text defines; tracebacks show the text, under a name of `stem`.

    >>> class_of("class One: pass", "One", "one").__module__[:21]
    'nestgen_generated_one'
    """
    module = _execute(text, f"{stem}_{hashlib.sha256(text.encode()).hexdigest()}")
    found: type[nn.Module] = getattr(module, class_name)
    return found


def spec_of(model: nn.Module) -> NestSpec:
    """The spec of a network that nestgen built or loaded; `SpecError` for others.

    >>> spec_of(build(NestSpec(depth=1, widths=2))).label
    'UNet++ of depth 1'
    """
    spec = getattr(model, "spec", None)
    if not isinstance(spec, NestSpec):
        raise SpecError(
            f"{type(model).__name__} has no spec; networks that nestgen built have one"
        )
    return spec


def _execute(text: str, stem: str) -> ModuleType:
    filename = f"<nestgen {stem}>"
    linecache.cache[filename] = (len(text), None, text.splitlines(True), filename)
    module = ModuleType(f"nestgen_generated_{stem}")
    module.__file__ = filename
    sys.modules[module.__name__] = module
    exec(compile(text, filename, "exec"), module.__dict__)
    return module
