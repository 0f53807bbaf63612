"""What a nested U-Net's time is bounded by, style by style: a model, not a measurement.

    python benchmarks/roofline.py [--depth 4 --widths 32 --up transpose] [--size 512]
        [--batch 8] [--dtype bfloat16] [--device h100] [--json FILE]

A style is a way to run the network, written down as the kernels that it launches. A
kernel reads each of its inputs from the GPU's memory once and writes each output once,
so it takes at least max(bytes / bandwidth, FLOPs / peak); the sum over a style's
kernels is its floor (Williams et al., 2009, Roofline). The second estimate looks at the
caches too: a convolution loads what it reads once for each of its taps, or less often
where it makes a block of outputs of what it loads.

All options that describe a network are taken; what is modelled are images, nodes of two
3x3 convolutions with batch norm or none, and rows that halve the one above.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import click

from nestgen.arch.cost import edge_cost, fitting_size
from nestgen.arch.graph import Edge, NestGraph, Node
from nestgen.arch.spec import NestSpec
from nestgen.cli.options import Amount, Size, make_spec, spec_options
from nestgen.cli.tables import show_table
from nestgen.errors import NestgenError, SpecError
from nestgen.files import write_whole
from nestgen.kernels.traffic import GATHER, PHASE, Block, Traffic, floor, rows

ITEMSIZE = {"bfloat16": 2, "float16": 2, "tf32": 4, "float32": 4}
"""Bytes of a number, by dtype; tf32 is float32 with rounded factors."""
COMPOSED = ("transpose", "nearest")
"""Up-samplings that are one with the convolution behind them (`kernels/phases.py`);
others are a kernel of their own in every style."""
UPS = (*COMPOSED, "bilinear", "bilinear-aligned")


@dataclass(frozen=True)
class Device:
    """A GPU, in the rates that it reaches.

    Attributes:
        bandwidth: bytes a second of its memory.
        l2: bytes a second from its last cache into its multiprocessors; assumed.
        peak: FLOPs a second of matrix products, by dtype.
        narrow: whether few output channels hold up its matrix units, as on Hopper.
    """

    bandwidth: float
    l2: float
    peak: dict[str, float]
    narrow: bool = False

    def share(self, channels: int) -> float:
        """Of the peak, that a product with so many output channels can reach.

        Hopper's wgmma m64nNk16 takes N/2 cycles, and 16 + N/4 to read its operands.

        >>> DEVICES["h100"].share(32), DEVICES["h100"].share(64)
        (0.6666666666666666, 1.0)
        """
        return min(1.0, channels / (32 + channels / 2)) if self.narrow else 1.0


def _device(
    bandwidth: float, l2: float, half: float, tf32: float, single: float, narrow: bool
) -> Device:
    """Of rates in T/s."""
    peak = {"bfloat16": half, "float16": half, "tf32": tf32, "float32": single}
    rates = {dtype: 1e12 * rate for dtype, rate in peak.items()}
    return Device(1e12 * bandwidth, 1e12 * l2, rates, narrow)


DEVICES = {
    "h100": _device(3.0, 5.5, 800, 400, 54, narrow=True),
    "h200": _device(4.3, 5.5, 800, 400, 54, narrow=True),
    "a100": _device(1.8, 4.5, 250, 125, 16, narrow=False),
    "mi300x": _device(4.8, 12.0, 1060, 530, 132, narrow=False),
}
"""90 % of the data sheet's bandwidth and 81 % of its dense peak, which an H100 (SXM)
reaches in copies and in large products; the caches' rates are assumptions."""


