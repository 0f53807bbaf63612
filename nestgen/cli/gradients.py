"""`nestgen gradients`: what of a network the supervised heads do not train."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import rich_click as click

from nestgen.cli.described import described
from nestgen.cli.module import check_alone, module_options, outside_module
from nestgen.cli.options import Numbers, spec_options

if TYPE_CHECKING:
    from torch import Tensor, nn

    from nestgen.surgery.gradients import Gradients


@click.command("gradients")
@click.argument("file", required=False)
@spec_options
@module_options
@click.option("--levels", type=Numbers(), help="Those with a loss.  [all heads]")
@click.option(
    "--keep",
    multiple=True,
    metavar="NAME",
    help="Of --module, with a loss; may be repeated.  [all outputs]",
)
@click.option("-o", "--output", metavar="FILE", help="A picture: net.svg, say.")
@click.option("--check", is_flag=True, help="Exit with 1 if anything gets no gradient.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@click.option("--force", is_flag=True, help="Overwrite a file that exists.")
def command(
    file: str | None,
    module: str | None,
    arguments: tuple[tuple[str, Any], ...],
    weights: str | None,
    example: list[int] | None,
    levels: list[int] | None,
    keep: tuple[str, ...],
    output: str | None,
    check: bool,
    as_json: bool,
    force: bool,
    **options: Any,
) -> None:
    """Tell which nodes and parameters get no gradient from the heads with a loss.

    FILE is a spec (.toml, .json), a checkpoint (.pt, .safetensors) or a generated
    source (.py); without it the options describe the network, or --module names one
    that nestgen did not write. What the graph says is proven by one backward pass in
    train mode.

    Example: nestgen gradients --family unet-e --depth 4 --levels 4
    """
    from nestgen.files import refuse_existing

    if module:
        check_alone({"file": file, "levels": levels, **options})
    elif keep:
        raise click.UsageError("--keep: says nothing without --module")
    outside = outside_module(module, arguments, weights, example)
    if output:
        refuse_existing(output, force=force)
    if outside is None:
        found = _of_network(_network(file, options), levels, output)
    else:
        found = _of_module(*outside, keep, output)
    if as_json:
        click.echo(json.dumps(found.to_plain(), indent=2))
    else:
        _show(found)
        if output:
            click.echo(f"wrote {output}")
    if check and found.unreached:
        sys.exit(1)


def _network(file: str | None, options: dict[str, Any]) -> nn.Module:
    """A checkpoint's network, or one of the described kind with random weights."""
    import torch

    from nestgen.checkpoint import load
    from nestgen.codegen.load import build
    from nestgen.inspection.files import read_file

    thing = described(file, options)
    if isinstance(thing, str):
        thing, facts = read_file(thing)
        if facts.kind == "checkpoint":
            return load(facts.path)
    torch.manual_seed(0)
    return build(thing)


def _of_network(
    network: nn.Module, levels: list[int] | None, output: str | None
) -> Gradients:
    """The report, and its picture where one is asked for."""
    from nestgen.codegen.load import spec_of
    from nestgen.drawing import draw
    from nestgen.surgery.gradients import gradients

    spec, found = spec_of(network), gradients(network, levels)
    if output:
        draw(spec, output, gradients=levels or spec.heads)
    return found


def _of_module(
    module: nn.Module, example: Tensor, keep: tuple[str, ...], output: str | None
) -> Gradients:
    """The same of somebody else's network, drawn where it has a grid."""
    from nestgen.drawing import draw
    from nestgen.lifting.lift import lift, named_outputs
    from nestgen.surgery.gradients import module_gradients

    names = named_outputs(module, example, keep)
    found = module_gradients(module, example, names or None)
    if output:
        lifted = lift(module, example)
        named = {name: int(level[1:]) for level, name in lifted.levels.items()}
        others = [name for name in found.supervised if name not in named]
        if lifted.graph is None or others:
            why = f"output {others[0]} is no level" if lifted.graph else lifted.why
            raise click.UsageError(f"-o: {lifted.name} cannot be drawn so; {why}")
        levels = [named[name] for name in found.supervised]
        draw(lifted.graph, output, gradients=levels, title=lifted.name)
    return found


def _show(found: Gradients) -> None:
    from nestgen.cli.tables import count, show_table

    click.echo(f"supervised: {', '.join(found.supervised)}")
    if found.parts:
        called = [] if found.nodes else ["called"]
        show_table(
            ["without gradient", "parameters", *called],
            [
                [
                    part.name,
                    count(part.parameters),
                    *["no" if part.name in found.uncalled else "yes" for _ in called],
                ]
                for part in found.parts
            ],
        )
    click.echo(found.statement)
    for names, what in (
        (found.zero, "reached, with a gradient of zero on this input"),
        (found.frozen, "frozen, and not counted"),
    ):
        if names:
            click.echo(f"{what}: {', '.join(names)}")
