"""`nestgen draw`: the triangle of a network as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from nestgen.cli.options import Size, make_spec, spec_options

if TYPE_CHECKING:
    from nestgen.arch.spec import NestSpec


@click.command("draw")
@click.argument("file", required=False)
@spec_options
@click.option("-o", "--output", metavar="FILE", help="The picture; unetpp_d4.svg, say.")
@click.option("--level", type=int, help="Grey what a cut at this level drops.")
@click.option("--channels", is_flag=True, help="Write each node's channels into it.")
@click.option("--size", type=Size(), help="Write the rows' sizes for this input.")
@click.option("--legend/--no-legend", default=True, help="Explain nodes and edges.")
@click.option("--force", is_flag=True, help="Overwrite a file that exists.")
def command(
    file: str | None,
    output: str | None,
    level: int | None,
    channels: bool,
    size: tuple[int, ...] | None,
    legend: bool,
    force: bool,
    **options: Any,
) -> None:
    """Draw a network as .svg, .png, .pdf, or .gv, Graphviz's text.

    FILE is a spec (.toml, .json) or a checkpoint (.pt, .safetensors); without it the
    options describe the network.

    Example: nestgen draw --depth 4 --dense -o unetpp.svg
    """
    from nestgen.drawing import draw
    from nestgen.files import refuse_existing

    spec = _spec(file, options)
    target = Path(output or f"{spec.stem}.svg")
    refuse_existing(target, force=force)
    draw(spec, target, level=level, channels=channels, size=size, legend=legend)
    click.echo(f"wrote {target}")


def _spec(file: str | None, options: dict[str, Any]) -> NestSpec:
    if file is None:
        return make_spec(options)
    given = [name for name, value in options.items() if value is not None]
    if "spec_file" in given:
        raise click.UsageError(f"{file}: describes the network, and --spec does too")
    if Path(file).suffix in (".toml", ".json"):
        return make_spec({**options, "spec_file": file})
    if given:
        option = given[0].replace("_", "-")
        raise click.UsageError(
            f"{file}: has its spec in it, --{option} changes nothing"
        )

    from nestgen.checkpoint import read_spec

    return read_spec(file)
