"""`nestgen calibrate`: when an image has had enough levels, by data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from nestgen.cli.device import device_option, load_on
from nestgen.cli.window import window_for, window_option

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import nn

    from nestgen.imaging.pairs import Pair
    from nestgen.inference.anytime import Calibration, Signal
    from nestgen.inference.calibrate import Candidate
    from nestgen.inference.look import Seen
    from nestgen.inference.tradeoff import Way


@click.command("calibrate")
@click.argument("model")
@click.option("--data", required=True, metavar="DIR", help="images/ and masks/.")
@click.option("--val-fraction", type=float, help="Of DIR, as train split it.")
@click.option("--loss", type=float, default=0.01, show_default=True, help="Of IoU.")
@click.option("--confidence", type=float, default=0.9, show_default=True)
@click.option("--report", metavar="DIR", help="Images kept apart, to measure it on.")
@click.option("--rounds", type=click.IntRange(1), default=5, show_default=True)
@window_option
@device_option
@click.option("-o", "--output", metavar="FILE", help="The network; model-anytime.pt.")
@click.option("--plot", multiple=True, metavar="FILE", help=".png, .svg or .pdf.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@click.option("--force", is_flag=True, help="Overwrite files that exist.")
def command(
    model: str,
    data: str,
    val_fraction: float | None,
    loss: float,
    confidence: float,
    report: str | None,
    rounds: int,
    window: tuple[int, ...] | None,
    device: str | None,
    output: str | None,
    plot: tuple[str, ...],
    as_json: bool,
    force: bool,
) -> None:
    """Find the rule by which `predict --anytime` stops an image of MODEL early.

    With the confidence, images like those of DIR, which MODEL was not trained on, lose
    no more of their IoU than --loss against the last level, on average. The rule goes
    into a copy of MODEL. The table compares it with every fixed level, and with an
    oracle that knows the masks, on the images of --report, or on DIR's own.

    Example: nestgen calibrate run/model.pt --data DATA/val --report DATA/test
    """
    from nestgen.checkpoint import save
    from nestgen.cli.choosing import images_of
    from nestgen.files import refuse_existing
    from nestgen.inference.calibrate import best, candidates, check_promise
    from nestgen.inference.plot import plot_ways
    from nestgen.training.plot import check_suffix

    for path in plot:
        check_suffix(path)
    file = Path(model)
    target = Path(output or file.with_name(f"{file.stem}-anytime{file.suffix}"))
    refuse_existing(target, *plot, force=force, keep=[file])
    choosing = {"val_fraction": val_fraction, "report": report}
    pairs, held_out = images_of(data, choosing)
    others = pairs if held_out is None else held_out
    network = load_on(model, device)
    check_promise(network, loss, confidence)
    seen_at_once = window_for(network, window)
    seen = _look(network, pairs, seen_at_once)
    found = candidates(seen, network, loss, confidence)
    rule = best(found)
    shown = seen if held_out is None else _look(network, others, seen_at_once)
    ways = _compare(network, others, shown, rule, rounds, seen_at_once)
    save(network, target, extra={"calibration": rule.to_plain()})
    own = ", those it was calibrated on" if held_out is None else ""
    title = f"{len(others)} images{own}"
    for path in plot:
        plot_ways(ways, path, title, loss)
    if as_json:
        click.echo(json.dumps(_plain(found, rule, ways, [target, *plot]), indent=2))
    else:
        _show(found, rule, ways, title)
        click.echo(f"wrote {', '.join(map(str, [target, *plot]))}")


def _look(model: nn.Module, pairs: Sequence[Pair], window: tuple[int, ...]) -> Seen:
    from nestgen.cli.progress import live_bar
    from nestgen.inference.look import look

    with live_bar() as bar:
        task = bar.add_task("looking at images", total=len(pairs))
        return look(model, pairs, window, lambda done: bar.advance(task, done))


def _compare(
    model: nn.Module,
    pairs: Sequence[Pair],
    seen: Seen,
    rule: Calibration,
    rounds: int,
    window: tuple[int, ...],
) -> list[Way]:
    from nestgen.cli.progress import live_bar
    from nestgen.inference.tradeoff import compare_ways

    with live_bar() as bar:
        task = bar.add_task("taking times", total=len(pairs))
        return compare_ways(
            model,
            pairs,
            seen,
            {"rule": rule},
            window=window,
            rounds=rounds,
            progress=lambda done: bar.advance(task, done),
        )


def _plain(
    found: Mapping[Signal, Candidate],
    rule: Calibration,
    ways: Sequence[Way],
    written: Sequence[str | Path],
) -> dict[str, Any]:
    from nestgen.inference.tradeoff import as_good

    return {
        "signals": {
            name: {
                "threshold": one.calibration.threshold,
                "iou_per_image": one.iou,
                "macs": one.macs,
            }
            for name, one in found.items()
        },
        "rule": rule.to_plain(),
        "ways": [way.to_plain() for way in ways],
        "as_good": as_good(ways),
        "written": [str(path) for path in written],
    }


def _show(
    found: Mapping[Signal, Candidate],
    rule: Calibration,
    ways: Sequence[Way],
    title: str,
) -> None:
    """The signals, the ways, and the rule in words."""
    from nestgen.cli.tables import scaled, show_table
    from nestgen.inference.tradeoff import as_good

    show_table(
        ["signal", "IoU", "MACs", "threshold"],
        [
            [
                name,
                f"{one.iou:.4f}",
                scaled(one.macs),
                _number(one.calibration.threshold),
            ]
            for name, one in found.items()
        ],
        title=f"the boldest rule of each signal, on the {rule.images} images that "
        "certify it",
    )
    show_table(
        [
            "",
            "IoU",
            "lost",
            "MACs",
            "ms",
            *(f"at {level}" for level in ways[0].stopped),
        ],
        [
            [
                way.name,
                f"{way.iou:.4f}",
                f"{way.loss:+.4f}",
                scaled(way.macs),
                f"{way.milliseconds:.2f}",
                *map(str, way.stopped.values()),
            ]
            for way in ways
        ],
        title=f"{title}; MACs and time of one, on average",
    )
    click.echo(in_words(rule, list(ways[0].stopped)[-1]))
    for name in as_good(ways):
        click.echo(
            f"{name} alone loses no more on these images, and computes no more: "
            f"nestgen prune --level {name[1:]}"
        )


def in_words(rule: Calibration, last: str) -> str:
    """What is promised, in one line.

    >>> from nestgen.inference.anytime import Calibration
    >>> in_words(Calibration("entropy", {}, None, 0.01, 0.95, 4), "L4")
    'rule: nothing could be certified on 4 images, every image goes to L4'
    """
    if rule.threshold is None:
        return (
            f"rule: nothing could be certified on {rule.images} images, "
            f"every image goes to {last}"
        )
    return (
        f"rule: stop where {rule.signal} is {rule.threshold:.4g} or more; it loses at "
        f"most {rule.loss:g} of {last}'s IoU on average, confidence {rule.confidence:g}"
    )


def _number(threshold: float | None) -> str:
    return "none" if threshold is None else f"{threshold:.4g}"
