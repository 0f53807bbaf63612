"""`nestgen build`: describe a network, write its source."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from nestgen.cli.options import Size, make_spec, spec_options

if TYPE_CHECKING:
    from nestgen.arch.graph import NestGraph
    from nestgen.arch.spec import NestSpec


@click.command("build")
@spec_options
@click.option("-o", "--output", metavar="FILE", help="The source; unetpp_d4.py, say.")
@click.option("--weights", metavar="FILE", help="Write an initialised checkpoint too.")
@click.option(
    "--pretrained",
    is_flag=True,
    help="Give the encoder timm's weights; with --weights.",
)
@click.option("--download", is_flag=True, help="Fetch them if they are not here.")
@click.option(
    "--seed",
    type=click.IntRange(0, 2**32 - 1),
    default=0,
    show_default=True,
    help="Of the weights.",
)
@click.option("--size", type=Size(), help="Input size of the table.  [256 or more]")
@click.option(
    "--schema", is_flag=True, help="Print the JSON Schema of a spec; no more."
)
@click.option("--json", "as_json", is_flag=True, help="Print the table as JSON.")
@click.option("--force", is_flag=True, help="Overwrite files that exist.")
def command(
    output: str | None,
    weights: str | None,
    pretrained: bool,
    download: bool,
    seed: int,
    size: tuple[int, ...] | None,
    schema: bool,
    as_json: bool,
    force: bool,
    **options: Any,
) -> None:
    """Write the source of a nested U-Net as one file that needs torch alone.

    Example: nestgen build --depth 5 --dense
    """
    from nestgen.arch.cost import default_size, fitting_size
    from nestgen.arch.graph import NestGraph
    from nestgen.arch.spec import NestSpec
    from nestgen.codegen.source import source
    from nestgen.files import refuse_existing, write_whole

    if schema:
        click.echo(json.dumps(NestSpec.model_json_schema(), indent=2))
        return
    if (pretrained and not weights) or (download and not pretrained):
        raise click.UsageError("--pretrained goes with --weights, --download with it")
    spec = make_spec(options)
    target = Path(output or f"{spec.stem}.py")
    graph = NestGraph(spec)
    rows = level_rows(graph, fitting_size(graph, size) if size else default_size(graph))
    refuse_existing(target, *([weights] if weights else []), force=force)
    if weights:
        found = _pretrained(spec, download) if pretrained else None
        _write_weights(spec, weights, seed, found)
    write_whole(target, source(spec))
    if as_json:
        click.echo(json.dumps({"source": str(target), "levels": rows}, indent=2))
    else:
        _print(spec.label, rows, [str(target), *([weights] if weights else [])])


def level_rows(graph: NestGraph, size: tuple[int, ...]) -> list[dict[str, Any]]:
    """What each level costs, as the table and the JSON show it."""
    from nestgen.arch.cost import level_costs

    return [
        {
            "level": f"L{level}",
            "nodes": len(graph.needed(level)),
            "parameters": cost.parameters,
            "macs": cost.macs,
            "weight_bytes": cost.weight_bytes,
            "size": list(size),
        }
        for level, cost in level_costs(graph, size).items()
    ]


def _pretrained(spec: NestSpec, download: bool) -> Path:
    from nestgen.codegen.timm_weights import find_weights

    return find_weights(spec, download=download)


def _write_weights(spec: NestSpec, path: str, seed: int, found: Path | None) -> None:
    """Weights drawn by `seed`, those of the encoder as they were `found`."""
    import torch

    from nestgen.checkpoint import save
    from nestgen.codegen.load import build

    torch.manual_seed(seed)
    model = build(spec)
    if found:
        from nestgen.codegen.timm_weights import pretrain

        pretrain(model, spec, found)
    save(model, path)


def _print(label: str, rows: list[dict[str, Any]], written: list[str]) -> None:
    from nestgen.cli.tables import count, scaled, show_table

    size = "x".join(map(str, rows[0]["size"]))
    show_table(
        ["level", "nodes", "parameters", f"MACs at {size}", "weights"],
        [
            [
                row["level"],
                count(row["nodes"]),
                count(row["parameters"]),
                scaled(row["macs"]),
                scaled(row["weight_bytes"], "B"),
            ]
            for row in rows
        ],
        title=label,
    )
    click.echo(f"wrote {', '.join(written)}")
