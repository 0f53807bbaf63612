"""Drawings of a nested U-Net: the triangle of the paper. No torch."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol

from nestgen.arch.graph import NestGraph
from nestgen.arch.spec import NestSpec
from nestgen.drawing.dot import dot_text
from nestgen.drawing.engines import PICTURES, render
from nestgen.errors import DrawingError
from nestgen.files import write_whole

__all__ = ["dot_text", "draw"]

_TEXTS = ("gv", "dot")


class HasSpec(Protocol):
    """What `nestgen.build` returns, among others."""

    @property
    def spec(self) -> NestSpec:
        """The network's description."""


def draw(
    thing: NestSpec | NestGraph | HasSpec,
    path: str | os.PathLike[str],
    *,
    level: int | None = None,
    channels: bool = False,
    size: tuple[int, ...] | None = None,
    legend: bool = True,
    title: str | None = None,
) -> None:
    """Draw a network, as in figure 1 of Zhou et al. (2018), into the file `path`.

    The name says the format: .svg, .png (200 dpi), .pdf, or .gv and .dot for the
    text from which Graphviz draws it.

    Args:
        thing: a spec, a graph, or a model that has a spec.
        path: where to; a file that is there is replaced.
        level: grey what a cut at this level drops.
        channels: write each node's number of channels into it.
        size: (H, W) of the input in pixels; writes each row's beside it.
        legend: explain the nodes and edges that occur.
        title: in place of the spec's own; "" for none.

    Raises `DrawingError` for another format, a level without a head, a size that
    cannot be halved often enough, and where the engine is missing or fails.

    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "net.svg"
    >>> draw(NestSpec(depth=2), file, level=1)
    >>> "cut at L1" in file.read_text()
    True
    """
    kind = Path(path).suffix.removeprefix(".").lower()
    if kind not in (*PICTURES, *_TEXTS):
        allowed = ", ".join(f".{name}" for name in (*PICTURES, *_TEXTS))
        raise DrawingError(
            f"{path}: cannot be drawn, a name that ends in {allowed} can"
        )
    text = dot_text(
        _graph(thing),
        level=level,
        channels=channels,
        size=size,
        legend=legend,
        title=title,
    )
    write_whole(path, text if kind in _TEXTS else render(text, kind))


def _graph(thing: object) -> NestGraph:
    if isinstance(thing, NestGraph):
        return thing
    spec = thing if isinstance(thing, NestSpec) else getattr(thing, "spec", None)
    if isinstance(spec, NestSpec):
        return NestGraph(spec)
    kind = type(thing).__name__
    raise DrawingError(f"{kind}: cannot be drawn, a NestSpec, NestGraph or model can")
