"""`nestgen bench`: the levels of a network, and a peer's, timed side by side."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import rich_click as click

from nestgen.cli.device import device_option, load_on
from nestgen.cli.module import module_options, outside_module
from nestgen.cli.options import Numbers, Sizes, Words
from nestgen.errors import SettingsError

if TYPE_CHECKING:
    import torch
    from torch import nn

    from nestgen.inference.bench import Comparison, Row
    from nestgen.inference.spread import Spread

PACKAGES = (
    "nestgen",
    "torch",
    "numpy",
    "onnx",
    "onnxscript",
    "onnxruntime",
    "openvino",
)


@click.command("bench")
@click.argument("model")
@click.option("--levels", type=Numbers(), help="Those of 1,2,4, say.  [all]")
@click.option("--size", "sizes", type=Sizes(), help="Of the inputs.  [256 or more]")
@click.option("--batch-size", "batch_sizes", type=Numbers(), default="1")
@click.option("--dtype", "dtypes", type=Words(), default="float32")
@click.option(
    "--backend",
    "backends",
    type=Words(),
    default="eager,channels_last",
    help="Also fused, compile, onnxruntime, openvino; or all.",
)
@click.option("--rounds", type=click.IntRange(1), default=20, show_default=True)
@click.option(
    "--threads", type=click.IntRange(1), help="Of the CPU.  [as torch has it]"
)
@device_option
@module_options
@click.option("-o", "--plot", multiple=True, metavar="FILE", help=".png, .svg or .pdf.")
@click.option("--json", "as_json", is_flag=True, help="Print the results as JSON.")
@click.option("--force", is_flag=True, help="Overwrite files that exist.")
def command(
    model: str,
    threads: int | None,
    device: str | None,
    plot: tuple[str, ...],
    as_json: bool,
    force: bool,
    module: str | None,
    arguments: tuple[tuple[str, Any], ...],
    weights: str | None,
    example: list[int] | None,
    **choices: Any,
) -> None:
    """Time the levels of MODEL, each cut out, in several backends, in turn.

    Each size, batch size and dtype has rounds of its own, in which every level runs
    once in every backend; two rounds warm up. --module adds a peer's network, of whose
    --example the number of channels is taken. What a backend gives is compared with
    what the network gives in eager mode; what differs is not timed. Ctrl-C ends with
    what is timed by then.

    Example: nestgen bench model.pt --size 256,512 --backend all -o bench.png
    """
    import torch

    from nestgen.files import refuse_existing
    from nestgen.inference.bench_plot import plot_comparison
    from nestgen.machine import describe_machine
    from nestgen.training.plot import check_suffix

    for path in plot:
        check_suffix(path)
    refuse_existing(*plot, force=force)
    peer = outside_module(module, arguments, weights, example)
    if threads is not None:
        torch.set_num_threads(threads)
    network = load_on(model, device)
    machine = describe_machine(PACKAGES)
    found = _measure(network, peer, choices)
    if not found.rows:
        raise click.Abort if found.interrupted else _nothing_timed(found)
    if as_json:
        options = {"model": model, "module": module, **choices}
        told = {"options": options, "machine": machine, **found.to_plain()}
        click.echo(json.dumps({**told, "plots": list(plot)}, indent=2))
    else:
        _show(found)
    for path in plot:
        plot_comparison(found, path)
    if plot and not as_json:
        click.echo(f"wrote {', '.join(plot)}")
    if found.interrupted:
        raise click.Abort


def _measure(
    network: nn.Module,
    peer: tuple[nn.Module, torch.Tensor] | None,
    choices: dict[str, Any],
) -> Comparison:
    from nestgen.cli.progress import live_bar
    from nestgen.inference.backends import BACKENDS, missing_backends
    from nestgen.inference.bench import bench

    if choices["backends"] == ["all"]:
        missing = missing_backends(next(network.parameters()).device)
        choices["backends"] = [name for name in BACKENDS if name not in missing]
        for name, reason in missing.items():
            click.echo(f"nestgen: without {name}: {reason}", err=True)
    with live_bar() as bar:
        task = bar.add_task("timing", total=None)
        return bench(
            network,
            peer=peer,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
            **choices,
        )


def _show(found: Comparison) -> None:
    from nestgen.cli.tables import show_table

    for setting in dict.fromkeys(row.setting for row in found.rows):
        rows = [row for row in found.rows if row.setting == setting]
        others = list(dict.fromkeys(name for row in rows for name in row.speedups))
        columns = ["network", "backend", "ms", "95 % interval", "images/s"]
        columns += [f"times {name}" for name in others]
        show_table(
            [*columns, "peak memory"],
            [_cells(row, others) for row in rows],
            title=f"{setting.label}; {found.rounds} rounds, {found.threads} threads",
        )
    reasons: dict[tuple[str, str, str], list[str]] = {}
    for item in found.left_out:
        key = (item.backend, item.setting.label, item.reason)
        reasons.setdefault(key, []).append(item.network)
    for (backend, label, reason), networks in reasons.items():
        click.echo(f"left out: {', '.join(networks)} in {backend}, {label}: {reason}")


def _nothing_timed(found: Comparison) -> SettingsError:
    """The first reason of all."""
    item = found.left_out[0]
    return SettingsError(
        f"nothing could be timed: {item.network} in {item.backend}, "
        f"{item.setting.label}: {item.reason}"
    )


def _cells(row: Row, others: list[str]) -> list[str]:
    from nestgen.cli.tables import scaled

    seconds = row.seconds
    return [
        row.network,
        row.backend,
        f"{1000 * seconds.median:.2f}",
        f"{1000 * seconds.low:.2f} to {1000 * seconds.high:.2f}",
        f"{row.images_per_second:.1f}",
        *(_ratio(row.speedups.get(name)) for name in others),
        "-" if row.peak_bytes is None else scaled(row.peak_bytes, "B"),
    ]


def _ratio(speedup: Spread | None) -> str:
    if speedup is None:
        return "-"
    return f"{speedup.median:.2f} ({speedup.low:.2f} to {speedup.high:.2f})"
