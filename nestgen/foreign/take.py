"""Someone else's weights in a network of our own, or the names that do not fit."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Container, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from nestgen.arch.spec import NestSpec, merge
from nestgen.codegen.load import build
from nestgen.foreign.describe import describe
from nestgen.foreign.weights import Weights, read_weights

SHOWN = 3
_EXACT = {torch.float32, torch.float16, torch.bfloat16}
"""A half becomes float32 without loss."""


def import_weights(
    path: str | os.PathLike[str], layout: str, **fields: Any
) -> nn.Module:
    """The network whose weights are in `path`, in eval mode, with its `.spec`.

    The spec is read off the tensors; `fields` are what they cannot tell, where it is
    not what the layout assumes: `block={"norm": "group"}`, say. `heads` may be fewer
    than there are. Nothing is executed. Raises `CheckpointError` for a file that cannot
    be read as data, `WeightsError` for tensors that do not fit, `SpecError` for fields.

    >>> import pathlib, tempfile
    >>> from nestgen.foreign.layouts import find_layout
    >>> spec = NestSpec(depth=1, widths=2, up="bilinear-aligned", concat="up-last")
    >>> theirs = {
    ...     find_layout("4uiiurz1").theirs(name, 1): tensor
    ...     for name, tensor in build(spec).state_dict().items()
    ... }
    >>> file = pathlib.Path(tempfile.mkdtemp()) / "weights.pth"
    >>> torch.save(theirs, file)
    >>> import_weights(file, "4uiiurz1").spec == spec
    True
    """
    weights = read_weights(path, layout)
    return take(weights, NestSpec(**merge(describe(weights).fields, fields)))


def take(weights: Weights, spec: NestSpec) -> nn.Module:
    """The network of `spec`, in eval mode, with the `weights`.

    Heads that the spec has not are left out. What a norm without parameters has not,
    is filled in with what changes nothing. Raises `WeightsError` that names the first
    tensors that are missing, unknown or of another shape.
    """
    tensors, layout = weights.tensors, weights.layout
    with torch.device("meta"):
        model = build(spec)
    expected = model.state_dict()
    ours = {name: layout.ours(name, spec.depth) or "" for name in tensors}
    given = {ours[name]: tensors[name] for name in tensors if ours[name] in expected}
    whole = {**_neutral(expected, given), **given}
    lacking = [name for name in expected if name not in whole]
    problems = [
        *_listed("missing", [layout.theirs(name, spec.depth) for name in lacking]),
        *_listed("unknown", [*_unknown(ours, expected, spec.depth)]),
        *_listed("twice", [*_twice(ours)]),
        *_listed("of another shape or type", [*_misfits(tensors, ours, expected)]),
    ]
    if problems:
        raise weights.unlike("; ".join(problems))
    ready = {name: whole[name].to(wanted.dtype) for name, wanted in expected.items()}
    model.load_state_dict(ready, strict=True, assign=True)
    return model.eval()


def _neutral(
    expected: Mapping[str, Tensor], given: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """What changes nothing, for what older or plainer networks of others have not.

    That is the number of batches that a norm has seen, and the scale and the shift of
    norms if none of them learns any.
    """
    plain = not any(".norm" in name for name in given)
    return {
        name: torch.full(wanted.shape, int(name.endswith("weight")), dtype=wanted.dtype)
        for name, wanted in expected.items()
        if name.endswith("num_batches_tracked")
        or (plain and ".norm" in name and name.endswith(("weight", "bias")))
    }


def _unknown(
    ours: Mapping[str, str], expected: Container[str], depth: int
) -> Iterator[str]:
    """Names that stand for nothing; heads may be left out."""
    heads = [f"head_L{level}" for level in range(1, depth + 1)]
    for name, our in ours.items():
        if our not in expected and our.rpartition(".")[0] not in heads:
            yield name


def _twice(ours: Mapping[str, str]) -> Iterator[str]:
    """Names that stand for the same tensor as others."""
    times = Counter(ours.values())
    return (name for name, our in ours.items() if our and times[our] > 1)


def _misfits(
    tensors: Mapping[str, Tensor],
    ours: Mapping[str, str],
    expected: Mapping[str, Tensor],
) -> Iterator[str]:
    for name, tensor in tensors.items():
        wanted = expected.get(ours[name], tensor)
        same = wanted.dtype == tensor.dtype or {wanted.dtype, tensor.dtype} <= _EXACT
        if wanted.shape != tensor.shape or not same:
            yield (
                f"{name} ({tensor.dtype} {list(tensor.shape)}, not {wanted.dtype} "
                f"{list(wanted.shape)})"
            )


def _listed(what: str, names: Sequence[str]) -> list[str]:
    """The first of the names and how many more there are; nothing where all is well.

    >>> _listed("missing", ["a", "b", "c", "d"])
    ['missing a, b, c and 1 more']
    """
    first = ", ".join(ascii(name)[1:-1][:120] for name in names[:SHOWN])
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return [f"{what} {first}{more}"] if names else []