@dataclass(frozen=True)
class Style:
    """A way to run a network.

    Attributes:
        words: what it is.
        passes: kernels that go over a convolution's result, of "bias", "norm", "act";
            what stands in one word is one kernel.
        cat: how a concatenation comes to be: a kernel copies it; the kernel before
            writes a result once for each reader; or it is read where it lies.
        fused: up-sampling is part of the convolution's loads; pooling and the head are
            parts of the convolution before.
        first: what a node's first convolution makes of what it loads once.
        others: what the other convolutions do.
        whole: both convolutions of a node are one kernel.
    """

    words: str
    passes: tuple[str, ...] = ()
    cat: Literal["copied", "scattered", "in place"] = "in place"
    fused: bool = False
    first: Block = GATHER
    others: Block = GATHER
    whole: bool = False


STYLES = {
    "eager": Style(
        "PyTorch in channels_last, a kernel for each operation",
        ("bias", "norm", "act"),
        "copied",
    ),
    "folded": Style(
        "eager, with the norms folded into the convolutions", ("bias", "act"), "copied"
    ),
    "compile": Style(
        "torch.compile: bias, norm and activation in one pass, which writes each "
        "reader's concatenation",
        ("bias norm act",),
        "scattered",
    ),
    "conv_ep": Style(
        "bias and activation in the convolution's epilogue, no concatenation copied: "
        "TensorRT's class, or cuDNN's with strided inputs"
    ),
    "fused": Style(
        "up-sampled and concatenated by the loads of the convolution, a load a tap",
        fused=True,
    ),
    "blocked": Style(
        "fused, with 2x2 phases or 4 rows of the result made of each load",
        fused=True,
        first=PHASE,
        others=rows(4),
    ),
    "node": Style(
        "fused, both convolutions of a node in one kernel: an ideal",
        fused=True,
        whole=True,
    ),
}


@dataclass(frozen=True)
class Kernel:
    """A launch, in the numbers that its time follows from.

    Attributes:
        node: for which it runs.
        name: what it does.
        moved: bytes that cross the memory's bus.
        flops: of its products.
        loaded: bytes that cross from the cache into the multiprocessors.
        channels: of its products' result.
    """

    node: Node
    name: str
    moved: int
    flops: int = 0
    loaded: float = 0.0
    channels: int = 256

    def floor(self, device: Device, dtype: str) -> float:
        """The least seconds."""
        return floor(self.moved, self.flops, device.bandwidth, device.peak[dtype])

    def estimate(self, device: Device, dtype: str) -> float:
        """Seconds, if nothing but memory, cache and matrix units takes time."""
        peak = device.peak[dtype] * device.share(self.channels)
        outside = floor(self.moved, self.flops, device.bandwidth, peak)
        return max(outside, self.loaded / device.l2)


