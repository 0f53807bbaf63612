"""What the fields of a spec, each right by itself, cannot be together."""

from __future__ import annotations

import builtins
from collections.abc import Iterator, Mapping
from typing import Any

import networkx as nx

from nestgen.arch.block import Block
from nestgen.arch.blocks import BLOCKS
from nestgen.arch.choices import LEARNED_UPS, LINEAR, MAX_DEPTH
from nestgen.arch.encoders import ENCODERS, encoder_nodes, inner, is_foreign, misfit
from nestgen.arch.families import FAMILIES, inputs_by_edges
from nestgen.arch.grid import Node
from nestgen.arch.inputs import ancestors, head_nodes, inputs_of
from nestgen.arch.layers import is_dense
from nestgen.arch.rows import per_row, problem

_TAKEN = {
    *("Generator", "Layer", "Projection", "Residual", "Stage", "Stem"),
    *("Node", "Single", "Tensor", "Encoder", "Gate", "SqueezeExcite", "PixelShuffle"),
    *(
        "ChannelNorm",
        "DropPath",
        "MaxPool1d",
        *(f"StandardConv{n}d" for n in (1, 2, 3)),
    ),
    *dir(builtins),
}

_ENCODER = {"encoder", "encoder_row", "depth", "dims", "strides", "widths"}
_ENCODER |= {"node_widths"}


def conflicts(sound: Mapping[str, Any]) -> Iterator[str]:
    """One line for each; `sound` are the fields that are right one by one."""
    yield from _name_conflicts(sound)
    if sound.keys() >= {"depth", "dims"}:
        yield from _row_conflicts(sound)
    if sound.keys() >= _ENCODER:
        yield from _encoder_conflicts(sound)
    if sound.keys() >= {"family", "depth", "edges"}:
        yield from _edge_conflicts(sound)
    if sound.keys() >= {"block", "widths", "node_widths", "in_channels", "up_widths"}:
        yield from _block_conflicts(sound)


def _row_conflicts(sound: Mapping[str, Any]) -> Iterator[str]:
    depth, dims, widths = sound["depth"], sound["dims"], sound.get("widths")
    if widths is not None and len(widths) != depth + 1:
        yield (
            f"widths: {len(widths)} given, depth {depth} has {depth + 1} rows; "
            "one for each row, or one integer for row 0"
        )
    for name, rows, check in (
        ("strides", depth, _flat_rows),
        ("kernel_sizes", depth + 1, _even_kernels),
    ):
        wrong = problem(sound[name], rows, dims) if name in sound else None
        if wrong:
            yield f"{name}: {wrong}"
        elif name in sound:
            yield from check(sound)


def _encoder_conflicts(sound: Mapping[str, Any]) -> Iterator[str]:
    name, row, depth = sound["encoder"], sound["encoder_row"], sound["depth"]
    if name is None:
        if row is not None:
            yield f"encoder_row: {row} is not allowed without an encoder"
        return
    # a package is not asked again for what stands in the spec: so files need none
    unasked = row is None or name in ENCODERS or not is_foreign(name)
    if not unasked and sound["dims"] != 2:
        yield f"encoder: {name!a} is not allowed with {sound['dims']} axes, it has 2"
    if unasked and len(sound["widths"]) == depth + 1:
        wrong = misfit(name, sound)
        if wrong:
            yield wrong


def _flat_rows(sound: Mapping[str, Any]) -> Iterator[str]:
    strides, dims = sound["strides"], sound["dims"]
    for row in range(sound["depth"]):
        if set(per_row(strides, row, dims)) == {1}:
            yield f"strides: 1 into row {row + 1} is not allowed, 2 or more on an axis"
            return


def _even_kernels(sound: Mapping[str, Any]) -> Iterator[str]:
    sizes = [
        per_row(sound["kernel_sizes"], row, sound["dims"])
        for row in range(sound["depth"] + 1)
    ]
    even = [size for row in sizes for size in row if size % 2 == 0]
    if even:
        yield f"kernel_sizes: {even[0]} is not allowed, odd numbers"


