"""Fuse a network: follow what it does, let the passes change it, prove what is left."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Literal, overload

import torch
from torch import Tensor, nn

from nestgen.errors import ModuleError, SettingsError, in_a_line
from nestgen.fusion.choice import Choice
from nestgen.fusion.choose import MEASURED, check_kernel, check_target, choose
from nestgen.fusion.compose import compose
from nestgen.fusion.drop import drop
from nestgen.fusion.fold import fold
from nestgen.fusion.fused import Fused
from nestgen.fusion.graphed import Graphed, require_gpu
from nestgen.fusion.launch import launch
from nestgen.fusion.lay_out import lay_out
from nestgen.fusion.report import Report
from nestgen.fusion.signature import Key
from nestgen.fusion.table import read_table, shipped, users_file
from nestgen.fusion.tune import Tuning
from nestgen.fusion.tune import tune as measure
from nestgen.fusion.work import Work
from nestgen.surgery.cut_any import WAYS
from nestgen.surgery.follow import Followed
from nestgen.surgery.kept import Inputs, output_tensors, run
from nestgen.surgery.whole import Whole, whole

PASSES: tuple[Callable[[Work], None], ...] = (
    drop,
    fold,
    measure,
    choose,
    compose,
    lay_out,
    launch,
)
"""In this order."""


Find = Callable[[Key], Choice | None]


@overload
def fuse(
    module: nn.Module,
    example: Tensor | Inputs,
    *,
    target: str = "eager",
    typical: Tensor | Inputs | None = None,
    tune: bool | Tuning = False,
    cuda_graph: Literal[False] = False,
    find: Find | None = None,
) -> Fused: ...
@overload
def fuse(
    module: nn.Module,
    example: Tensor | Inputs,
    *,
    target: str = "eager",
    typical: Tensor | Inputs | None = None,
    tune: bool | Tuning = False,
    cuda_graph: bool,
    find: Find | None = None,
) -> Fused | Graphed: ...
def fuse(
    module: nn.Module,
    example: Tensor | Inputs,
    *,
    target: str = "eager",
    typical: Tensor | Inputs | None = None,
    tune: bool | Tuning = False,
    cuda_graph: bool = False,
    find: Find | None = None,
) -> Fused | Graphed:
    """A network that computes the same with less: norms folded, the hot path in one.

    `module` is in eval mode and stays as it is; `example` is an input, or a tuple of
    them, [N, C, H, W] or whatever it takes, and need not be large: the result takes
    other sizes as `module` does. Its `report` tells what was done to each convolution.

    `target` is what will run it: "eager", "compile", "onnxruntime" or "openvino", each
    of which has its own fastest form of the hot path on a CPU; the name of a kernel,
    "gather" or the like, for all that it can run; or "kernels", for each hot path what
    was measured to be the best on its device.

    That is looked up for inputs of the size of `typical`, by default of the example:
    `find` tells it, by default what `users_file` and then `shipped` have, and `tune`
    measures what is not in the former yet. With `cuda_graph` the result takes that one
    size alone, and is replayed at once.

    Raises `SettingsError` for a target that is not known, and for what does not go with
    it; `ModuleError` for a module in training mode, one that cannot be followed, and
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
    inputs = _several(example)
    used = inputs if typical is None else _several(typical)
    if cuda_graph:
        require_gpu(used)
    known, tuning = _measurements(target, tune)
    with torch.no_grad():
        rejected: dict[str, str] = {}
        with _repeatable():
            given = run(module, inputs)
            asked = whole(module, tuple(output_tensors(given)), inputs)
            followed = _followed(asked, rejected)
        work = Work(followed.module, used, target, find or known, tuning)
        for change in PASSES:
            change(work)
        check_kernel(work)
        fused = Fused(work.finish(), given, followed.conditions).eval()
        error = _require_as_exact(fused, asked)
    fused.report = Report(
        rows=tuple(
            replace(row, left=list(dict.fromkeys(row.left))) for row in work.report
        ),
        way=followed.way,
        rejected=rejected,
        error=error,
        inputs=tuple(tuple(x[0].shape) for x in asked.tried),
    )
    return Graphed(fused, used) if cuda_graph else fused


def _several(inputs: Tensor | Inputs) -> Inputs:
    return (inputs,) if isinstance(inputs, Tensor) else inputs


def _measurements(target: str, tune: bool | Tuning) -> tuple[Find, Tuning | None]:
    """What looks up what was measured, and what measures."""
    if target != MEASURED:
        if tune:
            raise SettingsError(
                f"tune: target {target!a} is not allowed, {MEASURED} alone"
            )
        return lambda key: None, None
    tuning = tune if isinstance(tune, Tuning) else Tuning() if tune else None
    own = read_table(users_file()) if tuning is None else tuning.table
    others = shipped()
    return lambda key: own.find(key) or others.find(key), tuning


@contextmanager
def _repeatable() -> Iterator[None]:
    """A GPU gives the same bits each time, so that a trace can be held against it."""
    known: Any = torch.backends
    before = known.cudnn.deterministic
    known.cudnn.deterministic = True
    try:
        yield
    finally:
        known.cudnn.deterministic = before


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


def _require_as_exact(fused: Fused, asked: Whole) -> float:
    """How badly `fused` rounds, as a share of how badly the whole does.

    Each output is looked at on all inputs together: a few numbers alone may happen to
    be rounded well.
    """
    exact = copy.deepcopy(asked.kept).double()
    ours, theirs = ({name: 0.0 for name in asked.kept.names} for _ in range(2))
    for inputs, others in zip(asked.tried, asked.expected, strict=True):
        try:
            found = output_tensors(fused(*inputs))
        except ValueError:
            continue  # of sizes that its trace does not know
        doubled = tuple(x.double() if x.is_floating_point() else x for x in inputs)
        for name, expected, other, y in zip(
            asked.kept.names, run(exact, doubled), others, found.values(), strict=True
        ):
            ours[name] += _error(y, expected) ** 2
            theirs[name] += _error(other, expected) ** 2
    shares = {name: (ours[name] / (theirs[name] or 1.0)) ** 0.5 for name in ours}
    for name, share in shares.items():
        if not share <= 2:
            raise ModuleError(
                f"output {name} rounds {share:.3g} times as badly once it is fused"
            )
    return max(shares.values())


def _error(y: Tensor, expected: Tensor) -> float:
    """Of an output, at least what rounding it once to its dtype may do."""
    least = torch.finfo(y.dtype).eps * expected.norm() / 2
    return float(torch.maximum((y.double() - expected).norm(), least))