@dataclass(frozen=True)
class Run:
    """A network at a size and a batch, as the kernels of a style.

    >>> graph = NestGraph(NestSpec(depth=1))
    >>> [kernel.name for kernel in Run(graph, STYLES["conv_ep"], (8, 8), 1, 2).kernels]
    ['conv1', 'conv2', 'pool', 'conv1', 'conv2', 'up', 'conv1', 'conv2', 'head']
    >>> len(Run(graph, STYLES["fused"], (8, 8), 1, 2).kernels)
    6
    """

    graph: NestGraph
    style: Style
    size: tuple[int, ...]
    batch: int
    itemsize: int

    @property
    def kernels(self) -> list[Kernel]:
        """In the order in which they run."""
        return [kernel for node in self.graph.nodes for kernel in self._node(node)]

    def _node(self, node: Node) -> Iterator[Kernel]:
        style, first, second = self.style, self._first(node), self._second(node)
        yield from self._inputs(node)
        if style.whole:
            yield self._both(node, first, second)
        else:
            block = style.first if first.low else style.others
            yield self._convolution(node, "conv1", first, block)
            yield from self._passes(node, copies=1)
            yield self._convolution(node, "conv2", second, style.others)
            yield from self._passes(node, self._copies(node))
        if self._classes(node) and not style.fused:
            yield self._head(node)

    def _inputs(self, node: Node) -> Iterator[Kernel]:
        """What stands between a node and those that feed it."""
        edges = self.graph.inputs(node)
        for edge in edges:
            if edge.kind == "down" and not self.style.fused:
                pooled = self._pixels(node) * self.graph.width(edge.source)
                yield self._kernel(node, "pool", self._result(edge.source) + pooled)
            if edge.kind == "up" and not self._raises:
                yield from self._up(edge)
        if self.style.cat == "copied" and len(edges) > 1:
            channels = self.graph.in_channels(node)
            yield self._kernel(node, "cat", 2 * self._pixels(node) * channels)

    def _up(self, edge: Edge) -> Iterator[Kernel]:
        """An up-sampling on its own; eager's and torch.compile's bias is a pass."""
        cost, read = edge_cost(self.graph, edge, self.size), self._result(edge.source)
        written = self._pixels(edge.target) * self.graph.channels(edge)
        learned = self.graph.spec.up == "transpose"
        yield replace(
            self._kernel(edge.target, "up", read + written + cost.parameters),
            flops=2 * self.batch * cost.macs,
            loaded=self.itemsize * 4 * read * learned,
            channels=self.graph.channels(edge) if learned else 256,
        )
        if learned and self.style.passes:
            yield self._kernel(edge.target, "up bias", 2 * written)

    def _first(self, node: Node) -> Traffic:
        """The convolution of what a node reads, concatenated."""
        raised = [e for e in self.graph.inputs(node) if e.kind == "up" and self._raises]
        skips = self.graph.in_channels(node) - sum(map(self.graph.channels, raised))
        if not raised:
            return self._sizes(node, skips)
        borders = 9 if self.graph.spec.up == "transpose" else 1
        low = sum(self.graph.width(edge.source) for edge in raised)
        sizes = self._sizes(node, skips)
        return replace(sizes, low=low, up="phases", biases=borders * sizes.biases)

    def _second(self, node: Node) -> Traffic:
        """The other one; a fused one pools, and has the head in it."""
        sizes = self._sizes(node, self.graph.width(node))
        if not self.style.fused:
            return sizes
        kinds = {edge.kind for edge in self._readers(node)}
        return replace(
            sizes,
            features=bool(kinds - {"down"}),
            pooled="down" in kinds,
            classes=self._classes(node),
            head_biases=self._classes(node),
        )

    def _sizes(self, node: Node, skips: int) -> Traffic:
        """A plain convolution into `node`; its bias is its own if no pass adds it."""
        height, width = self.graph.size_at(node.i, self.size)
        channels = self.graph.width(node)
        biases = 0 if self.style.passes else channels
        return Traffic(self.batch, height, width, skips, channels, biases=biases)

    def _convolution(
        self, node: Node, name: str, sizes: Traffic, block: Block
    ) -> Kernel:
        return Kernel(
            node,
            name,
            moved=sizes.moved(self.itemsize),
            flops=sizes.flops,
            loaded=self.itemsize * sizes.loaded(block),
            channels=sizes.channels,
        )

    def _both(self, node: Node, first: Traffic, second: Traffic) -> Kernel:
        """Two convolutions between which nothing leaves the multiprocessor."""
        inner = 2 * first.pixels * first.channels
        one, two = (
            self._convolution(node, "conv1 conv2", sizes, GATHER)
            for sizes in (first, second)
        )
        moved = one.moved + two.moved - self.itemsize * inner
        return replace(one, moved=moved, flops=one.flops + two.flops)

    def _passes(self, node: Node, copies: int) -> Iterator[Kernel]:
        """What goes over a convolution's result, and writes it so many times."""
        block = self.graph.spec.block
        folds = block.norm == "batch" and "norm" not in self.style.passes
        there = {"bias": block.bias or folds, "norm": block.norm == "batch"}
        for words in self.style.passes:
            if any(there.get(word, True) for word in words.split()):
                yield self._kernel(node, words, (1 + copies) * self._result(node))

    def _copies(self, node: Node) -> int:
        """How often a node's result is written: for each concatenation, and once more
        for whoever else reads it."""
        if self.style.cat != "scattered":
            return 1
        kinds = [edge.kind for edge in self._readers(node)]
        return kinds.count("skip") + (set(kinds) != {"skip"})

    def _head(self, node: Node) -> Kernel:
        classes, channels = self._classes(node), self.graph.width(node)
        products = self._result(node) * classes
        moved = self._result(node) + (self._pixels(node) + channels + 1) * classes
        return replace(self._kernel(node, "head", moved), flops=2 * products)

    def _kernel(self, node: Node, name: str, numbers: int) -> Kernel:
        return Kernel(node, name, self.itemsize * numbers)

    def _classes(self, node: Node) -> int:
        """Of the head that stands on a node, if one does."""
        heads = map(self.graph.head, self.graph.levels)
        return self.graph.spec.classes if node in heads else 0

    def _readers(self, node: Node) -> list[Edge]:
        return [edge for edge in self.graph.edges if edge.source == node]

    def _pixels(self, node: Node) -> int:
        return self.batch * math.prod(self.graph.size_at(node.i, self.size))

    def _result(self, node: Node) -> int:
        """Numbers of X[i,j]."""
        return self._pixels(node) * self.graph.width(node)

    @property
    def _raises(self) -> bool:
        """Whether a convolution up-samples what it loads."""
        return self.style.fused and self.graph.spec.up in COMPOSED


