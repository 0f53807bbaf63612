"""The families: from which nodes X[i,j] takes its inputs.

A family is one rule. To add one, add a row to `FAMILIES`, its name to `FamilyName`,
and a golden file; or hand a rule of your own to `register`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from nestgen.arch.grid import Node, triangle
from nestgen.errors import SpecError

FamilyName = Literal["unet", "unet-e", "unet+", "unet++", "unet3+", "custom"]

Rule = Callable[[int, Node], Sequence[tuple[int, int]] | None]
"""(depth, node) -> the nodes that feed it, in order, the up-sampled one before the
skips; None where the family has no such node."""

Inputs = dict[Node, tuple[Node, ...]]
"""Each node of a network, and the nodes that feed it."""


@dataclass(frozen=True)
class Family:
    """One family of nested U-Nets.

    Attributes:
        title: the name as the papers write it.
        class_name: the name of the generated class.
        stem: how its files are called.
        rule: which nodes there are, and what feeds them.
        single: one network rather than a nest: the last head and what it needs.
        full_scale: edges may span rows, each with a convolution of its own, and
            level k has its head on X[d-k,k] rather than on X[0,k].
    """

    title: str
    class_name: str
    stem: str
    rule: Rule
    single: bool = False
    full_scale: bool = False


def nest(skips: Callable[[int], Sequence[int]]) -> Rule:
    """The rule of a nest: X[i,j] takes X[i+1,j-1] and of its row columns `skips(j)`.

    >>> [node.name for node in nest(lambda j: [0])(4, Node(1, 2))]
    ['x2_1', 'x1_0']
    """

    def rule(depth: int, node: Node) -> list[Node]:
        i, j = node
        if j == 0:
            return [Node(i - 1, 0)] if i else []
        return [Node(i + 1, j - 1), *(Node(i, k) for k in skips(j))]

    return rule


def long(j: int) -> tuple[int, ...]:
    """The encoder alone, as in a U-Net.

    >>> long(3)
    (0,)
    """
    return (0,)


def short(j: int) -> tuple[int, ...]:
    """The neighbour to the left alone, as in deep layer aggregation.

    >>> short(3)
    (2,)
    """
    return (j - 1,)


def dense(j: int) -> tuple[int, ...]:
    """Everything to the left (UNet++, eq. 1).

    >>> dense(3)
    (0, 1, 2)
    """
    return tuple(range(j))


def full_scale(depth: int, node: Node) -> list[Node] | None:
    """UNet 3+ (Huang et al., 2020, eq. 1).

    The decoder's node of row i, here X[i,d-i], takes the encoder of its own and all
    finer rows, and the decoder of all coarser ones.

    >>> [node.name for node in full_scale(3, Node(1, 2))]
    ['x0_0', 'x1_0', 'x2_1', 'x3_0']
    """
    i, j = node
    if j == 0:
        return [Node(i - 1, 0)] if i else []
    if i + j != depth:
        return None
    return [
        *(Node(k, 0) for k in range(i + 1)),
        *(Node(k, depth - k) for k in range(i + 1, depth + 1)),
    ]


def _listed(depth: int, node: Node) -> None:
    """A custom network has the edges that its spec lists, and no rule."""
    return None


FAMILIES: dict[str, Family] = {
    "unet": Family("U-Net", "UNet", "unet", nest(long), single=True),
    "unet-e": Family("U-Net^e", "UNetE", "unete", nest(long)),
    "unet+": Family("UNet+", "UNetPlus", "unetp", nest(short)),
    "unet++": Family("UNet++", "UNetPlusPlus", "unetpp", nest(dense)),
    "unet3+": Family("UNet 3+", "UNet3Plus", "unet3p", full_scale, full_scale=True),
    "custom": Family("Nested U-Net", "NestedUNet", "custom", _listed),
}

REGISTERED: dict[str, Rule] = {}


def register(name: str, rule: Rule) -> None:
    """Make `rule` known as the family `name`, for this process.

    `rule(depth, node)` gives the nodes (i, j) that feed X[i,j], in the order in which
    they are concatenated, and None where there is no such node. A spec of that family
    lists the edges that the rule gives and is then one of the family `custom`, so that
    its files can be read where the rule is not known.

    Raises `SpecError` for a name that is taken or is none.

    >>> from nestgen.arch.spec import NestSpec
    >>> register("two-skips", nest(lambda j: range(max(0, j - 2), j)))
    >>> spec = NestSpec(family="two-skips", depth=3)
    >>> spec.family, ("x0_0", "x0_3") in spec.edges, ("x0_1", "x0_3") in spec.edges
    ('custom', False, True)
    """
    if name in FAMILIES or not re.fullmatch(r"[a-z][a-z0-9+^-]{0,30}", name):
        raise SpecError(
            f"family: {name!a} is not allowed, a free name of small letters, digits, "
            "+, ^ and -"
        )
    REGISTERED[name] = rule


def inputs_by_rule(rule: Rule, depth: int) -> Inputs:
    """The nodes that `rule` gives a network of `depth`, and what feeds each."""
    given = {node: rule(depth, node) for node in triangle(depth)}
    return {
        node: tuple(Node(*source) for source in sources)
        for node, sources in given.items()
        if sources is not None
    }


def inputs_by_edges(edges: Iterable[tuple[str, str]]) -> Inputs:
    """The nodes that edges name, and what feeds each, in the order of the edges.

    >>> inputs_by_edges([("x0_0", "x1_0")])
    {Node(i=0, j=0): (), Node(i=1, j=0): (Node(i=0, j=0),)}
    """
    found: dict[Node, tuple[Node, ...]] = {Node(0, 0): ()}
    for source, target in edges:
        node = Node.named(target)
        found[node] = (*found.get(node, ()), Node.named(source))
    return found


def head_of(family: Family, depth: int, level: int) -> Node:
    """The node on which the head of `level` stands."""
    return Node(depth - level, level) if family.full_scale else Node(0, level)
