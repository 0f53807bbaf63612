"""act(conv3x3(cat(s, up2x(l)))), its 2x2 maxima and its head: one launch for all."""

from __future__ import annotations

import operator

from torch import Tensor, fx

from nestgen.fusion.choice import Choice
from nestgen.fusion.hot_conv import HotConv
from nestgen.fusion.lowered import example_call, images, lowered
from nestgen.fusion.match import HotPath, match
from nestgen.fusion.operations import Convolution, Pool
from nestgen.fusion.work import Work
from nestgen.fusion.writes import rewritten
from nestgen.kernels.call import Output
from nestgen.kernels.fused_conv import IMPLEMENTATIONS

Readers = dict[Output, fx.Node]


def launch(work: Work) -> None:
    """Every hot path for which a kernel was chosen becomes one call of it.

    What is pooled from its result, or convolved 1x1 as a head, comes out of the same
    call; where nothing else reads it, the result itself is not written.
    """
    for path in match(work):
        choice = work.choices.get(path.node, Choice())
        if choice.impl != "torch":
            _launch(work, path, choice)


def _launch(work: Work, path: HotPath, choice: Choice) -> None:
    found = readers(work, path)
    row = work.rows[path.node]
    for taken in (found, {}):
        outputs, head = outputs_of(path, taken), head_of(work, taken)
        call = example_call(work, path, choice.form, outputs, head)
        reason = IMPLEMENTATIONS[choice.impl].why_not(call)
        if reason is None:
            break
    else:
        row.leave(f"{choice.impl}: {reason}")
        return
    made = lowered(path, choice.form)
    module = HotConv(made, path.slope, choice, outputs, head)
    inputs = images(path, choice.form)
    node = work.put(module, row.name, inputs, at=path.last)
    row.done.append(", ".join([str(choice), *(o for o in outputs if o != "features")]))
    if choice.form != "raised":
        work.inside(path.raised, row)
    for n, output in enumerate(outputs):
        old = path.last if output == "features" else taken[output]
        work.inside(old, row)
        work.replace(old, work.call(operator.getitem, (node, n), at=old))


def readers(work: Work, path: HotPath) -> Readers:
    """The nodes that pool the result, and that make logits of it: one of each."""
    found: Readers = {}
    for reader in path.last.users:
        operation = work.read(reader)
        if rewritten(work, path.last, before=reader):
            continue
        if isinstance(operation, Pool):
            found.setdefault("pooled", reader)
        elif isinstance(operation, Convolution) and _is_head(operation):
            found.setdefault("logits", reader)
    return found


def _is_head(convolution: Convolution) -> bool:
    return convolution.is_plain and set(convolution.kernel) == {1}


def outputs_of(path: HotPath, taken: Readers) -> tuple[Output, ...]:
    """What a launch gives for these readers, and for the others."""
    others = len(path.last.users) > len(taken)
    names: tuple[Output, ...] = ("pooled", "logits")
    rest = tuple(name for name in names if name in taken)
    return ("features", *rest) if others or not rest else rest


def head_of(work: Work, taken: Readers) -> tuple[Tensor | None, Tensor | None]:
    """The weight and the bias of the head among these readers, if one is."""
    found = work.read(taken.get("logits"))
    if not isinstance(found, Convolution):
        return None, None
    return found.weight, found.bias
