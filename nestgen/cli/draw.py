"""`nestgen draw`: the triangle of a network as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import rich_click as click

from nestgen.arch.choices import MeasureName
from nestgen.cli.described import described
from nestgen.cli.module import lifted_module, module_options
from nestgen.cli.options import Numbers, Size, make_spec, spec_options

if TYPE_CHECKING:
    from nestgen.arch.spec import NestSpec
    from nestgen.lifting.lift import Lifted


MEASURE = click.Choice(get_args(MeasureName))


@click.command("draw")
@click.argument("file", required=False)
@spec_options
@module_options
@click.option("-o", "--output", metavar="FILE", help="The picture; unetpp_d4.svg, say.")
@click.option("--level", type=int, help="Grey what a cut at this level drops.")
@click.option("--channels", is_flag=True, help="Write each node's channels into it.")
@click.option("--size", type=Size(), help="Write the rows' sizes for this input.")
@click.option(
    "--gradients",
    type=Numbers(),
    help="Levels with a loss: what their gradient reaches.",
)
@click.option("--area", type=MEASURE, help="Give each node an area in proportion.")
@click.option("--heat", type=MEASURE, help="Colour nodes by it, from pale to dark.")
@click.option(
    "--compare", metavar="FAMILY,...", help="Draw these families side by side."
)
@click.option("--legend/--no-legend", default=True, help="Explain nodes and edges.")
@click.option("--alt", is_flag=True, help="Print what it shows instead of drawing it.")
@click.option("--force", is_flag=True, help="Overwrite a file that exists.")
def command(
    file: str | None,
    output: str | None,
    compare: str | None,
    alt: bool,
    force: bool,
    channels: bool,
    size: tuple[int, ...] | None,
    legend: bool,
    module: str | None,
    arguments: tuple[tuple[str, Any], ...],
    weights: str | None,
    example: list[int] | None,
    **options: Any,
) -> None:
    """Draw a network as .svg, .png, .pdf, .tex (TikZ), .mmd (Mermaid), or .gv.

    FILE is a spec (.toml, .json), a checkpoint (.pt, .safetensors) or a generated
    source (.py); without it the options describe the network. --module draws somebody
    else's, which is imported and run on an input of the shape of --example; what is no
    nested U-Net is drawn as blocks, by resolution.

    Example: nestgen draw --depth 4 --dense -o unetpp.svg
    """
    from nestgen.drawing import alt_text, draw
    from nestgen.files import refuse_existing

    shown = {name: options.pop(name) for name in ("level", "gradients", "area", "heat")}
    thing: Any
    others = {**options, "file": file, "compare": compare, "size": size}
    lifted = lifted_module(module, arguments, weights, example, others)
    title = None
    if lifted:
        thing, stem, title = _found(lifted, shown)
    elif compare:
        thing, stem = _compared(compare, file, options), "families"
    else:
        thing = _spec(file, options)
        stem = thing.stem
    if alt:
        click.echo(alt_text(thing, **shown))
        return
    target = Path(output or f"{stem}.svg")
    refuse_existing(target, force=force)
    draw(
        thing,
        target,
        channels=channels,
        size=size,
        legend=legend,
        title=title,
        **shown,
    )
    click.echo(f"wrote {target}")


def _found(lifted: Lifted, shown: dict[str, Any]) -> tuple[Any, str, str]:
    """What is drawn of somebody else's network, and what its file and it are called."""
    measured = [name for name in ("area", "heat") if shown[name]]
    if lifted.spec is None and measured:
        raise click.UsageError(
            f"--{measured[0]}: is a formula of nestgen's blocks; {lifted.why}"
        )
    stem = lifted.name.lower()
    if lifted.graph is None:
        click.echo(f"{lifted.name}: {lifted.why}", err=True)
        return lifted.blocks, stem, lifted.name
    return lifted.graph, stem, f"{lifted.name}: {lifted.graph.spec.label}"


def _compared(
    families: str, file: str | None, options: dict[str, Any]
) -> list[NestSpec]:
    """The same options for each family."""
    if file or options["family"] or options["dense"]:
        raise click.UsageError("--compare names the families, nothing else may")
    return [make_spec({**options, "family": family}) for family in families.split(",")]


def _spec(file: str | None, options: dict[str, Any]) -> NestSpec:
    from nestgen.inspection.files import read_file

    thing = described(file, options)
    return read_file(thing)[0] if isinstance(thing, str) else thing
