"""Drawings of a nested U-Net: the triangle of the paper. No torch."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Protocol, TypeAlias

from nestgen.arch.choices import MeasureName
from nestgen.arch.graph import NestGraph
from nestgen.arch.spec import NestSpec
from nestgen.drawing.alt import sentences
from nestgen.drawing.blocks import Blocks, blocks_figure
from nestgen.drawing.dot import dot_text
from nestgen.drawing.engines import render
from nestgen.drawing.figure import Figure, figure
from nestgen.drawing.mermaid import mermaid_text
from nestgen.drawing.options import Options
from nestgen.drawing.svg import told
from nestgen.drawing.tikz import tikz_text
from nestgen.errors import DrawingError
from nestgen.files import write_whole

__all__ = ["alt_text", "draw"]


class HasSpec(Protocol):
    """What `nestgen.build` returns, among others."""

    @property
    def spec(self) -> NestSpec:
        """The network's description."""


Thing: TypeAlias = "NestSpec | NestGraph | Blocks | HasSpec"

_FORMATS: dict[str, Callable[[Figure], str | bytes]] = {
    "svg": lambda drawn: told(render(dot_text(drawn), "svg").decode(), drawn),
    "png": lambda drawn: render(dot_text(drawn), "png"),
    "pdf": lambda drawn: render(dot_text(drawn), "pdf"),
    "tex": tikz_text,
    "gv": dot_text,
    "dot": dot_text,
    "mmd": mermaid_text,
}


def draw(
    thing: Thing | Sequence[Thing],
    path: str | os.PathLike[str],
    *,
    level: int | None = None,
    channels: bool = False,
    size: tuple[int, ...] | None = None,
    gradients: Iterable[int] | None = None,
    area: MeasureName | None = None,
    heat: MeasureName | None = None,
    legend: bool = True,
    title: str | None = None,
) -> None:
    """Draw a network, as in figure 1 of Zhou et al. (2018), into the file `path`.

    The name says the format: .svg, .png (200 dpi), .pdf, .tex for a paper (TikZ), .mmd
    for a README (Mermaid), or .gv and .dot for the text from which Graphviz draws it.

    Args:
        thing: a spec, a graph, or a model that has a spec; several in a list are
            drawn side by side. `Blocks` are any network, drawn by resolution, with no
            option but a title.
        path: where to; a file that is there is replaced.
        level: grey what a cut at this level drops.
        channels: write each node's number of channels into it.
        size: of the input in pixels, one side for each axis or one for all; writes
            each row's beside it.
        gradients: the levels with a loss; shows the way of their gradients back to
            the encoder, the heads that reach each node, and what none reaches.
        area: "parameters", "macs" or "activations", in proportion to which each node
            has its area.
        heat: the same as a colour, from pale to dark.
        legend: explain the nodes and edges that occur.
        title: in place of the spec's own; "" for none.

    Raises `DrawingError` for another format, a level without a head, a size that the
    network does not take, options that exclude each other, what a format cannot show,
    and where the engine is missing or fails.

    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "net.svg"
    >>> draw(NestSpec(depth=2), file, level=1)
    >>> "cut at L1" in file.read_text()
    True
    """
    kind = Path(path).suffix.removeprefix(".").lower()
    if kind not in _FORMATS:
        allowed = ", ".join(f".{name}" for name in _FORMATS)
        raise DrawingError(
            f"{path}: cannot be drawn, a name that ends in {allowed} can"
        )
    options = Options(
        level=level,
        channels=channels,
        size=size,
        gradients=gradients,
        area=area,
        heat=heat,
        legend=legend,
        title=title,
    )
    write_whole(path, _FORMATS[kind](_figure(thing, options, kind)))


def alt_text(
    thing: Thing | Sequence[Thing],
    *,
    level: int | None = None,
    gradients: Iterable[int] | None = None,
    area: MeasureName | None = None,
    heat: MeasureName | None = None,
) -> str:
    """What `draw` shows with the same options, in a sentence or two.

    >>> alt_text(NestSpec(depth=1)).partition(", with")[0]
    'UNet++ of depth 1: 3 nodes in 2 rows'
    """
    options = Options(level=level, gradients=gradients, area=area, heat=heat)
    if isinstance(thing, Blocks):
        return thing.alt
    return sentences(_graphs(thing), options)


def _figure(thing: object, options: Options, kind: str) -> Figure:
    if not isinstance(thing, Blocks):
        return figure(_graphs(thing), options)
    plain = Options(legend=options.legend, title=options.title)
    if options != plain or kind == "mmd":
        raise DrawingError(
            f"{thing.title}: is no nested U-Net, so drawn without levels, measures and "
            "sizes, and not as .mmd"
        )
    return blocks_figure(thing, options.title)


def _graphs(things: object) -> list[NestGraph]:
    several = things if isinstance(things, (list, tuple)) else [things]
    return [_graph(thing) for thing in several]


def _graph(thing: object) -> NestGraph:
    if isinstance(thing, NestGraph):
        return thing
    spec = thing if isinstance(thing, NestSpec) else getattr(thing, "spec", None)
    if isinstance(spec, NestSpec):
        return NestGraph(spec)
    kind = type(thing).__name__
    raise DrawingError(f"{kind}: cannot be drawn, a NestSpec, NestGraph or model can")