@dataclass(frozen=True)
class Total:
    """Of several kernels; seconds on a device, without and with its caches."""

    kernels: int
    flops: int
    moved: int
    floor: float
    estimate: float

    @classmethod
    def of(cls, kernels: Sequence[Kernel], device: Device, dtype: str) -> Total:
        """Their sums."""
        return cls(
            len(kernels),
            sum(kernel.flops for kernel in kernels),
            sum(kernel.moved for kernel in kernels),
            sum(kernel.floor(device, dtype) for kernel in kernels),
            sum(kernel.estimate(device, dtype) for kernel in kernels),
        )


@dataclass(frozen=True)
class Saved:
    """Bytes that a forward pass keeps for the backward pass, and could keep.

    Attributes:
        eager: every convolution's, norm's and activation's input, and where the maxima
            of pooling were, in 8 bytes.
        in_place: without the concatenations, as their parts are kept anyhow; the maxima
            in one byte.
        convolutions: what convolutions gave, and nothing that follows from it pixel by
            pixel.
    """

    eager: int
    in_place: int
    convolutions: int


def saved(graph: NestGraph, size: tuple[int, ...], batch: int, itemsize: int) -> Saved:
    """The activations of a training step, with batch norm or none, without dropout.

    >>> graph = NestGraph(NestSpec(depth=1, widths=1, in_channels=1))
    >>> saved(graph, (2, 2), 1, 4)
    Saved(eager=220, in_place=181, convolutions=97)
    """
    eager = in_place = convolutions = 0
    for node in graph.nodes:
        pixels = batch * math.prod(graph.size_at(node.i, size))
        results = 2 * itemsize * pixels * graph.width(node)
        normed = results if graph.spec.block.norm == "batch" else 0
        read = itemsize * pixels * graph.in_channels(node)
        edges = graph.inputs(node)
        pooled = sum(graph.width(e.source) for e in edges if e.kind == "down") * pixels
        eager += read + results + normed + 8 * pooled
        in_place += (read if len(edges) < 2 else 0) + results + normed + pooled
        convolutions += (0 if edges else read) + results + pooled
    return Saved(eager, in_place, convolutions)


