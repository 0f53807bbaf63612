"""What a picture shows, in a sentence or two, for who cannot see it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from nestgen.arch.graph import NestGraph
from nestgen.drawing.looks import looks_of
from nestgen.drawing.measures import called
from nestgen.drawing.options import Options


def sentences(graphs: Sequence[NestGraph], options: Options) -> str:
    """One or two sentences about the picture of `graphs` with `options`.

    >>> from nestgen.arch.spec import NestSpec
    >>> print(sentences([NestGraph(NestSpec(depth=2))], Options(level=1)))
    UNet++ of depth 2: 6 nodes in 3 rows, with 2 down, 3 up and 4 skip connections and \
heads on X[0,1] and X[0,2]. A cut at level 1 keeps 3 nodes; the rest is grey.
    """
    networks = [_network(graph) for graph in graphs]
    if len(networks) == 1:
        first = f"{networks[0]}."
    else:
        first = f"{len(networks)} networks side by side. " + "; ".join(networks) + "."
    return " ".join([first, *_shown(graphs, options)])


def _network(graph: NestGraph) -> str:
    kinds = [edge.kind for edge in graph.edges]
    edges = _listed(f"{kinds.count(kind)} {kind}" for kind in ("down", "up", "skip"))
    heads = _listed(graph.head(level).label for level in graph.levels)
    some = "heads" if len(graph.levels) > 1 else "a head"
    return (
        f"{graph.spec.label}: {len(graph.nodes)} nodes in "
        f"{graph.depth + 1} rows, with {edges} connections and {some} on {heads}"
    )


def _shown(graphs: Sequence[NestGraph], options: Options) -> Iterator[str]:
    kept = [looks_of(graph, options).kept for graph in graphs]
    nodes = _listed(str(len(part.nodes)) for part in kept) + " nodes"
    if [len(part.nodes) for part in kept] == [len(graph.nodes) for graph in graphs]:
        rest = ""
    else:
        rest = "; the rest is grey"
    if options.level is not None:
        yield f"A cut at level {options.level} keeps {nodes}{rest}."
    if options.gradients is not None:
        levels = _listed(f"L{level}" for level in kept[0].levels)
        yield (
            f"Arrows run backwards, along the gradient from {levels}, which reaches "
            f"{nodes}{rest}."
        )
    if options.heat:
        yield f"The colour of a node shows its {called(options.heat)}."
    if options.area:
        yield f"The area of a node shows its {called(options.area)}."


def _listed(words: Iterable[str]) -> str:
    """Words as a sentence lists them: a, b and c."""
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last
