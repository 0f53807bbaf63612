"""The cut: a smaller network of its own, with the tensors that it keeps."""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn

from nestgen.codegen.load import blank, spec_of
from nestgen.errors import CutError


def prune(model: nn.Module, level: int | Iterable[int]) -> nn.Module:
    """The network that is left of `model` when only `level`, or several, are kept.

    It is generated from the cut spec and has clones of the model's own tensors, by
    name, with their dtypes, devices and `requires_grad`, and the training flags of
    the model's modules. At one level it returns logits [N, classes, H, W], at several
    a dict of them. On inputs of sizes that the model does not pad (multiples of
    `NestGraph.multiples`, with instance norm two of them or more), these are the
    model's own, bit for bit; on others the smaller network pads less, and its
    logits differ near the padding. `model` stays as it is.

    Raises `CutError` for a level that the model does not have, `SpecError` for a model
    that nestgen did not build.

    >>> import torch
    >>> from nestgen.arch.spec import NestSpec
    >>> from nestgen.codegen.load import build
    >>> whole = build(NestSpec(depth=3, widths=2)).eval()
    >>> x = torch.ones(1, 3, 8, 8)
    >>> torch.equal(prune(whole, 2)(x), whole(x)["L2"])
    True
    """
    small = blank(spec_of(model).cut(_levels(level)))
    _give_tensors(model, small)
    modules = dict(model.named_modules())
    for name, module in small.named_modules():
        # what pools has another name where the rows that are left are alike
        module.training = modules.get(name, model).training
    return small


def _levels(level: int | Iterable[int]) -> list[int]:
    if type(level) is int:
        return [level]
    several = isinstance(level, Iterable) and not isinstance(level, (str, bytes))
    levels = list(level) if several else []  # type: ignore[arg-type]
    if not levels or any(type(item) is not int for item in levels):
        raise CutError(f"level: {level!a} is not allowed, an integer or several")
    return levels


def _give_tensors(model: nn.Module, small: nn.Module) -> None:
    """Put clones of the tensors of `model` into `small`, which has none of its own."""
    own = model.state_dict(keep_vars=True)
    for name, wanted in small.state_dict().items():
        if name not in own or own[name].shape != wanted.shape:
            raise CutError(f"the model is not what its spec says: {name} does not fit")
    kept = {name: own[name].detach().clone() for name in small.state_dict()}
    small.load_state_dict(kept, strict=True, assign=True)
    for name, parameter in small.named_parameters():
        parameter.requires_grad_(own[name].requires_grad)
