"""Fuse a network: follow what it does, let the passes change it, prove what is left."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any, Literal, overload

import torch
from torch import Tensor, fx, nn

from nestgen.errors import ModuleError, SettingsError, in_a_line
from nestgen.fusion.choice import Choice
from nestgen.fusion.choose import (
    MEASURED,
    RUNTIMES,
    check_kernel,
    check_target,
    choose,
)
from nestgen.fusion.compose import compose
from nestgen.fusion.drop import drop
from nestgen.fusion.fold import fold
from nestgen.fusion.fused import Fused
from nestgen.fusion.graphed import Graphed, require_gpu
from nestgen.fusion.launch import launch
from nestgen.fusion.lay_out import lay_out
from nestgen.fusion.proof import Proof, prove
from nestgen.fusion.report import Report, Row
from nestgen.fusion.signature import Key
from nestgen.fusion.table import read_table, shipped, users_file
from nestgen.fusion.tune import Tuning
from nestgen.fusion.tune import tune as measure
from nestgen.fusion.work import Work
from nestgen.kernels.configurations import KERNELS
from nestgen.surgery.cut_any import WAYS
from nestgen.surgery.follow import Followed
from nestgen.surgery.kept import Inputs, inputs_of, output_tensors, run
from nestgen.surgery.outside import told
from nestgen.surgery.whole import Whole, twin, whole

Pass = Callable[[Work], None]
PASSES: tuple[Pass, ...] = (
    drop,
    fold,
    measure,
    choose,
    compose,
    lay_out,
    launch,
)
"""In this order."""
RETREATS: dict[str, tuple[Pass, ...]] = {
    "": (),
    "weights stay contiguous": (lay_out,),
    "hot paths stay as written": (measure, choose),
    "hot paths stay as written, weights contiguous": (measure, choose, lay_out),
    "norms and hot paths stay as written": (fold, measure, choose, lay_out),
}
"""Passes that are left out where the proof fails, one retreat after another."""

CORNER = {4: 64, 5: 32}
"""The sides of the part on which an example is followed and proven, by its axes."""

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
    them, [N, C, H, W] or whatever it takes; the result takes other sizes as `module`
    does, and where that takes a corner of the example, it is proven there. Its `report`
    tells what was done to each convolution.

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
    module in float64, with the least of the passes too (see `RETREATS`).

    >>> from nestgen.fusion.fuse import fuse
    >>> net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU()).eval()
    >>> fast = fuse(net, torch.randn(1, 1, 8, 8))
    >>> [(row.name, row.done) for row in fast.report.rows]
    [('0', ['norm folded'])]
    """
    check_target(target)
    _require_eval(module)
    inputs = inputs_of(example)
    used = inputs
    # torch's own forms are chosen whatever the size
    if typical is not None and (cuda_graph or target not in RUNTIMES):
        used = inputs_of(typical)
    if cuda_graph:
        require_gpu(used)
    known, tuning = _measurements(target, tune)
    with torch.inference_mode(False), torch.no_grad():
        with _repeatable(), told("the module does not run on the example"):
            given = run(twin(module), inputs)
        if not output_tensors(given):
            raise ModuleError(f"module: {type(module).__name__} gives no tensor")
        make = partial(
            _fused,
            module,
            inputs,
            given,
            lambda traced: Work(traced, used, target, find or known, tuning),
        )
        part = _corner(inputs)
        try:
            fused = make(part)
        except ModuleError:
            if part is inputs:
                raise
            fused = make(inputs)
    return Graphed(fused, used) if cuda_graph else fused


def _fused(
    module: nn.Module,
    example: Inputs,
    given: Any,
    work_on: Callable[[fx.GraphModule], Work],
    part: Inputs,
) -> Fused:
    """The network, followed and proven on a part of its example, and its report."""
    with _repeatable():
        asked, followed, rejected = _followed(module, example, given, part)
    fused, proven, rows = _retreated(asked, followed, given, work_on)
    fused.report = Report(
        rows=rows,
        way=followed.way,
        rejected=rejected,
        error=proven.error,
        inputs=proven.inputs,
    )
    return fused


def _retreated(
    asked: Whole,
    followed: Followed,
    given: Any,
    work_on: Callable[[fx.GraphModule], Work],
) -> tuple[Fused, Proof, tuple[Row, ...]]:
    """The first that is proven, with its rows; the first refusal where none is.

    A view may need what channels_last takes from it, and a tiny network may round so
    well by chance that less would round worse. A kernel that is asked for stays.
    """
    traced, refusal = followed.module, None
    for how, left_out in RETREATS.items():
        work = work_on(traced)
        if work.target in KERNELS and choose in left_out:
            continue
        for change in PASSES:
            if change not in left_out:
                change(work)
        check_kernel(work)
        fused = Fused(work.finish(), given, followed.conditions).eval()
        try:
            proven = prove(fused, asked)
        except ModuleError as error:
            refusal = refusal or error
            # the passes have changed the graph
            traced = WAYS[followed.way](asked.kept, asked.example).module
            continue
        for row in work.report:
            if refusal is not None:
                row.leave(f"{how}: else {refusal}")
            elif not row.done and not row.left:
                row.leave("nothing to fold or compose")
        return fused, proven, work.report
    assert refusal is not None
    raise refusal


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


def _followed(
    module: nn.Module, example: Inputs, given: Any, part: Inputs
) -> tuple[Whole, Followed, dict[str, str]]:
    """What the first way found whose trace gives the bits of the module.

    On a part of the example and what is tried beside it, and on the example. Before it
    the module as it was followed, behind it why no way before would do.
    """
    tensors = output_tensors(given)
    asked = whole(module, tuple(tensors), part)
    wholes = [asked]
    if part is not example:
        expected = (tuple(tensors.values()),)
        wholes.append(replace(asked, tried=(example,), expected=expected))
    rejected: dict[str, str] = {}
    for way, follow in WAYS.items():
        try:
            followed = follow(asked.kept, asked.example)
            by_name = dict(zip(asked.kept.names, asked.expected[0], strict=True))
            fused = Fused(followed.module, by_name, followed.conditions)
            for each in wholes:
                each.compare(fused)
        except Exception as error:  # what follows someone else's code may raise all
            rejected[way] = in_a_line(error)
        else:
            return asked, followed, rejected
    why = "; ".join(f"{way}: {reason}" for way, reason in rejected.items())
    raise ModuleError(f"{asked.kind} cannot be fused: {why}")


def _corner(example: Inputs) -> Inputs:
    """Of one image or volume so much that float64 does not take minutes on a CPU."""
    side = CORNER.get(example[0].ndim) if len(example) == 1 else None
    if side is None or max(example[0].shape[2:]) <= side:
        return example
    (x,) = example
    sides: Any = (..., *[slice(side)] * (x.ndim - 2))
    return (x[sides].clone(),)
