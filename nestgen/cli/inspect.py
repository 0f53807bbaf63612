"""`nestgen inspect`: what a network is, sees and costs, from a file or options."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import rich_click as click

from nestgen.cli.described import described
from nestgen.cli.module import lifted_module, module_options
from nestgen.cli.options import Size, spec_options

if TYPE_CHECKING:
    from nestgen.arch.field import Field
    from nestgen.arch.memory import Memory
    from nestgen.inspection.files import File
    from nestgen.inspection.report import Report
    from nestgen.lifting.lift import Lifted


@click.command("inspect")
@click.argument("file", required=False)
@spec_options
@module_options
@click.option("--size", type=Size(), help="Of the input.  [256 or more]")
@click.option(
    "--batch-size",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Of the memory.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def command(
    file: str | None,
    size: tuple[int, ...] | None,
    batch_size: int,
    as_json: bool,
    module: str | None,
    arguments: tuple[tuple[str, Any], ...],
    weights: str | None,
    example: list[int] | None,
    **options: Any,
) -> None:
    """Tell what a network is, what each node sees and costs, and its memory.

    FILE is a spec (.toml, .json), a checkpoint (.pt, .safetensors) or a generated
    source (.py), which is read and not run; without it the options describe the
    network. --module tells of somebody else's, which is imported and run on an input of
    the shape of --example: which of its modules form which X[i,j], and its spec where
    nestgen can write it.

    Example: nestgen inspect model.pt --size 512 --batch-size 8
    """
    from nestgen.inspection.report import inspect

    others = {**options, "file": file, "size": size}
    lifted = lifted_module(module, arguments, weights, example, others)
    if lifted:
        _tell(lifted, as_json)
        return
    report = inspect(described(file, options), size, batch_size)
    if as_json:
        click.echo(json.dumps(report.to_plain(), indent=2))
    else:
        _show(report)


def _show(report: Report) -> None:
    from nestgen.cli.tables import count, scaled, show_table

    click.echo(_what(report))
    sides = "x".join(map(str, report.size))
    show_table(
        ["node", "shape", "parameters", "MACs", "sees", "activations"],
        [
            [
                row.name,
                "x".join(map(str, row.shape)),
                count(row.cost.parameters),
                scaled(row.cost.macs),
                _seen(row.field),
                scaled(row.cost.activation_bytes, "B"),
            ]
            for row in report.nodes
        ],
        title=f"one input of {sides}",
    )
    show_table(
        ["level", "nodes", "parameters", "MACs", "sees", "weights", *_USES],
        [
            [
                f"L{row.level}",
                count(row.nodes),
                count(row.cost.parameters),
                scaled(row.cost.macs),
                _seen(row.field),
                scaled(row.cost.weight_bytes, "B"),
                *_bytes(row.memory, _USES),
            ]
            for row in report.levels
        ],
        title=f"each level alone; memory at batch {report.batch_size}",
    )
    show_table(
        [*_PARTS, *_USES],
        [_bytes(report.memory, [*_PARTS, *_USES])],
        title=f"memory of the whole in float32, {report.batch_size} x {sides}",
    )
    if any(row.field and row.field.whole for row in report.nodes):
        click.echo("* and, through numbers about all of it, the whole image")


def _tell(lifted: Lifted, as_json: bool) -> None:
    """What was found in somebody else's module."""
    from nestgen.arch.specfile import to_toml
    from nestgen.cli.tables import count, show_table

    if as_json:
        click.echo(json.dumps(lifted.to_plain(), indent=2))
        return
    label = f": {lifted.graph.spec.label}" if lifted.graph else ""
    click.echo(f"{lifted.name}{label}\n")
    if set(lifted.stem) - {1}:
        stem = "x".join(map(str, lifted.stem))
        click.echo(f"row 0 is coarser than the image by {stem}\n")
    columns = ["part", "shape", "parameters", "modules"]
    show_table(
        columns if lifted.graph else ["block", *columns[1:]],
        [
            [
                part.name,
                "x".join(map(str, part.shape)),
                count(part.parameters),
                ", ".join(part.modules),
            ]
            for part in lifted.parts.values()
        ],
    )
    for name, level in lifted.outputs.items():
        click.echo(f"output {name}: {f'L{level}' if level else 'no level'}")
    click.echo(lifted.statement)
    if lifted.spec:
        click.echo(f"\n{to_toml(lifted.spec)}", nl=False)


_PARTS = ["weights", "gradients", "optimizer", "activations"]
_USES = ["training", "inference"]


def _bytes(memory: Memory | None, names: list[str]) -> list[str]:
    from nestgen.cli.tables import scaled

    if memory is None:
        return ["-" for _ in names]
    plain = memory.to_plain()
    return [scaled(plain[name], "B") for name in names]


def _seen(field: Field | None) -> str:
    if field is None:
        return "-"
    return "x".join(map(str, field.pixels)) + ("*" if field.whole else "")


def _what(report: Report) -> str:
    """A line for each thing that the network is, and that its file is."""
    spec = report.spec
    block = [spec.block.kind, f"norm {spec.block.norm}", spec.block.activation]
    facts = {
        "title": spec.title,
        "file": None if report.file is None else _file(report.file),
        "family": spec.family,
        "axes": str(spec.dims),
        "channels": f"{spec.in_channels} in, {spec.classes} out",
        "widths": ", ".join(map(str, spec.widths)),
        "block": ", ".join(block),
        "up, skip": f"{spec.up}, {spec.skip}",
        "encoder": spec.encoder,
        "heads": ", ".join(f"L{level}" for level in spec.heads),
    }
    told = [f"{name:10}{text}" for name, text in facts.items() if text is not None]
    return "\n".join([spec.label, "", *told, ""])


def _file(file: File) -> str:
    from nestgen.cli.tables import scaled

    parts = [f"a {file.kind} of {scaled(file.bytes, 'B')}"]
    if file.dtype is not None:
        parts.append(file.dtype)
    if file.training_state:
        parts.append("the state of a run")
    if file.kind == "source":
        parts.append(
            "as written"
            if file.as_written
            else f"changed by hand or by another version, first in line "
            f"{file.first_change}"
        )
    return f"{file.path}, {', '.join(parts)}"
