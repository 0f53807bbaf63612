"""The cut of any network: of ours at a level, of others to what is named of theirs."""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor, nn

from nestgen.errors import CutError
from nestgen.lifting.lift import named_outputs
from nestgen.surgery.cut import prune as cut_levels
from nestgen.surgery.cut_any import cut_any
from nestgen.surgery.kept import names_of


def prune(
    model: nn.Module,
    level: int | Iterable[int] | None = None,
    *,
    keep: int | str | Iterable[int | str] | None = None,
    example: Tensor | tuple[Tensor, ...] | None = None,
) -> nn.Module:
    """The network that is left of `model` when only a part of what it gives is kept.

    Of a network that nestgen built, `level` says what, one or several, as
    `nestgen.surgery.cut.prune` tells. Of any other module, `keep` names outputs, also
    "L2" where `lift` finds that level, and `example` is what it takes, a tensor or
    several; what is left is in eval mode (see `cut_any`) and gives a tensor, or a dict
    of several by their names. `model` stays as it is.

    Raises `CutError` for a level that the model does not have, `SpecError` for a level
    of a model that nestgen did not build, `ModuleError` where a module cannot be cut.

    >>> import torch
    >>> x = torch.ones(1, 3, 8, 8)
    >>> two = nn.Sequential(nn.MaxPool2d(2), nn.MaxPool2d(2))
    >>> list(prune(two, keep="0", example=x)(x).shape)
    [1, 3, 2, 2]
    """
    if level is not None and keep is None and example is None:
        return cut_levels(model, level)
    if level is not None or keep is None or example is None:
        raise CutError("prune takes a level of a network of ours, or keep and example")
    names = names_of(keep)
    if isinstance(example, Tensor):
        names = named_outputs(model, example, names)
    return cut_any(model, names, example).module
