"""`nestgen levels`: measure every level of a trained network, and choose one."""

from __future__ import annotations

import json
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
from nestgen.cli.device import device_option, load_on
from nestgen.cli.window import window_for, window_option

if TYPE_CHECKING:
    from nestgen.training.levels import Report


@click.command("levels")
@click.argument("model")
@click.option("--data", required=True, metavar="DIR", help="images/ and masks/.")
@choice_options
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
    rounds: int,
    batch_size: int,
    window: tuple[int, ...] | None,
    device: str | None,
    plot: tuple[str, ...],
    as_json: bool,
    force: bool,
    **choosing: Any,
) -> None:
    """Measure every level of MODEL on the images of DIR, and choose the cheapest.

    The choice is the level of fewest multiply-accumulates, within the limits, that is
    shown by these images to lack less than the margin to the best. --report tests it
    on others. The plot goes to MODEL-levels.png and .svg unless -o names others; with
    --json there is one only if -o names it. --val-fraction measures the images that
    `train` with the same fraction validated on. Images larger than --window are gone
    over by windows; time and memory are those of one.

    Example: nestgen levels run/model.pt --data DATA/val --report DATA/test
    """
    from nestgen.files import refuse_existing
    from nestgen.training.plot import check_suffix, plot_levels

    stem = Path(model).with_suffix("")
    usual = () if as_json else (f"{stem}-levels.png", f"{stem}-levels.svg")
    plots = plot or usual
    for path in plots:
        check_suffix(path)
    refuse_existing(*plots, force=force)
    images = images_of(data, choosing)
    rule = make_rule(choosing)
    network = load_on(model, device)
    seen = window_for(network, window)
    report = measure(network, images, rule, rounds, batch_size, seen)
    if as_json:
        click.echo(json.dumps({**report.to_plain(), "plots": list(plots)}, indent=2))
    else:
        show(report)
    for path in plots:
        plot_levels(report, path)
    if not as_json:
        click.echo(f"wrote {', '.join(plots)}")


def show(report: Report) -> None:
    """The table of the levels, by class too where there are several, and the choice."""
    from nestgen.cli.tables import count, scaled, show_table
    from nestgen.imaging.size import size_text

    columns = ["level", "IoU", "Dice", "IoU, all px", "Dice, all px", "parameters"]
    columns += ["MACs", "weights", "ms", "images/s", "peak memory"]
    own = report.rule.own is not None
    show_table(
        [*columns, *[report.rule.score_name] * own],
        [
            [
                level.name,
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
                *[f"{report.score(level):.4f}"] * own,
            ]
            for level in report.levels
        ],
        title=f"{report.images} images; MACs, time and memory at "
        f"{size_text(report.size)}, batch {report.levels[0].batch_size}",
    )
    classes = report.levels[0].scores.counts.shape[1]
    if classes > 1:
        show_table(
            ["IoU", *(level.name for level in report.levels)],
            [
                [
                    f"class {label}",
                    *(
                        f"{level.scores.of_class(label).mean_iou:.4f}"
                        for level in report.levels
                    ),
                ]
                for label in range(1, classes + 1)
            ],
        )
    click.echo(in_words(report))