def _edge_conflicts(sound: Mapping[str, Any]) -> Iterator[str]:
    """Of the family, its edges, heads and exceptions; the first that is found."""
    family, depth = FAMILIES[sound["family"]], sound["depth"]
    if (sound["edges"] is not None) != (sound["family"] == "custom"):
        yield (
            "edges: the family 'custom' lists them"
            if sound["family"] == "custom"
            else f"edges: None is allowed of the family {sound['family']!r}"
        )
        return
    if sound["edges"] is not None:
        wrong = _wrong_edge(sound["edges"], depth)
        wrong = wrong or _wrong_whole(sound) or _wrong_stage(sound)
        if wrong:
            yield f"edges: {wrong}"
            return
    if not sound.keys() >= {"heads", "trim", "concat"}:
        return
    heads = [*_head_conflicts(sound)]
    yield from heads
    if family.single and sound["trim"] is False:
        name = sound["family"]
        yield f"trim: False is not allowed, a {name} is what its one head needs"
    if not heads:
        yield from _exceptions(sound)
    if sound.keys() >= {"up", "up_widths", "skip", "dims"}:
        yield from _up_conflicts(sound)
    if sound["edges"] is not None and sound["concat"] != "up-first":
        yield (
            f"concat: {sound['concat']!r} is not allowed, listed edges have their order"
        )


def _wrong_edge(edges: tuple[tuple[str, str], ...], depth: int) -> str | None:
    """What is wrong with listed edges, by name."""
    for pair in edges:
        line = " -> ".join(pair)
        try:
            source, target = (Node.named(name) for name in pair)
        except ValueError as error:
            return str(error)
        outside = [
            node for node in (source, target) if node.i > depth or node.j > MAX_DEPTH
        ]
        if outside:
            limits = f"rows go to {depth}, columns to {MAX_DEPTH}"
            return f"{line}: {outside[0].name} is outside, {limits}"
        if abs(source.i - target.i) > 1:
            return f"{line} skips a row"
        if target == (0, 0):
            return f"{line}: x0_0 reads the image alone"
        if edges.count(pair) > 1:
            return f"{line} is listed twice"
    return None


def _wrong_stage(sound: Mapping[str, Any]) -> str | None:
    """An edge into a stage of the encoder that is not from the stage above."""
    first = sound.get("encoder_row")
    if first is None:
        return None
    for source, target in sound["edges"]:
        i, j = Node.named(target)
        if j == 0 and i >= first and Node.named(source) != (i - 1, 0):
            return f"{source} -> {target} is not allowed, the encoder computes {target}"
    return None


def _wrong_whole(sound: Mapping[str, Any]) -> str | None:
    edges, depth = sound["edges"], sound["depth"]
    whole = nx.DiGraph(edges)
    try:
        names = [source for source, _ in nx.find_cycle(whole)]
    except nx.NetworkXNoCycle:
        names = []
    if names:
        return f"{' -> '.join([*names, names[0]])} is a cycle"
    # what reads the image: X[0,0], and the first stage of an encoder
    fed = {"x0_0", f"x{sound.get('encoder_row')}_0", *(target for _, target in edges)}
    unfed = [name for edge in edges for name in edge if name not in fed]
    if unfed:
        return f"{unfed[0]} has no input"
    if not any(node.i == depth for node in inputs_by_edges(edges)):
        return f"none reaches row {depth}, the deepest of depth {depth}"
    return None


def _head_conflicts(sound: Mapping[str, Any]) -> Iterator[str]:
    family, depth, heads = sound["family"], sound["depth"], list(sound["heads"])
    listed = sound["edges"] is not None
    highest = MAX_DEPTH if listed else depth
    if heads != sorted(set(heads)) or not heads or heads[-1] > highest:
        yield _allowed_heads(heads, depth)
        return
    whole = inputs_of({**sound, "trim": False})
    nodes = head_nodes(family, depth, heads)
    for level, node in nodes.items():
        if node not in whole:
            yield f"heads: L{level} is not allowed, {node.name} has no input"
            return
        if all(needed.i == 0 for needed in ancestors(whole, [node])):
            yield f"heads: L{level} is not allowed, {node.name} needs row 0 alone"
            return
    if max(node.i for node in ancestors(whole, nodes.values())) < depth:
        yield (
            f"heads: {heads} is not allowed, none of them needs row {depth}"
            if listed
            else _allowed_heads(heads, depth)
        )
    elif FAMILIES[family].single and len(heads) > 1:
        yield f"heads: {heads} is not allowed, a {family} has [{depth}] alone"


def _allowed_heads(heads: list[int], depth: int) -> str:
    return (
        f"heads: {heads} is not allowed, "
        f"rising levels from 1 to {depth} that end with {depth}"
    )


