"""`nestgen levels`: measure every level of a trained network, and choose one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

from nestgen.cli.device import device_option, load_on
from nestgen.cli.window import window_for, window_option

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import nn

    from nestgen.imaging.pairs import Pair
    from nestgen.training.levels import Report


@click.command("levels")
@click.argument("model")
@click.option("--data", required=True, metavar="DIR", help="images/ and masks/.")
@click.option("--val-fraction", type=float, help="Of DIR, as train split it.")
@click.option("--tolerance", type=float, default=0.005, show_default=True)
@click.option("--rounds", type=click.IntRange(1), default=15, show_default=True)
@click.option("--batch-size", type=click.IntRange(1), default=1, show_default=True)
@window_option
@device_option
@click.option("-o", "--plot", multiple=True, metavar="FILE", help=".png, .svg or .pdf.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@click.option("--force", is_flag=True, help="Overwrite files that exist.")
def command(
    model: str,
    data: str,
    val_fraction: float | None,
    tolerance: float,
    rounds: int,
    batch_size: int,
    window: tuple[int, ...] | None,
    device: str | None,
    plot: tuple[str, ...],
    as_json: bool,
    force: bool,
) -> None:
    """Measure every level of MODEL on the images of DIR, and choose the smallest.

    The choice is the smallest level whose mean IoU is within the tolerance of the
    best. The plot goes to MODEL-levels.png and .svg unless -o names others; with
    --json there is one only if -o names it. --val-fraction measures the images that
    `train` with the same fraction validated on. Images larger than --window are gone
    over by windows; time and memory are those of one.

    Example: nestgen levels run/model.pt --data DATA/val
    """
    from nestgen.files import refuse_existing
    from nestgen.training.choice import check_tolerance
    from nestgen.training.plot import check_suffix, plot_levels

    stem = Path(model).with_suffix("")
    usual = () if as_json else (f"{stem}-levels.png", f"{stem}-levels.svg")
    plots = plot or usual
    for path in plots:
        check_suffix(path)
    refuse_existing(*plots, force=force)
    check_tolerance(tolerance)
    pairs = val_pairs(data, val_fraction)
    network = load_on(model, device)
    seen = window_for(network, window)
    report = measure(network, pairs, tolerance, rounds, batch_size, seen)
    if as_json:
        click.echo(json.dumps({**report.to_plain(), "plots": list(plots)}, indent=2))
    else:
        show(report)
    for path in plots:
        plot_levels(report, path)
    if not as_json:
        click.echo(f"wrote {', '.join(plots)}")


def val_pairs(data: str, val_fraction: float | None) -> Sequence[Pair]:
    """All images of a folder, or those of it that a fraction leaves to validate on."""
    from nestgen.imaging.pairs import find_pairs, find_splits

    return (
        find_pairs(data) if val_fraction is None else find_splits(data, val_fraction)[1]
    )


def measure(
    model: nn.Module,
    pairs: Sequence[Pair],
    tolerance: float,
    rounds: int = 15,
    batch_size: int = 1,
    window: tuple[int, ...] | None = None,
) -> Report:
    """Measure under a bar; both `levels` and `prune --level auto` do."""
    from nestgen.cli.progress import live_bar
    from nestgen.codegen.load import spec_of
    from nestgen.training.levels import measure_levels
    from nestgen.training.timing import WARM_UP

    runs = (rounds + WARM_UP) * len(spec_of(model).heads)
    with live_bar() as bar:
        task = bar.add_task("measuring levels", total=len(pairs) + runs)
        return measure_levels(
            model,
            pairs,
            window=window,
            tolerance=tolerance,
            rounds=rounds,
            batch_size=batch_size,
            progress=lambda done: bar.advance(task, done),
        )


def choose(
    model: nn.Module,
    pairs: Sequence[Pair],
    tolerance: float | None,
    window: tuple[int, ...] | None,
) -> int:
    """The level that `levels` chooses; its reason goes to stderr."""
    report = measure(
        model,
        pairs,
        0.005 if tolerance is None else tolerance,
        rounds=1,
        window=window_for(model, window),
    )
    click.echo(in_words(report), err=True)
    return report.choice.level


def show(report: Report) -> None:
    """The table of the levels, and the choice in words."""
    from nestgen.cli.tables import count, scaled, show_table
    from nestgen.imaging.size import size_text

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
        title=f"{report.images} images; MACs, time and memory at "
        f"{size_text(report.size)}, batch {report.levels[0].batch_size}",
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
