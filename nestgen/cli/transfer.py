"""`nestgen transfer`: begin a network with what another has learned."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import rich_click as click

from nestgen.cli.options import make_spec, spec_options

if TYPE_CHECKING:
    from nestgen.arch.spec import NestSpec
    from nestgen.surgery.transfer import Transfer

OWN = {"family", "edges", "heads", "trim", "node_widths", "name", "title"}
"""Fields of a spec that belong to one network and are not another's by default."""


@click.command("transfer")
@click.argument("model")
@click.option("-o", "--output", metavar="FILE", required=True, help="The network.")
@click.option(
    "--seed",
    type=click.IntRange(0, 2**32 - 1),
    default=0,
    show_default=True,
    help="Of the weights that MODEL has not.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@click.option("--force", is_flag=True, help="Overwrite files that exist.")
@spec_options
def command(
    model: str, output: str, seed: int, as_json: bool, force: bool, **options: Any
) -> None:
    """Write a network that begins with the weights of MODEL where both have the node.

    It is MODEL's UNet++ unless options say otherwise. The columns of new inputs are
    zero, so that a UNet++ gives at first what the U-Net gave whose weights it takes.

    Example: nestgen transfer unet.pt -o model.pt
    """
    import torch

    from nestgen.checkpoint import load, save
    from nestgen.codegen.load import build, spec_of
    from nestgen.files import refuse_existing
    from nestgen.surgery.transfer import transfer

    refuse_existing(output, force=force, keep=[model])
    source = load(model)
    spec = make_spec(options, **_inherited(spec_of(source)))
    torch.manual_seed(seed)
    made = transfer(source, build(spec))
    save(made.model, output)
    if as_json:
        parts = [asdict(part) for part in made.parts]
        shown = {"checkpoint": output, "levels": made.levels, "parts": parts}
        click.echo(json.dumps(shown, indent=2))
    else:
        _print(made, spec.label, model)
        click.echo(f"wrote {output}")


def _inherited(spec: NestSpec) -> dict[str, Any]:
    """What another network has of a spec; widths that double are said by the first."""
    from nestgen.arch.encoders import encoder_nodes

    fields = spec.model_dump(exclude=OWN, exclude_none=True)
    stages = encoder_nodes(spec.encoder_row, spec.depth + 1)
    fields["node_widths"] = [item for item in spec.node_widths if item[0] in stages]
    base, *_ = spec.widths
    doubled = spec.widths == tuple(base * 2**row for row in range(spec.depth + 1))
    return {**fields, "widths": base} if doubled else fields


def _print(made: Transfer, label: str, model: str) -> None:
    from nestgen.cli.tables import show_table

    rows = [[part.name, part.state, part.why] for part in made.parts]
    show_table(["module", "weights", "why"], rows, title=label)
    levels = ", ".join(f"L{level}" for level in made.levels) or "no level"
    click.echo(f"as in {model}, up to rounding: {levels}")