def _exceptions(sound: Mapping[str, Any]) -> Iterator[str]:
    nodes = {node.name: node for node in inputs_of(sound)}
    names = [name for name, _ in sound.get("node_widths", ())]
    for name in names:
        if names.count(name) > 1:
            yield f"node_widths: {name!a} is given twice"
            return
        if FAMILIES[sound["family"]].full_scale and name in nodes and nodes[name].j:
            yield f"node_widths: {name} is not allowed, its edges add up to its width"
            return
        if name not in nodes:
            yield f"node_widths: {name!a} is not allowed, a node of the network"
            return
    if sound.get("skip") == "gate":
        for node, sources in inputs_of(sound).items():
            rows = [source.i - node.i for source in sources]
            if 0 in rows and 1 not in rows:
                yield f"skip: 'gate' is not allowed, nothing comes up into {node.name}"
                return


def _up_conflicts(sound: Mapping[str, Any]) -> Iterator[str]:
    up, depth, dims = sound["up"], sound["depth"], sound["dims"]
    full_scale = FAMILIES[sound["family"]].full_scale
    kind = str(up).removesuffix("-aligned")
    if kind in LINEAR.values() and kind != LINEAR[dims]:
        yield f"up: {up!r} is not allowed, {LINEAR[dims]!r} is that of {dims} axes"
    up_widths = sound["up_widths"]
    if up_widths is not None and len(up_widths) != depth:
        yield f"up_widths: {len(up_widths)} given, one for each of {depth} rows"
    if full_scale:
        for name, free in (("up", up not in LEARNED_UPS), ("up_widths", not up_widths)):
            if not free:
                yield f"{name}: {sound[name]!r} is not allowed, a UNet 3+ interpolates"
        if sound["skip"] != "plain":
            yield f"skip: {sound['skip']!r} is not allowed, a UNet 3+ has 'plain'"


def _name_conflicts(sound: Mapping[str, Any]) -> Iterator[str]:
    name, title = sound.get("name"), sound.get("title")
    if name in _TAKEN:
        yield f"name: {name!r} is not allowed, it is taken in the generated file"
    if title is not None and not _is_plain(title):
        yield (
            f"title: {title!a} is not allowed, "
            'printable text without " and \\ and with no space at its ends'
        )


def _is_plain(title: str) -> bool:
    return title.isprintable() and title == title.strip() and not set(title) & {*'"\\'}


def _block_conflicts(sound: Mapping[str, Any]) -> Iterator[str]:
    block = Block().model_copy(update=dict(sound["block"]))
    odd = [width for width in _normed(sound, block) if width % block.groups]
    if block.norm == "group" and odd:
        yield (
            f"block.groups: {block.groups} is not allowed, "
            f"a divisor of every width; {odd[0]} is one"
        )
    if block.drop_path and not BLOCKS[block.kind].residual:
        yield (
            f"block.drop_path: {block.drop_path} is not allowed, "
            f"the kind {block.kind!r} has no path to drop"
        )
    if block.standardise and block.norm == "none":
        yield "block.standardise: True is not allowed without a norm"
    layers = BLOCKS[block.kind].layers(1, 1, 1)
    if block.standardise and not any(map(is_dense, layers)):
        yield (
            "block.standardise: True is not allowed, "
            f"the kind {block.kind!r} has no dense spatial convolution"
        )


def _normed(sound: Mapping[str, Any], block: Block) -> list[int]:
    """Numbers of channels that are normed, or that those add up from."""
    exceptions, name = dict(sound["node_widths"]), sound.get("encoder")
    preact, backbone = block.kind == "double-preact", ENCODERS.get(name or "")
    if name and not (backbone or preact):
        # a package's stages have norms of their own
        stages = encoder_nodes(sound["encoder_row"], len(sound["widths"]))
        exceptions = {node: w for node, w in exceptions.items() if node not in stages}
    widths = [*sound["widths"], *exceptions.values()]
    if backbone and backbone.kind == "bottleneck":
        rows = enumerate(sound["widths"][2:], start=2)
        widths += [inner(exceptions.get(f"x{row}_0", width)) for row, width in rows]
    if preact:
        image = [] if sound.get("encoder_row") == 0 else [sound["in_channels"]]
        widths += [*image, *(sound["up_widths"] or ())]
    return widths
