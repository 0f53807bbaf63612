"""`nestgen fuse`: a network that computes the same with less, and what was done."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from nestgen.cli.module import module_options, outside_module

if TYPE_CHECKING:
    from torch import Tensor, nn

    from nestgen.fusion.fused import Fused


@click.command("fuse")
@click.argument("model", required=False)
@click.option(
    "--target",
    default="eager",
    show_default=True,
    metavar="NAME",
    help="What will run it: eager, compile, onnxruntime or openvino.",
)
@module_options
@click.option("-o", "--onnx", metavar="FILE", help="Export it: model.onnx, say.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@click.option("--force", is_flag=True, help="Overwrite a file that exists.")
def command(
    model: str | None,
    target: str,
    module: str | None,
    arguments: tuple[tuple[str, Any], ...],
    weights: str | None,
    example: list[int] | None,
    onnx: str | None,
    as_json: bool,
    force: bool,
) -> None:
    """Fold and compose what MODEL, a .pt or a .safetensors, computes, and tell what.

    Batch norms become part of convolutions, and where --target runs it faster,
    up-sampling too. --module fuses a network that nestgen did not write. The result is
    held against the network in float64: it may round no more than twice as badly as the
    network itself.

    Example: nestgen fuse run/model-L2.pt --target openvino -o model-L2.onnx
    """
    from nestgen.files import refuse_existing

    outside = outside_module(module, arguments, weights, example)
    if (model is None) == (outside is None):
        raise click.UsageError("MODEL, or --module with --example")
    if onnx:
        refuse_existing(onnx, force=force, keep=[Path(model)] if model else [])
    from nestgen.fusion.fuse import fuse

    network, x = outside or _own(str(model))
    fused = fuse(network.eval(), x, target=target)
    if onnx:
        _export(fused, x, onnx)
    if as_json:
        click.echo(json.dumps(fused.report.to_plain(), indent=2))
    else:
        _show(fused)
    if onnx and not as_json:
        click.echo(f"wrote {onnx}")


def _own(model: str) -> tuple[nn.Module, Tensor]:
    """A checkpoint's network, and a small input of its kind."""
    from nestgen.checkpoint import load
    from nestgen.codegen.load import spec_of
    from nestgen.surgery.inputs import random_inputs

    network = load(Path(model))
    return network, random_inputs(spec_of(network), network)[0]


def _export(fused: Fused, x: Tensor, file: str) -> None:
    from nestgen.files import write_whole
    from nestgen.fusion.onnx import onnx_of

    write_whole(Path(file), onnx_of(fused, x))


def _show(fused: Fused) -> None:
    from nestgen.cli.tables import show_table

    report = fused.report
    show_table(
        ["convolution", "done", "left, because"],
        [
            [row.name, ", ".join(row.done) or "-", ", ".join(row.left) or "-"]
            for row in report.rows
        ],
    )
    click.echo(report.statement)
