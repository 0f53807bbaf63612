"""The cut of a network that nestgen did not write, as `nestgen prune` makes it."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

if TYPE_CHECKING:
    from torch import Tensor, nn

    from nestgen.surgery.cut_any import Cut

_SUFFIXES = (".pt", ".pth", ".safetensors")


def prune_outside(
    theirs: tuple[nn.Module, Tensor],
    weights: str | None,
    keep: tuple[str, ...],
    output: str | None,
    source: str | None,
    as_json: bool,
    force: bool,
) -> None:
    """Cut a module to the outputs `keep`; write its state dict and its source."""
    from nestgen.cli.progress import live_bar
    from nestgen.files import refuse_existing, write_whole
    from nestgen.lifting.lift import named_outputs
    from nestgen.statefile import write_state_dict
    from nestgen.surgery.cut_any import cut_any

    module, example = theirs
    file = Path(weights or f"{type(module).__name__}.pt")
    name = re.sub(r"\W+", "_", "-".join(keep))
    target = Path(output or file.with_name(f"{file.stem}-{name}{file.suffix}"))
    if target.suffix not in _SUFFIXES:
        raise click.UsageError(
            f"-o: {target} is not allowed, a name that ends in {', '.join(_SUFFIXES)}"
        )
    text = Path(source or target.with_name(f"{target.stem.replace('-', '_')}.py"))
    refuse_existing(target, text, force=force, keep=[weights] if weights else [])
    with live_bar() as bar:
        bar.add_task("cutting", total=None)
        cut = cut_any(module, named_outputs(module, example, keep), example)
    write_state_dict(target, cut.module.state_dict())
    write_whole(text, cut.text)
    if as_json:
        written = {"checkpoint": str(target), "source": str(text)}
        click.echo(json.dumps(written | _fields(cut), indent=2))
    else:
        _print(cut)
        click.echo(f"wrote {target}, {text}")


def _fields(cut: Cut) -> dict[str, Any]:
    return {
        "way": cut.way,
        "rejected": cut.rejected,
        "inputs": cut.inputs,
        "refused": cut.refused,
        "before": asdict(cut.before),
        "after": asdict(cut.after),
        "statement": cut.statement,
    }


def _print(cut: Cut) -> None:
    from nestgen.cli.tables import count, scaled, show_table

    both = (cut.before, cut.after)
    rows = {
        "parameters": [count(part.parameters) for part in both],
        "weights": [scaled(part.weight_bytes, "B") for part in both],
        "MACs on the example": [scaled(part.macs) for part in both],
    }
    show_table(
        ["", "before", "after"], [[name, *cells] for name, cells in rows.items()]
    )
    for way, reason in cut.rejected.items():
        click.echo(f"not by {way}: {reason}")
    for shape in cut.refused:
        click.echo(
            f"refuses {list(shape)}, where the network does not do what it does with "
            "the example"
        )
    click.echo(cut.statement)
