"""Options for the choice of a level, and the words in which it is told."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import rich_click as click

from nestgen.arch.choices import Mode
from nestgen.cli.options import Amount, words_of

if TYPE_CHECKING:
    from torch import nn

    from nestgen.imaging.pairs import Pair
    from nestgen.training.evaluate import Metric
    from nestgen.training.levels import Report
    from nestgen.training.rule import Rule

Command = TypeVar("Command", bound=Callable[..., Any])

_OPTIONS = [
    click.option("--val-fraction", type=float, help="Of DIR, as train split it."),
    click.option(
        "--report", metavar="DIR", help="images/ and masks/ by which nothing is chosen."
    ),
    click.option(
        "--metric",
        metavar="NAME",
        help="iou, dice, PACKAGE.MOD:FUNCTION or FILE.py:FUNCTION.  [iou]",
    ),
    click.option(
        "--class", "of_class", type=int, metavar="K", help="By this class.  [mean]"
    ),
    click.option("--margin", type=float, help="That may be lacked.  [0.01]"),
    click.option("--confidence", type=float, help="Of the choice.  [0.95]"),
    click.option(
        "--mode", type=words_of(Mode), help="One head, or the mean of all.  [fast]"
    ),
    click.option("--max-ms", type=float, help="Milliseconds of a pass."),
    click.option("--max-params", type=Amount(), help="Parameters."),
    click.option("--max-bytes", type=Amount(), help="Bytes of weights."),
    click.option("--max-memory", type=Amount(), help="Peak bytes of a pass."),
]


def choice_options(command: Command) -> Command:
    """What a level is chosen by: keywords for `images_of` and `make_rule`."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


class Images(NamedTuple):
    """Those by which a level is chosen, and those on which it is reported."""

    calibration: Sequence[Pair]
    held_out: Sequence[Pair] | None


def images_of(data: str, options: dict[str, Any]) -> Images:
    """The images that the options name; takes `val_fraction` and `report` out."""
    from nestgen.imaging.pairs import find_pairs
    from nestgen.training.levels import require_apart

    pairs, report = val_pairs(data, options.pop("val_fraction")), options.pop("report")
    held_out = None if report is None else find_pairs(report)
    require_apart(pairs, held_out or [])
    return Images(pairs, held_out)


def val_pairs(data: str, val_fraction: float | None) -> Sequence[Pair]:
    """All images of a folder, or those of it that a fraction leaves to validate on."""
    from nestgen.imaging.pairs import find_pairs, find_splits

    return (
        find_pairs(data) if val_fraction is None else find_splits(data, val_fraction)[1]
    )


def make_rule(options: Mapping[str, Any]) -> Rule:
    """The rule that the options describe."""
    from nestgen.training.rule import Rule

    given = {name: value for name, value in options.items() if value is not None}
    metric = given.get("metric", "iou")
    if metric not in ("iou", "dice"):
        given["metric"] = _own_metric(metric)
    return Rule(**given)


def _own_metric(where: str) -> Metric:
    """The function at `where`, which is imported; its errors become one line."""
    from nestgen.errors import ModuleError
    from nestgen.surgery.outside import load_class, told

    if ":" not in where:
        raise click.UsageError(
            f"--metric: {where!a} is not allowed, iou, dice, PACKAGE.MOD:FUNCTION or "
            "FILE.py:FUNCTION"
        )
    with told(f"{where}: cannot be imported"):
        function = load_class(where)
    if not callable(function):
        raise ModuleError(f"{where}: is no function")

    def metric(found: Any, true: Any) -> float:
        with told(f"{where}: fails"):
            return float(function(found, true))

    metric.__name__ = where.rpartition(":")[2]
    return metric


def measure(
    model: nn.Module,
    images: Images,
    rule: Rule,
    rounds: int = 15,
    batch_size: int = 1,
    window: tuple[int, ...] | None = None,
) -> Report:
    """Measure under a bar; both `levels` and `prune --level auto` do."""
    from nestgen.cli.progress import live_bar
    from nestgen.codegen.load import spec_of
    from nestgen.training.levels import measure_levels, measured_groups
    from nestgen.training.timing import WARM_UP

    seen = len(images.calibration) + len(images.held_out or [])
    groups = measured_groups(spec_of(model).heads, rule.mode)
    with live_bar() as bar:
        runs = (rounds + WARM_UP) * len(groups)
        task = bar.add_task("measuring levels", total=seen + runs)
        return measure_levels(
            model,
            images.calibration,
            held_out=images.held_out,
            rule=rule,
            window=window,
            rounds=rounds,
            batch_size=batch_size,
            progress=lambda done: bar.advance(task, done),
        )


def in_words(report: Report) -> str:
    """The choice and its reason, a line for each level that is not the best."""
    choice, score = report.choice, report.rule.score_name
    lines = [
        f"{name}: {score} {found.mean:+.4f} to the best on {choice.images} images, "
        f"between {found.low:+.4f} and {found.high:+.4f}: "
        f"{found.verdict(choice.margin)}"
        for name, found in choice.differences.items()
        if name != choice.best
    ]
    return "\n".join(
        [*lines, *_too_few(report), *_limited(report), _chosen(report), _tested(report)]
    )


def _too_few(report: Report) -> list[str]:
    choice, lines = report.choice, []
    for name in choice.undecided:
        needed = choice.images_needed(name)
        more = "far more" if needed is None else f"about {float(f'{needed:.1e}'):.0f}"
        lines.append(
            f"{choice.images} images are too few to tell whether {name} is within "
            f"{choice.margin:g} of the best; {more} might do"
        )
    return lines


def _limited(report: Report) -> list[str]:
    """What the limits cost, where the best of all is beyond them."""
    if report.beyond_limits is None:
        return []
    best, lost = report.beyond_limits
    return [
        f"{best}, the best of all, is beyond the limits: on {report.images} images "
        f"{report.rule.score_name} {lost:.4f} above {report.choice.level}"
    ]


def _chosen(report: Report) -> str:
    choice = report.choice
    if choice.level == choice.best:
        if next(iter(choice.differences)) == choice.best:
            return f"choice: {choice.level}, the best, and the cheapest"
        return (
            f"choice: {choice.level}, the best; no cheaper level is shown to be within "
            f"{choice.margin:g} of it"
        )
    return (
        f"choice: {choice.level}, the cheapest level that is shown to be within "
        f"{choice.margin:g} of the best {report.rule.score_name} "
        f"({choice.best}), with confidence {choice.confidence:g}"
    )


def _tested(report: Report) -> str:
    """Whether other images bear the choice out."""
    choice = report.choice
    if report.held_out is None:
        return (
            f"all numbers are of the {choice.images} images by which it was chosen; "
            "--report DIR tells those of others"
        )
    found = report.held_out[choice.level]
    if len(report.held_out) == 1:
        return f"{report.images} other images cannot test it: the limits leave no other"
    return (
        f"on {report.images} images by which nothing was chosen, {choice.level}: "
        f"{report.rule.score_name} {found.mean:+.4f} to the best, between "
        f"{found.low:+.4f} and {found.high:+.4f}: {found.verdict(choice.margin)}"
    )
