"""The fields of a spec, read off the shapes of tensors, or assumed by their layout."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from nestgen.arch.choices import LINEAR
from nestgen.arch.grid import Node, triangle
from nestgen.arch.spec import merge
from nestgen.foreign.layout import Layout
from nestgen.foreign.weights import Weights

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Description:
    """What a network is.

    Attributes:
        read: fields that the tensors tell.
        assumed: fields that they do not, as the layout has them.
    """

    read: dict[str, Any]
    assumed: dict[str, Any]

    @property
    def fields(self) -> dict[str, Any]:
        """All of them, as a spec takes them."""
        return merge(self.assumed, self.read)


class Shapes(dict[str, Shape]):
    """The shapes of tensors by our names; one that is missing is named by theirs."""

    def __init__(self, weights: Weights) -> None:
        self.weights = weights
        self.depth = _depth(weights)
        super().__init__(
            (ours, tuple(tensor.shape))
            for name, tensor in weights.tensors.items()
            if (ours := weights.layout.ours(name, self.depth))
        )

    def has(self, ending: str) -> bool:
        """Whether a node has a tensor whose name ends so."""
        return any(name.endswith(f".{ending}") for name in self)

    def of(self, module: str) -> Shape:
        """The shape of a convolution's weight."""
        name = f"{module}.weight"
        theirs = self.weights.layout.theirs(name, self.depth)
        if name not in self:
            raise self.weights.unlike(f"missing {theirs}")
        if len(self[name]) not in (3, 4, 5):
            raise self.weights.unlike(f"{theirs} is {list(self[name])}")
        return self[name]


def describe(weights: Weights) -> Description:
    """What network the `weights` are of.

    Raises `WeightsError` where a tensor that tells it is missing.
    """
    shapes, layout = Shapes(weights), weights.layout
    first, depth = shapes.of("x0_0.conv1"), shapes.depth
    unet = "x0_1.conv1.weight" not in shapes and depth > 1
    heads = [k for k in range(1, depth + 1) if f"head_L{k}.weight" in shapes]
    encoder = [shapes.of(f"x{i}_0.conv1") for i in range(depth + 1)]
    read: dict[str, Any] = {
        "family": "unet" if unet else "unet++",
        "depth": depth,
        "dims": len(first) - 2,
        "widths": [shape[0] for shape in encoder],
        "node_widths": dict(_node_widths(shapes, unet)),
        "kernel_sizes": [list(shape[2:]) for shape in encoder],
        "in_channels": first[1],
        "classes": shapes.of(f"head_L{heads[-1] if heads else depth}")[0],
        "heads": heads,
        "block": {"bias": shapes.has("conv1.bias")},
    }
    assumed: dict[str, Any] = {**layout.assumed, "block": {**layout.assumed["block"]}}
    norm, told = _norm(shapes, layout)
    (read if told else assumed)["block"]["norm"] = norm
    up, told = _up(shapes, layout)
    (read if told else assumed)["up"] = up
    return Description({**read, **_up_widths(shapes, unet, up)}, assumed)


def _depth(weights: Weights) -> int:
    ours = [weights.layout.ours(name, 0) or "" for name in weights.tensors]
    rows = [int(name[1:].split("_")[0]) for name in ours if name.startswith("x")]
    return max(rows, default=0)


def _node_widths(shapes: Shapes, unet: bool) -> Iterator[tuple[str, int]]:
    for node in triangle(shapes.depth):
        there = node.j == 0 or not unet or sum(node) == shapes.depth
        if there and f"{node.name}.conv1.weight" in shapes:
            yield node.name, shapes.of(f"{node.name}.conv1")[0]


def _norm(shapes: Shapes, layout: Layout) -> tuple[str, bool]:
    """The norm, and whether the tensors tell."""
    if shapes.has("norm1.running_mean"):
        return "batch", True
    return (layout.norm if shapes.has("norm1.weight") else "none"), False


def _up(shapes: Shapes, layout: Layout) -> tuple[str, bool]:
    """How a node's input is up-sampled, and whether the tensors tell."""
    if not any(name.startswith("up") for name in shapes):
        return f"{LINEAR[len(shapes.of('x0_0.conv1')) - 2]}-aligned", False
    shuffled = shapes.has("conv.weight")
    return (layout.shuffle, False) if shuffled else ("transpose", True)


def _up_widths(shapes: Shapes, unet: bool, up: str) -> dict[str, Any]:
    """What comes up into each row, where any learned module decides it."""
    if not any(name.startswith(("up", "narrow")) for name in shapes):
        return {}
    depth = shapes.depth
    targets = [Node(i, depth - i if unet else 1) for i in range(depth)]
    return {"up_widths": [_arriving(shapes, node, up) for node in targets]}


def _arriving(shapes: Shapes, node: Node, up: str) -> int:
    at = f"{node.i}_{node.j}"
    if up == "transpose":
        return shapes.of(f"up{at}")[1]
    if up.startswith("pixel-shuffle"):
        channels, _, *kernel = shapes.of(f"up{at}.conv")
        return channels // (1 << len(kernel))
    source = Node(node.i + 1, node.j - 1).name
    narrowed = f"narrow{at}.weight" in shapes
    return shapes.of(f"narrow{at}" if narrowed else f"{source}.conv1")[0]