def require_modelled(spec: NestSpec) -> None:
    """Raise `SpecError`, one line, for a network whose kernels are not known here."""
    block, depth = spec.block, spec.depth
    strides = {spec.stride(row) for row in range(1, depth + 1)}
    sides = {spec.kernel_size(row) for row in range(depth + 1)}
    modelled: dict[str, tuple[Any, Sequence[Any]]] = {
        "dims": (spec.dims, [2]),
        "family": (spec.family, ["unet", "unet-e", "unet+", "unet++", "custom"]),
        "encoder": (spec.encoder, [None]),
        "block.kind": (block.kind, ["double"]),
        "block.norm": (block.norm, ["batch", "none"]),
        "up": (spec.up, UPS),
        "skip": (spec.skip, ["plain"]),
        "strides": (strides, [{(2, 2)}]),
        "kernel_sizes": (sides, [{(3, 3)}]),
    }
    for name, (value, allowed) in modelled.items():
        if value not in allowed:
            known = ", ".join(map(str, allowed))
            raise SpecError(f"{name}: {value!a} is not modelled, {known}")
    if spec.up_widths is not None and spec.up != "transpose":
        raise SpecError(f"up_widths: with up {spec.up!r} they are not modelled")


@dataclass(frozen=True)
class Case:
    """What is asked about: a network, its input, and where it runs."""

    graph: NestGraph
    size: tuple[int, ...]
    batch: int
    dtype: str
    device: Device

    def kernels(self, style: str, level: int) -> list[Kernel]:
        """Of a level's own network."""
        cut, itemsize = self.graph.level(level), ITEMSIZE[self.dtype]
        return Run(cut, STYLES[style], self.size, self.batch, itemsize).kernels

    def total(self, kernels: Sequence[Kernel]) -> Total:
        """Their sums on the device."""
        return Total.of(kernels, self.device, self.dtype)

    def saved(self, level: int) -> Saved:
        """What a level's training keeps."""
        cut, itemsize = self.graph.level(level), ITEMSIZE[self.dtype]
        return saved(cut, self.size, self.batch, itemsize)


def report(case: Case) -> dict[str, Any]:
    """All numbers as JSON types: by level, and of the last level by node."""
    last = case.graph.levels[-1]
    kernels = {
        level: {style: case.kernels(style, level) for style in STYLES}
        for level in case.graph.levels
    }
    return {
        "spec": case.graph.spec.model_dump(mode="json", exclude_none=True),
        "size": list(case.size),
        "batch": case.batch,
        "dtype": case.dtype,
        "device": asdict(case.device),
        "levels": {
            f"L{level}": {
                "styles": {
                    style: asdict(case.total(launched))
                    for style, launched in styles.items()
                },
                "saved": asdict(case.saved(level)),
            }
            for level, styles in kernels.items()
        },
        "nodes": {
            node.label: {
                style: asdict(case.total([k for k in launched if k.node == node]))
                for style, launched in kernels[last].items()
            }
            for node in case.graph.level(last).nodes
        },
    }


def show(case: Case, told: dict[str, Any]) -> None:
    """Print the report as tables."""
    device, sides = case.device, "x".join(map(str, case.size))
    peak = device.peak[case.dtype]
    print(
        f"{case.graph.spec.label}, {sides}, batch {case.batch}, {case.dtype}; "
        f"{device.bandwidth / 1e12:g} TB/s, {peak / 1e12:g} TFLOP/s, "
        f"{device.l2 / 1e12:g} TB/s from the cache; "
        f"balance at {peak / device.bandwidth:.0f} FLOPs a byte"
    )
    for name, style in STYLES.items():
        print(f"{name}: {style.words}")
    for level, numbers in told["levels"].items():
        show_level(level, numbers)
    show_nodes(case, told["nodes"])


