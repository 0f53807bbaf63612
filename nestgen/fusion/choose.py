"""Which form a hot path takes, and what runs it: by the target."""

from __future__ import annotations

from nestgen.errors import ModuleError, SettingsError
from nestgen.fusion.choice import Choice
from nestgen.fusion.hot_conv import HotConv
from nestgen.fusion.lowered import example_call
from nestgen.fusion.match import HotPath, match
from nestgen.fusion.signature import key_of
from nestgen.fusion.work import Work
from nestgen.kernels.configurations import KERNELS
from nestgen.kernels.fused_conv import IMPLEMENTATIONS
from nestgen.kernels.lowering import FORMS

_COMPOSED = dict.fromkeys(("transpose", "nearest", "bilinear"), Choice("composed"))
RUNTIMES = {
    "eager": _COMPOSED,
    "compile": _COMPOSED,
    "onnxruntime": {
        "transpose": Choice("split", apart=True),
        "nearest": Choice("composed", apart=True),
        "bilinear": Choice("split", apart=True),
        "bilinear-aligned": Choice("split", apart=True),
    },
    "openvino": _COMPOSED,
}
"""What runs fastest by each way up, of images on a CPU, as benchmarks/fused_cpu.py
measures it; what is not here, as it is written."""
MEASURED = "kernels"
"""For each hot path, what was measured to be the best on its device."""


def check_target(target: str) -> None:
    """Raise `SettingsError` for a target that is not known."""
    known = (*RUNTIMES, MEASURED, *KERNELS)
    if target not in known:
        raise SettingsError(
            f"target: {target[:60]!a} is not allowed, one of {', '.join(known)}"
        )


def check_kernel(work: Work) -> None:
    """Raise `ModuleError` where the kernel that is the target runs nothing at all."""
    if work.target not in KERNELS or any(
        isinstance(module, HotConv) for module in work.traced.modules()
    ):
        return
    start = f"{work.target}: "
    reasons = [why for row in work.report for why in row.left if why.startswith(start)]
    why = reasons[0].removeprefix(start) if reasons else "there is no conv3x3 of images"
    raise ModuleError(f"target: {work.target} runs nothing of this network, {why}")


def choose(work: Work) -> None:
    """Write down for each hot path how it is computed (see `Choice`)."""
    for path in match(work):
        work.choices[path.node] = _choice(work, path)


def _choice(work: Work, path: HotPath) -> Choice:
    if len(work.shape(path.node)) != 4:
        return Choice()
    if work.target in KERNELS:
        return Choice(_form(work, path), work.target)
    if work.target == MEASURED:
        return _measured(work, path)
    return RUNTIMES[work.target].get(path.up, Choice())


def _form(work: Work, path: HotPath) -> str:
    """The first form in which the kernel can run a path, or else the first of all."""
    kernel, forms = IMPLEMENTATIONS[work.target], FORMS[path.up]
    runs = (f for f in forms if not kernel.why_not(example_call(work, path, f)))
    return next(runs, forms[0])


def _measured(work: Work, path: HotPath) -> Choice:
    found = work.find(key_of(work, path))
    if found is None:
        work.rows[path.node].leave("not measured on this device")
        return Choice()
    if found == Choice():
        work.rows[path.node].leave("nothing was measured to be faster")
    return found
