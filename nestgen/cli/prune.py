"""`nestgen prune`: cut a trained network at a level, prove the cut, write it."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from nestgen.cli.choosing import (
    choice_options,
    images_of,
    in_words,
    make_rule,
    measure,
)
from nestgen.cli.module import module_options, outside_module
from nestgen.cli.outside import prune_outside
from nestgen.cli.window import window_for, window_option

if TYPE_CHECKING:
    from torch import nn

    from nestgen.arch.heads import Heads
    from nestgen.surgery.proof import Proof


@click.command("prune")
@click.argument("model", required=False)
@click.option("--level", metavar="K", help="2, several as 1-3 or 1,3, or auto.")
@click.option("--data", metavar="DIR", help="images/ and masks/ by which auto chooses.")
@choice_options
@window_option
@click.option(
    "--keep",
    multiple=True,
    metavar="NAME",
    help="An output of --module, or L2; may be repeated.",
)
@module_options
@click.option("-o", "--output", metavar="FILE", help="The network; model-L2.pt, say.")
@click.option("--source", metavar="FILE", help="Its source; model_L2.py, say.")
@click.option("--json", "as_json", is_flag=True, help="Print the proof as JSON.")
@click.option("--force", is_flag=True, help="Overwrite files that exist.")
def command(
    model: str | None,
    level: str | None,
    data: str | None,
    keep: tuple[str, ...],
    module: str | None,
    arguments: tuple[tuple[str, Any], ...],
    weights: str | None,
    example: list[int] | None,
    output: str | None,
    source: str | None,
    as_json: bool,
    force: bool,
    **choosing: Any,
) -> None:
    """Cut MODEL, a .pt or a .safetensors, at a level; write checkpoint and source.

    Several levels stay together, each with its head, for `predict --mode accurate`.
    `--level auto` keeps what `levels` chooses with the same options by the images of
    --data. A network that nestgen did not write, --module, is cut to the outputs that
    --keep names: by place or key, with dots inside others, or by the path of a module
    inside. Nothing is written unless the cut gives the bits of the whole.

    Example: nestgen prune run/model.pt --level 2
    """
    chosen = any(value is not None for value in choosing.values())
    theirs = outside_module(module, arguments, weights, example)
    if theirs is not None:
        if model or level or data or chosen or not keep:
            raise click.UsageError(
                "--module goes with --keep, not MODEL, --level or --data"
            )
        prune_outside(theirs, weights, keep, output, source, as_json, force)
        return
    if model is None or level is None or keep:
        raise click.UsageError("MODEL and --level, or --module and --keep")
    from nestgen.arch.heads import heads_name
    from nestgen.checkpoint import load
    from nestgen.files import refuse_existing
    from nestgen.surgery.write import write_cut

    if (level == "auto") != (data is not None) or (chosen and level != "auto"):
        raise click.UsageError(
            "--level auto chooses by --data; the options of the choice go with it"
        )
    file = Path(model)
    whole = load(file)
    kept = _heads(level) if data is None else _auto(whole, data, choosing)
    name = f"{file.stem}-{heads_name(kept)}{file.suffix}"
    target = Path(output or file.with_name(name))
    text = Path(source or target.with_name(re.sub("[-,]", "_", f"{target.stem}.py")))
    refuse_existing(target, text, force=force, keep=[file])
    proof = write_cut(whole, kept, target, text)
    bytes_of = [path.stat().st_size for path in (file, target)]
    if as_json:
        written = {"checkpoint": str(target), "source": str(text)}
        click.echo(json.dumps(written | _fields(proof, bytes_of), indent=2))
    else:
        _print(proof, bytes_of)
        click.echo(f"wrote {target}, {text}")


def _auto(model: nn.Module, data: str, choosing: dict[str, Any]) -> Heads:
    """What `levels` chooses by the images of `data`; its reason goes to stderr."""
    images, window = images_of(data, choosing), choosing.pop("window")
    rule = make_rule(choosing)
    rounds = 1 if rule.max_ms is None else 15
    report = measure(model, images, rule, rounds, window=window_for(model, window))
    click.echo(in_words(report), err=True)
    return report.chosen.heads


def _heads(asked: str) -> Heads:
    """The levels that the text after `--level` names: 2, L2, 1-3 or 1,3."""
    from nestgen.arch.heads import read_heads

    try:
        return read_heads(asked)
    except ValueError:
        raise click.UsageError(
            f"--level: {asked[:60]!a} is not allowed, a number such as 2, several as "
            "1-3 or 1,3, or auto"
        ) from None


def _fields(proof: Proof, bytes_of: list[int]) -> dict[str, Any]:
    fields = asdict(proof) | {"statement": proof.statement}
    for name, file_bytes in zip(("before", "after"), bytes_of, strict=True):
        fields[name]["file_bytes"] = file_bytes
    return fields


def _print(proof: Proof, bytes_of: list[int]) -> None:
    from nestgen.cli.tables import count, scaled, show_table

    both = (proof.before, proof.after)
    rows = {
        "nodes": [count(part.nodes) for part in both],
        "parameters": [count(part.parameters) for part in both],
        "weights": [scaled(part.weight_bytes, "B") for part in both],
        "weights in bytes": [count(part.weight_bytes) for part in both],
        "file in bytes": [count(number) for number in bytes_of],
        f"MACs at {'x'.join(map(str, proof.size))}": [scaled(p.macs) for p in both],
    }
    show_table(
        ["", "before", "after"], [[name, *cells] for name, cells in rows.items()]
    )
    click.echo(proof.statement)
