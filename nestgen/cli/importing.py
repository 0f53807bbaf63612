"""`nestgen import`: someone else's weights in a network of our own, and the proof."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import rich_click as click

from nestgen.cli.options import make_spec, spec_options

if TYPE_CHECKING:
    from torch import nn

    from nestgen.foreign.beside import Comparison
    from nestgen.foreign.describe import Description
    from nestgen.foreign.weights import Weights


@click.command("import")
@click.argument("weights")
@click.option("--layout", required=True, metavar="NAME", help="Whose; see below.")
@click.option("-o", "--output", metavar="FILE", required=True, help="The network.")
@click.option(
    "--original",
    metavar="WHERE",
    help="FILE.py:CLASS or MODULE:CLASS to compare with; it is executed.",
)
@click.option("--json", "as_json", is_flag=True, help="Print what was found as JSON.")
@click.option("--force", is_flag=True, help="Overwrite files that exist.")
@spec_options
def command(
    weights: str,
    layout: str,
    output: str,
    original: str | None,
    as_json: bool,
    force: bool,
    **options: Any,
) -> None:
    """Make a checkpoint of WEIGHTS, a state dict of someone else's U-Net or UNet++.

    The layout is 4uiiurz1 (its NestedUNet and UNet) or monai-basicunetplusplus. What
    the tensors do not tell is assumed, and the options below change it. Where the
    original can be run it is, and nothing is written unless all outputs are equal.

    Example: nestgen import weights.pth --layout 4uiiurz1 -o model.pt
    """
    from nestgen.checkpoint import save
    from nestgen.files import refuse_existing
    from nestgen.foreign.describe import describe
    from nestgen.foreign.take import take
    from nestgen.foreign.weights import read_weights

    refuse_existing(output, force=force, keep=[weights, *_file_of(original)])
    theirs = read_weights(weights, layout)
    found = describe(theirs)
    model = take(theirs, make_spec(options, **found.fields))
    seen, why = _beside(model, theirs, original)
    save(model, output)
    if as_json:
        fields = {name: [value, source] for name, value, source in _rows(model, found)}
        shown = {"fields": fields, "comparison": asdict(seen) if seen else why}
        click.echo(json.dumps({"checkpoint": output, **shown}, indent=2))
    else:
        _print(model, found)
        click.echo(seen.statement if seen else f"not compared: {why}")
        click.echo(f"wrote {output}")


def _file_of(original: str | None) -> list[str]:
    """The file in which the original is, where it is one."""
    file = (original or "").rpartition(":")[0]
    return [file] if file.endswith(".py") else []


def _beside(
    model: nn.Module, weights: Weights, named: str | None
) -> tuple[Comparison | None, str | None]:
    """The comparison with the original, or why there is none."""
    from nestgen.foreign.beside import absent, compare

    original = named or weights.layout.original
    why = None if named else absent(original)
    if original is None or why:
        return None, why
    return compare(model, weights, original), None


def _rows(model: nn.Module, found: Description) -> list[tuple[str, Any, str]]:
    """Each field that was found, its value in the network, and what says so."""
    from nestgen.arch.spec import NestSpec
    from nestgen.codegen.load import spec_of

    has, would_have = (
        _flat(spec.model_dump()) for spec in (spec_of(model), NestSpec(**found.fields))
    )
    sources = {
        **dict.fromkeys(_flat(found.assumed), "layout"),
        **dict.fromkeys(_flat(found.read), "tensors"),
    }
    return [
        (name, has[name], source if has[name] == would_have[name] else "option")
        for name, source in sources.items()
        if has[name] not in ((), None)
    ]


def _flat(fields: dict[str, Any]) -> dict[str, Any]:
    """The fields of the block among the others."""
    return {**{n: v for n, v in fields.items() if n != "block"}, **fields["block"]}


def _words(value: Any) -> str:
    """A field as an option takes it.

    >>> _words((("x0_4", 8),)), _words((16, 32)), _words(True)
    ('x0_4=8', '16,32', 'yes')
    """
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not isinstance(value, tuple):
        return str(value)
    return ",".join(
        "=".join(map(str, item)) if isinstance(item, tuple) else str(item)
        for item in value
    )


def _print(model: nn.Module, found: Description) -> None:
    from nestgen.cli.tables import count, show_table
    from nestgen.codegen.load import spec_of

    parameters = sum(parameter.numel() for parameter in model.parameters())
    show_table(
        ["field", "value", "from"],
        [[name, _words(value), source] for name, value, source in _rows(model, found)],
        title=f"{spec_of(model).label}, {count(parameters)} parameters",
    )
