"""Which form a hot path takes, and what runs it: by the target."""

from __future__ import annotations

from nestgen.errors import SettingsError
from nestgen.fusion.choice import Choice
from nestgen.fusion.lowered import forms
from nestgen.fusion.match import HotPath, match
from nestgen.fusion.work import Work
from nestgen.kernels.fused_conv import IMPLEMENTATIONS

RUNTIMES = ("eager", "compile", "onnxruntime", "openvino")
KERNELS = tuple(name for name in IMPLEMENTATIONS if name != "reference")


def check_target(target: str) -> None:
    """Raise `SettingsError` for a target that is not known."""
    if target not in (*RUNTIMES, *KERNELS):
        known = ", ".join((*RUNTIMES, *KERNELS))
        raise SettingsError(f"target: {target[:60]!a} is not allowed, one of {known}")


def choose(work: Work) -> None:
    """Write down for each hot path how it is computed (see `Choice`)."""
    for path in match(work):
        work.choices[path.node] = _choice(work, path)


def _choice(work: Work, path: HotPath) -> Choice:
    if work.target in KERNELS:
        images = len(work.shape(path.node)) == 4
        return Choice(forms(path)[0], work.target) if images else Choice()
    return Choice()
