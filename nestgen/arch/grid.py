"""The places of the grid, X[i,j], and what leads from one to another."""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

EdgeKind = Literal["down", "up", "skip"]


class Node(NamedTuple):
    """X[i,j]: row i is the i-th resolution, column j counts along the skip pathway."""

    i: int
    j: int

    @property
    def name(self) -> str:
        """How code and state dicts call it.

        >>> Node(0, 3).name
        'x0_3'
        """
        return f"x{self.i}_{self.j}"

    @property
    def label(self) -> str:
        """How the paper writes it.

        >>> Node(0, 3).label
        'X[0,3]'
        """
        return f"X[{self.i},{self.j}]"

    @classmethod
    def named(cls, name: str) -> Node:
        """The node of a name; `ValueError` for what is no node's name.

        >>> Node.named("x2_0")
        Node(i=2, j=0)
        """
        found = re.fullmatch(r"x(0|[1-9]\d?)_(0|[1-9]\d?)", name)
        if found is None:
            raise ValueError(f"{name!a} is no node; x0_1 is one")
        return cls(int(found[1]), int(found[2]))


class Edge(NamedTuple):
    """`source` feeds `target`."""

    source: Node
    target: Node

    @property
    def kind(self) -> EdgeKind:
        """`down` pools into a deeper row, `up` up-samples, `skip` is as it is.

        >>> Edge(Node(1, 0), Node(0, 1)).kind
        'up'
        """
        if self.source.i == self.target.i:
            return "skip"
        return "down" if self.source.i < self.target.i else "up"


def triangle(depth: int) -> list[Node]:
    """All X[i,j] with i+j <= depth, by anti-diagonals, each from below.

    >>> [node.name for node in triangle(1)]
    ['x0_0', 'x1_0', 'x0_1']
    """
    return [
        Node(diagonal - j, j)
        for diagonal in range(depth + 1)
        for j in range(diagonal + 1)
    ]
