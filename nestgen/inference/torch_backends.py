"""Backends that torch itself has."""

from __future__ import annotations

import copy
import warnings
from functools import cache, partial

import torch
from torch import Tensor, nn
from torch._inductor import config as inductor

from nestgen.errors import SettingsError
from nestgen.inference.backend import Backend, Case, Ready
from nestgen.training.timing import peak_bytes

_CHANNELS_LAST = {4: torch.channels_last, 5: torch.channels_last_3d}
"""By the number of axes of an input."""


def _eager(case: Case) -> Ready:
    return _ready(case.module, case.x)


def _channels_last(case: Case) -> Ready:
    """Weights and input with the channels of a pixel beside each other in memory."""
    if case.x.dim() not in _CHANNELS_LAST:
        raise SettingsError("channels_last is for images and volumes")
    layout = _CHANNELS_LAST[case.x.dim()]
    module = copy.deepcopy(case.module).to(memory_format=layout)  # type: ignore[call-overload]
    return _ready(module, case.x.to(memory_format=layout))


def _ready(module: nn.Module, x: Tensor) -> Ready:
    return Ready(partial(module, x), partial(peak_bytes, module, x))


def _compile(case: Case) -> Ready:
    """By torch.compile, for this one shape and without a break in the graph.

    The weights are frozen into the program: what is timed here trains no more, and the
    other compilers take weights for constants too.
    """
    compiled = torch.compile(case.module, fullgraph=True, dynamic=False)
    with warnings.catch_warnings(), inductor.patch(freezing=True):
        warnings.simplefilter("ignore")  # the compiler's own
        compiled(case.x)
    return Ready(partial(compiled, case.x))


def _compile_missing(device: torch.device) -> str | None:
    return _compiler_fails(str(device))


@cache
def _compiler_fails(device: str) -> str | None:
    """Whether it compiles a tiny module: there may be no C++ compiler here."""
    try:
        _compile(Case(nn.ReLU().to(device), torch.zeros(1, device=device)))
    except Exception as error:
        return f"torch.compile does not work here ({type(error).__name__})"
    return None


EAGER = Backend(_eager)
CHANNELS_LAST = Backend(_channels_last)
COMPILE = Backend(_compile, _compile_missing, forget=torch.compiler.reset)
