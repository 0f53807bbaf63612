"""`nestgen predict`: the masks that a trained network gives images."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

from nestgen.arch.choices import Mode
from nestgen.cli.anytime import growing
from nestgen.cli.device import device_option, load_on
from nestgen.cli.options import words_of
from nestgen.cli.window import window_for, window_option

if TYPE_CHECKING:
    from torch import nn

    from nestgen.errors import DataError
    from nestgen.inference.predict import Prediction

Targets = dict[str, Path]
"""What is written of one image: "mask", and "probabilities" and "overlay" if asked."""

Found = tuple[Path, "Prediction | DataError"]
"""An image, and what is said of it, or why nothing is."""


@click.command("predict")
@click.argument("model")
@click.argument("images")
@click.option("-o", "--output", required=True, metavar="MASKS", help="Their folder.")
@click.option("--level", type=int, metavar="K", help="Cut the network there first.")
@click.option(
    "--mode",
    type=words_of(Mode),
    default="fast",
    show_default=True,
    help="One head, or the mean of all.",
)
@click.option("--anytime", is_flag=True, help="Stop early, as it was calibrated to.")
@click.option("--budget-ms", type=float, metavar="B", help="As many levels as fit.")
@click.option("--probabilities", is_flag=True, help="Write them too, as floats.")
@click.option("--overlay", is_flag=True, help="Draw contours: overlays/NAME.png too.")
@window_option
@device_option
@click.option("--json", "as_json", is_flag=True, help="Print what is written as JSON.")
@click.option("--force", is_flag=True, help="Overwrite files that exist.")
@click.pass_context
def command(
    context: click.Context,
    model: str,
    images: str,
    output: str,
    level: int | None,
    mode: Mode,
    anytime: bool,
    budget_ms: float | None,
    probabilities: bool,
    overlay: bool,
    window: tuple[int, ...] | None,
    device: str | None,
    as_json: bool,
    force: bool,
) -> None:
    """Write the mask of each of IMAGES, a file, a folder or a pattern in quotes.

    A mask is MASKS/NAME.png at its image's size: 0 and 255 for one class, the labels
    for several. Of a volume it is NAME.nii.gz with the image's affine, or NAME.tif, as
    the image is. Images larger than --window are gone over by windows that overlap by
    half. With --anytime, of a network from `nestgen calibrate`, each image stops at the
    first level that is enough; with --budget-ms, when the next would take too long;
    what is gone over by windows stops at the last. A file that cannot be used is named
    and left out; the exit status is then 1, or 2 where no image is left.

    --mode accurate takes the mean of the probabilities of all heads, with --level K of
    those up to K.

    Example: nestgen predict run/model-L2.pt IMAGES -o MASKS
    """
    from nestgen.codegen.load import spec_of
    from nestgen.imaging.inputs import expand_inputs
    from nestgen.surgery.cut import prune

    if sum([level is not None, anytime, budget_ms is not None]) > 1:
        raise click.UsageError("one of --level, --anytime and --budget-ms is allowed")
    if mode == "accurate" and (anytime or budget_ms is not None):
        raise click.UsageError("--mode accurate needs all heads, and stops at none")
    paths = expand_inputs(images)
    network = load_on(model, device)
    if level is not None:
        heads = spec_of(network).heads
        lower = [head for head in heads if head < level] if mode == "accurate" else []
        network = prune(network, [*lower, level])
    deep = spec_of(network).dims == 3
    jobs = {
        path: _targets(path, Path(output), deep, probabilities, overlay)
        for path in paths
    }
    _refuse(Path(output), jobs, force)
    seen = window_for(network, window)
    found: Iterable[Found] = (
        growing(network, paths, seen, budget_ms)
        if anytime or budget_ms is not None
        else _one_by_one(network, paths, seen, mode)
    )
    written, skipped, stopped = _write_each(found, jobs)
    counts = dict(sorted(Counter(stopped.values()).items()))
    if as_json:
        files = [str(path) for targets in written for path in targets.values()]
        told = {"stopped": counts, "levels": stopped} if stopped else {}
        click.echo(json.dumps({"written": files, "skipped": skipped, **told}, indent=2))
    else:
        for targets in written:
            names = map(click.format_filename, targets.values())
            click.echo(f"wrote {', '.join(names)}")
        ends = "".join(f", {number} at {name}" for name, number in counts.items())
        click.echo(f"predicted {len(written)} of {len(jobs)} images{ends}")
    if skipped:
        context.exit(1 if written else 2)


def _targets(
    image: Path, folder: Path, deep: bool, probabilities: bool, overlay: bool
) -> Targets:
    """Volumes are written in the format in which they are read."""
    from nestgen.imaging.nifti import is_nifti_name
    from nestgen.imaging.picture import stem_of

    stem = stem_of(image)
    volume = ".nii.gz" if is_nifti_name(image) else ".tif"
    targets = {"mask": folder / f"{stem}{volume if deep else '.png'}"}
    if probabilities:
        name = f"{stem}{volume if deep else '.tif'}"
        targets["probabilities"] = folder / "probabilities" / name
    if overlay:
        targets["overlay"] = folder / "overlays" / f"{stem}.png"
    return targets


def _refuse(folder: Path, jobs: Mapping[Path, Targets], force: bool) -> None:
    """Raise, before anything is computed, for files that must not be overwritten."""
    from nestgen.errors import OutputError
    from nestgen.files import refuse_existing

    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder}: is a file; the masks go into a folder")
    images = {image.resolve() for image in jobs}
    for target in _all(jobs.values()):
        if target.resolve() in images:
            raise OutputError(f"{target}: is one of the images; give another folder")
    for target in _all(jobs.values()):
        refuse_existing(target, force=force)


def _all(jobs: Iterable[Targets]) -> list[Path]:
    return [path for targets in jobs for path in targets.values()]


def _one_by_one(
    model: nn.Module, images: Iterable[Path], window: tuple[int, ...], mode: Mode
) -> Iterator[Found]:
    """What a network says of each image in a mode, or why it says nothing."""
    from nestgen.errors import DataError
    from nestgen.inference.predict import predict_file

    for image in images:
        try:
            yield image, predict_file(model, image, window, mode)
        except DataError as error:
            yield image, error


def _write_each(
    found: Iterable[Found], jobs: Mapping[Path, Targets]
) -> tuple[list[Targets], dict[str, str], dict[str, str]]:
    """What was written, the reason for each file that was left out, and the level at
    which each image stopped, where they stop early."""
    from nestgen.cli.progress import live_bar
    from nestgen.errors import DataError
    from nestgen.inference.growing import Grown

    written: list[Targets] = []
    skipped: dict[str, str] = {}
    stopped: dict[str, str] = {}
    with live_bar() as bar:
        for image, one in bar.track(found, total=len(jobs), description="predicting"):
            try:
                if isinstance(one, DataError):
                    raise one
                _write(one, image, jobs[image])
            except DataError as error:
                bar.console.out(f"nestgen: {error}")  # click would write into the bar
                skipped[str(image)] = str(error).removeprefix(f"{image}: ")
            else:
                written.append(jobs[image])
                if isinstance(one, Grown):
                    stopped[str(image)] = f"L{one.level}"
    return written, skipped, stopped


def _write(found: Prediction, image: Path, targets: Targets) -> None:
    """The mask comes last: where it is, the others are."""
    from nestgen.imaging.masks import write_mask
    from nestgen.inference.predict import write_overlay, write_probabilities

    if "overlay" in targets:
        write_overlay(targets["overlay"], image, found.labels)
    if "probabilities" in targets:
        write_probabilities(targets["probabilities"], found.probabilities, image)
    classes = len(found.probabilities)
    write_mask(targets["mask"], found.labels, classes, like=image)
