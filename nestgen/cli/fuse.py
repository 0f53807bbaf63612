"""`nestgen fuse`: a network that computes the same with less, and what was done."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from nestgen.cli.device import checked, device_option, load_on
from nestgen.cli.module import module_options, outside_module
from nestgen.cli.options import Size

if TYPE_CHECKING:
    from torch import Tensor, nn

    from nestgen.fusion.fused import Fused
    from nestgen.fusion.tune import Tuning


@click.command("fuse")
@click.argument("model", required=False)
@click.option(
    "--target",
    default="eager",
    show_default=True,
    metavar="NAME",
    help="What will run it: eager, compile, onnxruntime, openvino; kernels on a GPU, "
    "or one of them: gather, phase, rows.",
)
@click.option("--tune", is_flag=True, help="Measure here which kernels are best.")
@click.option("--size", type=Size(), help="Of images to choose kernels for.  [small]")
@click.option("--batch-size", type=click.IntRange(1), help="Of those images.  [1]")
@click.option(
    "--dtype",
    type=click.Choice(["float32", "bfloat16", "float16"]),
    default="float32",
    show_default=True,
)
@device_option
@module_options
@click.option("-o", "--onnx", metavar="FILE", help="Export it: model.onnx, say.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@click.option("--force", is_flag=True, help="Overwrite a file that exists.")
def command(
    model: str | None,
    target: str,
    tune: bool,
    size: tuple[int, ...] | None,
    batch_size: int | None,
    dtype: str,
    device: str | None,
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
    network itself. On a GPU, `--target kernels` takes the kernels that were measured to
    be the fastest there for --size, --batch-size and --dtype; --tune measures what was
    not yet.

    Example: nestgen fuse run/model-L2.pt --target openvino -o model-L2.onnx
    """
    from nestgen.files import refuse_existing

    outside = outside_module(module, arguments, weights, example)
    if (model is None) == (outside is None):
        raise click.UsageError("MODEL, or --module with --example")
    if onnx:
        if Path(onnx).suffix != ".onnx":
            raise click.UsageError(f"-o: {onnx[:60]!a} is not allowed, a name in .onnx")
        refuse_existing(onnx, force=force, keep=[Path(model)] if model else [])
    import torch

    from nestgen.fusion.choose import RUNTIMES
    from nestgen.fusion.fuse import fuse

    if target == "onnxruntime" and dtype == "bfloat16":
        raise click.UsageError(
            f"--dtype: {dtype} is not allowed with onnxruntime, which has no "
            "convolution of it, float32 or float16"
        )
    for name, given in (("--size", size), ("--batch-size", batch_size)):
        if given is not None and target in RUNTIMES:
            raise click.UsageError(f"{name}: says nothing without --target kernels")
    network, x = outside or _own(str(model), device)
    to: Any = {"dtype": getattr(torch, dtype), "device": checked(device)}
    network, x = network.eval().to(**to), x.to(**to)
    sides = _sides(size, x)
    shape = (batch_size or 1, *x.shape[1:2], *sides) if x.ndim > 1 else x.shape
    typical = x.new_zeros(()).expand(shape)  # which takes no memory yet
    with _tuning(tune) as tuning:
        fused = fuse(network, x, target=target, typical=typical, tune=tuning)
    if onnx:
        _export(fused, x, onnx)
    if as_json:
        click.echo(json.dumps(fused.report.to_plain(), indent=2))
    else:
        _show(fused)
    if onnx and not as_json:
        fixed = [
            f"axis {axis} is {side}"
            for axis, side in enumerate(x.shape)
            if axis not in (1, *fused.open_axes(x)[0])
        ]
        click.echo(f"wrote {onnx}{', where ' if fixed else ''}{' and '.join(fixed)}")


def _sides(size: tuple[int, ...] | None, x: Tensor) -> tuple[int, ...]:
    """The sides of the images to come, by default those of the example."""
    axes = max(0, x.ndim - 2)
    sides = tuple(x.shape[2:]) if size is None else size * (axes // len(size))
    if len(sides) != axes or 0 in sides:
        shown = "x".join(map(str, size or ()))
        raise click.UsageError(
            f"--size: {shown} is not allowed, {axes} sides, or one, of 1 or more"
        )
    return sides


@contextmanager
def _tuning(wanted: bool) -> Iterator[Tuning | bool]:
    """What measures, with a bar; Ctrl-C keeps what is measured by then."""
    if not wanted:
        yield False
        return
    from nestgen.cli.progress import live_bar
    from nestgen.fusion.tune import Tuning
    from nestgen.training.interrupts import interrupts

    with live_bar() as bar, interrupts() as asked:
        task = bar.add_task("tuning", total=None)
        yield Tuning(
            progress=lambda done, total: bar.update(task, completed=done, total=total),
            stopped=lambda: asked,
        )


def _own(model: str, device: str | None) -> tuple[nn.Module, Tensor]:
    """A checkpoint's network, and a small input of its kind."""
    from nestgen.codegen.load import spec_of
    from nestgen.surgery.inputs import random_inputs

    network = load_on(model, device)
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
