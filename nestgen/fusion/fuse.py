"""Fuse a network: follow what it does, let the passes change it, prove what is left."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from nestgen.errors import ModuleError, in_a_line
from nestgen.fusion.choose import check_kernel, check_target, choose
from nestgen.fusion.compose import compose
from nestgen.fusion.drop import drop
from nestgen.fusion.fold import fold
from nestgen.fusion.fused import Fused
from nestgen.fusion.launch import launch
from nestgen.fusion.lay_out import lay_out
from nestgen.fusion.proof import prove
from nestgen.fusion.report import Report
from nestgen.fusion.work import Work
from nestgen.surgery.cut_any import WAYS
from nestgen.surgery.follow import Followed
from nestgen.surgery.kept import Inputs, inputs_of, output_tensors, run
from nestgen.surgery.outside import told
from nestgen.surgery.whole import Whole, twin, whole

PASSES: tuple[Callable[[Work], None], ...] = (
    drop,
    fold,
    choose,
    compose,
    launch,
    lay_out,
)
"""In this order."""


def fuse(
    module: nn.Module, example: Tensor | Inputs, *, target: str = "eager"
) -> Fused:
    """A network that computes the same with less: norms folded, the hot path in one.

    `module` is in eval mode and stays as it is; `example` is an input, or a tuple of
    them, [N, C, H, W] or whatever it takes, and need not be large: the result takes
    other sizes as `module` does. Its `report` tells what was done to each convolution.

    `target` is what will run it: "eager", "compile", "onnxruntime" or "openvino", each
    of which has its own fastest form of the hot path on a CPU; or the name of a kernel,
    "gather" or the like, for all that it can run.

    Raises `ModuleError` for a module in training mode, one that cannot be followed, and
    where the result rounds more than twice as badly as the module itself, against the
    module in float64.

    >>> from nestgen.fusion.fuse import fuse
    >>> net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU()).eval()
    >>> fast = fuse(net, torch.randn(1, 1, 8, 8))
    >>> [(row.name, row.done) for row in fast.report.rows]
    [('0', ['norm folded'])]
    """
    check_target(target)
    _require_eval(module)
    inputs = inputs_of(example)
    with torch.no_grad():
        with told("the module does not run on the example"):
            given = run(twin(module), inputs)
        names = tuple(output_tensors(given))
        if not names:
            raise ModuleError(f"module: {type(module).__name__} gives no tensor")
        asked = whole(module, names, inputs)
        rejected: dict[str, str] = {}
        followed = _followed(asked, rejected)
        work = Work(followed.module, asked.example, target)
        for change in PASSES:
            change(work)
        check_kernel(work)
        fused = Fused(work.finish(), given, followed.conditions).eval()
        proven = prove(fused, asked)
    fused.report = Report(
        rows=work.report,
        way=followed.way,
        rejected=rejected,
        error=proven.error,
        inputs=proven.inputs,
    )
    return fused


def _require_eval(module: nn.Module) -> None:
    for name, inside in module.named_modules():
        if inside.training:
            where = f"{name or type(module).__name__}"
            raise ModuleError(f"module: {where} is in training mode, call eval() first")


def _followed(asked: Whole, rejected: dict[str, str]) -> Followed:
    """What the first way found whose trace gives the bits of the whole."""
    for way, follow in WAYS.items():
        try:
            followed = follow(asked.kept, asked.example)
            by_name = dict(zip(asked.kept.names, asked.expected[0], strict=True))
            asked.compare(Fused(followed.module, by_name, followed.conditions))
        except Exception as error:  # what follows someone else's code may raise all
            rejected[way] = in_a_line(error)
        else:
            return followed
    why = "; ".join(f"{way}: {reason}" for way, reason in rejected.items())
    raise ModuleError(f"{asked.kind} cannot be fused: {why}")
