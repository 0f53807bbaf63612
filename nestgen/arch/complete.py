"""The fields of a spec in their one form, with the defaults that follow from others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nestgen.arch.choices import LEARNED_UPS, LINEAR, MAX_DEPTH
from nestgen.arch.encoders import encoder, misfit
from nestgen.arch.families import FAMILIES, REGISTERED, inputs_by_rule
from nestgen.arch.grid import Node
from nestgen.arch.rows import normal
from nestgen.errors import SpecError


def complete(fields: Mapping[str, Any]) -> dict[str, Any]:
    """`fields` in their one form; what is unsound is left for the checks to name."""
    whole = {name: _tuples(value) for name, value in fields.items()}
    if isinstance(whole.get("node_widths"), Mapping):
        whole["node_widths"] = tuple(whole["node_widths"].items())
    depth = whole.get("depth", 4)
    if type(depth) is not int or not 1 <= depth <= MAX_DEPTH:
        return whole
    _list_edges(whole, depth)
    family = FAMILIES.get(_text(whole.get("family", "unet++")))
    if family is None:
        return whole
    base = whole.get("widths", 16)
    if type(base) is int:
        whole["widths"] = tuple(base * 2**i for i in range(depth + 1))
    for name, rows in (("strides", depth), ("kernel_sizes", depth + 1)):
        if name in whole:
            whole[name] = normal(whole[name], rows)
    whole.setdefault("heads", _usual_heads(whole, depth, family.single))
    whole.setdefault("trim", family.single)
    if family.full_scale:
        dims = whole.get("dims", 2)
        whole.setdefault("up", LINEAR[dims] if dims in (1, 2, 3) else "nearest")
    _ask_the_encoder(whole, depth)
    _leave_out_the_usual(whole)
    return whole


def _usual_heads(whole: Mapping[str, Any], depth: int, single: bool) -> tuple[int, ...]:
    """All levels; of listed edges those that they lead to; of one network its own."""
    edges = whole.get("edges")
    if isinstance(edges, tuple):
        ends = {str(edge[-1]) for edge in edges if isinstance(edge, tuple) and edge}
        levels = tuple(k for k in range(1, MAX_DEPTH + 1) if f"x0_{k}" in ends)
        if levels:
            return levels
    return (depth,) if single else tuple(range(1, depth + 1))


def _list_edges(whole: dict[str, Any], depth: int) -> None:
    """A registered family is its edges: files say them to those who lack the rule."""
    family = _text(whole.get("family"))
    if family in REGISTERED:
        inputs = inputs_by_rule(REGISTERED[family], depth)
        whole["family"] = "custom"
        whole["edges"] = tuple(
            (source.name, node.name)
            for node, sources in inputs.items()
            for source in sources
        )


def _ask_the_encoder(whole: dict[str, Any], depth: int) -> None:
    """What the encoder decides is filled in, so that it need not be asked again."""
    name, exceptions = whole.get("encoder"), whole.get("node_widths", ())
    dims, widths = whole.get("dims", 2), whole["widths"]
    sound = isinstance(widths, tuple) and len(widths) == depth + 1
    if whole.get("encoder_row") is not None or not isinstance(name, str) or not sound:
        return
    if not (isinstance(exceptions, tuple) and all(map(_is_exception, exceptions))):
        return
    try:
        found = encoder(name)
    except SpecError:
        return
    asked = {
        "strides": normal(found.strides[:depth], depth),
        **whole,
        "node_widths": tuple({**found.names(depth), **dict(exceptions)}.items()),
        "encoder_row": found.first,
    }
    if misfit(name, {**asked, "depth": depth, "dims": dims}) is None:
        whole.update(asked)


def _leave_out_the_usual(whole: dict[str, Any]) -> None:
    """Exceptions that are none are not kept: equal networks have equal specs."""
    widths, exceptions = whole["widths"], whole.get("node_widths")
    if not isinstance(widths, tuple):
        return
    if isinstance(exceptions, tuple) and all(map(_is_exception, exceptions)):
        by_row = {
            name: width
            for name, width in exceptions
            if (node := Node.named(name)).i >= len(widths)
            or widths[node.i] != width
            or (sum(node) >= len(widths) and whole.get("edges") is None)
        }
        if len(dict(exceptions)) == len(exceptions):
            whole["node_widths"] = tuple(sorted(by_row.items()))
    learned = whole.get("up", "transpose") in LEARNED_UPS
    if learned and whole.get("up_widths") == widths[:-1]:
        whole["up_widths"] = None


def _is_exception(item: object) -> bool:
    if not (isinstance(item, tuple) and len(item) == 2 and isinstance(item[0], str)):
        return False
    try:
        return sum(Node.named(item[0])) <= 2 * MAX_DEPTH
    except ValueError:
        return False


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _tuples(value: Any, deep: int = 3) -> Any:
    """Lists as tuples, as deep as a field goes."""
    if isinstance(value, (list, tuple)) and deep:
        return tuple(_tuples(item, deep - 1) for item in value)
    return value
