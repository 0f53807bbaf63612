"""Which nodes a network has and what feeds them, from the fields of its spec."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from nestgen.arch.families import (
    FAMILIES,
    Inputs,
    head_of,
    inputs_by_edges,
    inputs_by_rule,
)
from nestgen.arch.grid import Node


def inputs_of(fields: Mapping[str, Any]) -> Inputs:
    """The nodes and their inputs in the order of the concatenation, trimmed if asked.

    `fields` are those of a sound spec.
    """
    family, depth = fields["family"], fields["depth"]
    if fields.get("edges") is not None:
        found = inputs_by_edges(fields["edges"])
    else:
        rule = FAMILIES[family].rule
        found = {
            node: _ordered(node, sources, fields["concat"])
            for node, sources in inputs_by_rule(rule, depth).items()
        }
    if fields.get("encoder_row"):
        # where an encoder begins below row 0, its first stage reads the image
        found[Node(fields["encoder_row"], 0)] = ()
    if fields["trim"]:
        needed = ancestors(found, head_nodes(family, depth, fields["heads"]).values())
        found = {node: sources for node, sources in found.items() if node in needed}
    return found


def head_nodes(family: str, depth: int, levels: Iterable[int]) -> dict[int, Node]:
    """The node on which the head of each level stands.

    >>> head_nodes("unet3+", 4, [2])
    {2: Node(i=2, j=2)}
    """
    return {level: head_of(FAMILIES[family], depth, level) for level in levels}


def ancestors(inputs: Inputs, nodes: Iterable[Node]) -> set[Node]:
    """`nodes` and all that they depend on."""
    found: set[Node] = set()
    waiting = list(nodes)
    while waiting:
        node = waiting.pop()
        if node not in found:
            found.add(node)
            waiting += inputs.get(node, ())
    return found


def _ordered(node: Node, sources: tuple[Node, ...], concat: str) -> tuple[Node, ...]:
    """The rule's order, what comes up first and then the skips from the oldest, or
    another."""
    up = tuple(source for source in sources if source.i > node.i)
    rest = tuple(source for source in sources if source.i <= node.i)
    return {
        "up-first": sources,
        "up-last": rest + up,
        "up-first-newest": up + rest[::-1],
    }[concat]
