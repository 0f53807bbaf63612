"""`nestgen levels`: measure every level of a trained network, and choose one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

from nestgen.cli.device import device_option, load_on

if TYPE_CHECKING:
    from torch import nn

    from nestgen.training.levels import Report


@click.command("levels")
@click.argument("model")
@click.option("--data", required=True, metavar="DIR", help="images/ and masks/.")
@click.option("--tolerance", type=float, default=0.005, show_default=True)
@click.option("--rounds", type=click.IntRange(1), default=15, show_default=True)
@click.option("--batch-size", type=click.IntRange(1), default=1, show_default=True)
@device_option
@click.option("-o", "--plot", multiple=True, metavar="FILE", help=".png, .svg or .pdf.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@click.option("--force", is_flag=True, help="Overwrite files that exist.")
def command(
    model: str,
    data: str,
    tolerance: float,
    rounds: int,
    batch_size: int,
    device: str | None,
    plot: tuple[str, ...],
    as_json: bool,
    force: bool,
) -> None:
    """Measure every level of MODEL on the images of DIR, and choose the smallest.

    The choice is the smallest level whose mean IoU is within the tolerance of the
    best. The plot goes to MODEL-levels.png and .svg unless -o names others.

    Example: nestgen levels run/model.pt --data DATA/val
    """
    from nestgen.files import refuse_existing
    from nestgen.training.choice import check_tolerance
    from nestgen.training.plot import check_suffix, plot_levels

    stem = Path(model).with_suffix("")
    plots = plot or tuple(f"{stem}-levels{suffix}" for suffix in (".png", ".svg"))
    for path in plots:
        check_suffix(path)
    refuse_existing(*plots, force=force)
    check_tolerance(tolerance)
    report = measure(load_on(model, device), data, tolerance, rounds, batch_size)
    if as_json:
        click.echo(json.dumps({**report.to_plain(), "plots": list(plots)}, indent=2))
    else:
        show(report)
    for path in plots:
        plot_levels(report, path)
    if not as_json:
        click.echo(f"wrote {', '.join(plots)}")


def measure(
    model: nn.Module, data: str, tolerance: float, rounds: int = 15, batch_size: int = 1
) -> Report:
    """Measure under a bar; both `levels` and `prune --level auto` do."""
    from nestgen.cli.progress import live_bar
    from nestgen.codegen.load import spec_of
    from nestgen.imaging.pairs import find_pairs
    from nestgen.training.levels import measure_levels
    from nestgen.training.timing import WARM_UP

    pairs = find_pairs(data)
    runs = (rounds + WARM_UP) * len(spec_of(model).heads)
    with live_bar() as bar:
        task = bar.add_task("measuring levels", total=len(pairs) + runs)
        return measure_levels(
            model,
            pairs,
            tolerance=tolerance,
            rounds=rounds,
            batch_size=batch_size,
            progress=lambda done: bar.advance(task, done),
        )


def choose(model: nn.Module, data: str, tolerance: float | None) -> int:
    """The level that `levels` chooses; its reason goes to stderr."""
    report = measure(model, data, 0.005 if tolerance is None else tolerance, rounds=1)
    click.echo(in_words(report), err=True)
    return report.choice.level


def show(report: Report) -> None:
    """The table of the levels, and the choice in words."""
    from nestgen.cli.tables import count, scaled, show_table

    height, width = report.size
    columns = ["level", "IoU", "Dice", "IoU, all px", "Dice, all px", "parameters"]
    columns += ["MACs", "weights", "ms", "images/s", "peak memory"]
    show_table(
        columns,
        [
            [
                f"L{level.level}",
                f"{level.scores.mean_iou:.4f}",
                f"{level.scores.mean_dice:.4f}",
                f"{level.scores.pixel_iou:.4f}",
                f"{level.scores.pixel_dice:.4f}",
                count(level.cost.parameters),
                scaled(level.cost.macs),
                scaled(level.cost.weight_bytes, "B"),
                f"{1000 * level.seconds:.1f}",
                f"{level.images_per_second:.1f}",
                scaled(level.peak_bytes, "B"),
            ]
            for level in report.levels
        ],
        title=f"{report.images} images; MACs, time and memory at {height}x{width}, "
        f"batch {report.levels[0].batch_size}",
    )
    click.echo(in_words(report))


def in_words(report: Report) -> str:
    """The choice and its reason, a line for each level that is not the best."""
    choice = report.choice
    lines = [
        f"L{level} - L{choice.best}: IoU {d.mean:+.4f} per image, "
        f"95 % interval {d.low:+.4f} to {d.high:+.4f}"
        for level, d in choice.differences.items()
        if level != choice.best
    ]
    return "\n".join(
        [
            *lines,
            f"choice: L{choice.level}, the smallest level within "
            f"{choice.tolerance:g} of the best mean IoU (L{choice.best})",
        ]
    )