def show_level(level: str, numbers: dict[str, Any]) -> None:
    """A row for each style, and what training keeps."""
    least = numbers["styles"]["fused"]["floor"]
    show_table(
        ["style", "kernels", "GFLOP", "GB", "floor ms", "of fused", "with caches ms"],
        [
            [
                style,
                str(total["kernels"]),
                f"{total['flops'] / 1e9:.0f}",
                f"{total['moved'] / 1e9:.2f}",
                f"{1e3 * total['floor']:.3f}",
                f"{total['floor'] / least:.2f}",
                f"{1e3 * total['estimate']:.3f}",
            ]
            for style, total in numbers["styles"].items()
        ],
        title=level,
    )
    kept = {
        name: f"{count / 2**30:.2f} GiB" for name, count in numbers["saved"].items()
    }
    print(
        f"saved for the backward pass: eager {kept['eager']}, without concatenations "
        f"{kept['in_place']}, results of convolutions alone {kept['convolutions']}"
    )


def show_nodes(case: Case, nodes: dict[str, Any]) -> None:
    """A row for each node of the last level: floors, and estimates with caches."""
    floors, estimates = ("eager", "compile", "conv_ep", "fused"), ("compile", "blocked")
    table = []
    for name, styles in nodes.items():
        eager, fused = styles["eager"], styles["fused"]
        by_memory = fused["moved"] / case.device.bandwidth
        by_products = fused["flops"] / case.device.peak[case.dtype]
        table.append(
            [
                name,
                f"{eager['flops'] / 1e9:.1f}",
                f"{fused['flops'] / 1e9:.1f}",
                f"{fused['moved'] / 1e6:.0f}",
                "memory" if by_memory > by_products else "products",
                *(f"{1e3 * styles[style]['floor']:.3f}" for style in floors),
                *(f"{1e3 * styles[style]['estimate']:.3f}" for style in estimates),
            ]
        )
    show_table(
        ["node", "GFLOP", "fused", "MB", "bound by", *(f"{s} ms" for s in floors)]
        + [f"{style}, caches" for style in estimates],
        table,
        title=f"L{case.graph.levels[-1]}, node by node",
    )


class Rate(Amount):
    """A positive number."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Any:
        """The number that is meant."""
        rate = super().convert(value, param, ctx)
        if not rate > 0:
            self.fail(f"{value!r}: a rate is above 0, as 3.35T", param, ctx)
        return rate


@click.command(help=__doc__)
@spec_options
@click.option("--size", type=Size(), default="512", show_default=True)
@click.option("--batch", type=click.IntRange(1), default=8, show_default=True)
@click.option(
    "--dtype", type=click.Choice([*ITEMSIZE]), default="bfloat16", show_default=True
)
@click.option(
    "--device", type=click.Choice([*DEVICES]), default="h100", show_default=True
)
@click.option("--bandwidth", type=Rate(), help="Bytes a second of the memory, 3.35T.")
@click.option("--peak", type=Rate(), help="FLOPs a second of products, in the dtype.")
@click.option("--l2", type=Rate(), help="Bytes a second from the last cache.")
@click.option(
    "--json", "file", type=click.Path(path_type=Path), help="Write all of it."
)
def command(
    size: tuple[int, ...],
    batch: int,
    dtype: str,
    device: str,
    bandwidth: float | None,
    peak: float | None,
    l2: float | None,
    file: Path | None,
    **options: Any,
) -> None:
    spec = make_spec(options, widths=32, block={"bias": True})
    require_modelled(spec)
    graph, known = NestGraph(spec), DEVICES[device]
    chosen = replace(
        known,
        bandwidth=bandwidth or known.bandwidth,
        l2=l2 or known.l2,
        peak={**known.peak, dtype: peak or known.peak[dtype]},
    )
    case = Case(graph, fitting_size(graph, size), batch, dtype, chosen)
    told = report(case)
    if file is not None:
        write_whole(file, json.dumps(told, indent=2) + "\n")
    show(case, told)


def main(arguments: Sequence[str] | None = None) -> None:
    try:
        command.main(arguments, standalone_mode=False)
    except (NestgenError, click.ClickException) as error:
        print(f"roofline: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
