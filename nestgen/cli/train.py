"""`nestgen train`: train a nested U-Net on a folder of images and masks."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from nestgen.cli.options import Size, make_spec, spec_options

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nestgen.arch.spec import NestSpec
    from nestgen.imaging.inventory import Inventory
    from nestgen.imaging.pairs import Pair
    from nestgen.training.loop import Outcome
    from nestgen.training.settings import Settings

INTERRUPTED = 130


class LevelWeight(click.ParamType[tuple[str, float]]):
    """A head's weight in the loss, as L2=0.5."""

    name = "Lk=W"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Any:
        """The pair (level, weight)."""
        level, _, weight = str(value).partition("=")
        try:
            return level, float(weight)
        except ValueError:
            self.fail(f"{value!r}: a level and its weight, as L2=0.5", param, ctx)


@click.command("train")
@click.argument("data")
@spec_options
@click.option("-o", "--output", metavar="RUN", default="run", show_default=True)
@click.option("--val-fraction", type=float, help="Split one folder.  [0.2]")
@click.option("--epochs", type=int, help="Passes, of 16 steps or more.  [40]")
@click.option("--batch-size", type=int, help="Images a step.  [4, volumes 2]")
@click.option(
    "--learning-rate", type=float, help="Its peak.  [0.003, without a norm 0.0003]"
)
@click.option("--weight-decay", type=float, help="Of AdamW.  [0.01]")
@click.option("--patience", type=int, help="Epochs without a better IoU.  [12]")
@click.option("--patch", type=Size(), help="What training sees of an image.")
@click.option("--augment/--no-augment", default=None, help="Vary the images.  [yes]")
@click.option("--precision", type=click.Choice(["no", "fp16", "bf16"]), help="[no]")
@click.option(
    "--fused", is_flag=True, default=None, help="With less memory (see docs)."
)
@click.option("--level-weight", "level_weights", type=LevelWeight(), multiple=True)
@click.option("--deep-supervision/--no-deep-supervision", default=None)
@click.option(
    "--pretrained", is_flag=True, default=None, help="Give the encoder timm's weights."
)
@click.option("--download", is_flag=True, help="Fetch them if they are not here.")
@click.option("--workers", type=int, help="Processes that read images ahead.  [0]")
@click.option("--seed", type=int, help="Of weights, order, variation.  [0]")
@click.option("--resume", is_flag=True, help="Go on with the run in RUN.")
@click.option("--force", is_flag=True, help="Begin again where a run exists.")
def command(
    data: str,
    output: str,
    deep_supervision: bool | None,
    download: bool,
    resume: bool,
    force: bool,
    **options: Any,
) -> None:
    """Train on DATA: train/ and val/, each with images/ and masks/ of equal names.

    Images, or volumes: .nii, .nii.gz and stacks of TIFF pages.

    Or one such folder, split by --val-fraction; or the Data Science Bowl's layout with
    a mask for each object. RUN/model.pt is the best network so far, RUN/last.pt the
    newest state, RUN/log.jsonl a line for each epoch.

    Example: nestgen train DATA --depth 4 --dense -o run
    """
    from nestgen.imaging.pairs import find_splits
    from nestgen.training.prepare import check_folder

    folder, given = Path(output), _settings_given(options)
    check_folder(folder, resume, force)
    if resume:
        described = {**given, **options, "deep_supervision": deep_supervision}
        described["download"] = download or None
        if force or any(value is not None for value in described.values()):
            raise click.UsageError(
                "--resume goes on as it began; give DATA and -o alone"
            )
        from nestgen.training.loop import saved_run

        spec, settings = saved_run(folder)
        splits = find_splits(data, settings.val_fraction)
        check([*splits[0], *splits[1]])
    else:
        splits = find_splits(data, given.get("val_fraction"))
        inventory = check([*splits[0], *splits[1]])
        spec = _spec(options, inventory)
        if deep_supervision is False:
            spec = spec.replace(heads=[spec.depth])
        settings = _settings(given, inventory, spec)
        if settings.pretrained:
            from nestgen.codegen.timm_weights import find_weights

            find_weights(spec, download=download)
        elif download:
            raise click.UsageError("--download goes with --pretrained")
    run(spec, *splits, folder, settings, resume=resume, data=data)


def check(pairs: Sequence[Pair]) -> Inventory:
    """Read all images and masks once, under a bar; name everything that is wrong."""
    from nestgen.cli.progress import live_bar
    from nestgen.imaging.inventory import check_pairs

    with live_bar() as bar:
        task = bar.add_task("checking images", total=len(pairs))
        return check_pairs(pairs, lambda pair: bar.advance(task))


def run(
    spec: NestSpec,
    train_pairs: Sequence[Pair],
    val_pairs: Sequence[Pair],
    folder: Path,
    settings: Settings,
    *,
    resume: bool,
    data: str,
) -> None:
    """Train with a live bar; exit with 130 and the way to go on if interrupted."""
    from nestgen.cli.progress import speaks
    from nestgen.cli.training import LiveRun
    from nestgen.imaging.size import size_text
    from nestgen.training.loop import train

    _warn(spec, settings)
    classes = "1 class" if spec.classes == 1 else f"{spec.classes} classes"
    headline = (
        f"{spec.label}, {spec.in_channels} channels in, {classes}, "
        f"{len(train_pairs)} images to train on, {len(val_pairs)} to validate, "
        f"patches of {size_text(settings.patch)}"
    )
    with LiveRun(headline, len(val_pairs)) as observer:
        outcome = train(
            spec,
            train_pairs,
            val_pairs,
            folder,
            settings,
            resume=resume,
            observer=observer,
        )
    _part()
    if speaks():
        click.echo(_outcome(outcome, data, folder), err=outcome.interrupted)
    if outcome.interrupted:
        sys.exit(INTERRUPTED)


def _part() -> None:
    """Leave the processes that trained along; who does not may abort as it ends."""
    from torch import distributed

    if distributed.is_available() and distributed.is_initialized():
        distributed.barrier()
        distributed.destroy_process_group()


def _warn(spec: NestSpec, settings: Settings) -> None:
    """Say what the loss does not train, by the graph alone."""
    from nestgen.arch.graph import NestGraph
    from nestgen.arch.unreached import unreached
    from nestgen.cli.progress import speaks

    levels = settings.supervised(spec.heads)
    parts = unreached(NestGraph(spec), levels)
    if parts and speaks():
        click.echo(
            f"nestgen: warning: no gradient from {', '.join(f'L{k}' for k in levels)} "
            f"reaches {', '.join(part.name for part in parts)}; "
            f"{sum(part.parameters for part in parts):,} parameters stay as they begin",
            err=True,
        )


def _outcome(outcome: Outcome, data: str, folder: Path) -> str:
    if outcome.interrupted:
        again = ["nestgen", "train", data, "-o", str(folder), "--resume"]
        return (
            f"stopped in epoch {outcome.epoch}, all saved; "
            f"go on with: {shlex.join(again)}"
        )
    return (
        f"wrote {folder / 'model.pt'}: epoch {outcome.best_epoch}, "
        f"IoU {outcome.best_score:.4f} per image on val"
    )


def _settings_given(options: dict[str, Any]) -> dict[str, Any]:
    """Take the settings out of the options; what is left describes the network."""
    from nestgen.training.settings import Settings

    names = [name for name in Settings.__dataclass_fields__ if name in options]
    taken = {name: options.pop(name) for name in names}
    taken["level_weights"] = dict(taken["level_weights"]) or None
    return {name: value for name, value in taken.items() if value is not None}


def _spec(options: dict[str, Any], inventory: Inventory) -> NestSpec:
    from nestgen.training.prepare import check_classes, check_dims

    found = {"in_channels": inventory.channels, "classes": inventory.classes}
    spec = make_spec(options, **found, dims=inventory.dims)
    check_dims(inventory, spec.dims)
    check_classes(inventory, spec.classes)
    return spec


def _settings(given: dict[str, Any], inventory: Inventory, spec: NestSpec) -> Settings:
    from nestgen.arch.cost import full_size
    from nestgen.arch.graph import NestGraph
    from nestgen.training.prepare import BATCH_SIZE, learning_rate_of, patch_size
    from nestgen.training.settings import Settings
    from nestgen.training.window import check_sides

    multiples = NestGraph(spec).multiples
    defaults = {
        "patch": patch_size(inventory, multiples),
        "batch_size": BATCH_SIZE[spec.dims],
        "learning_rate": learning_rate_of(spec),
    }
    if "patch" in given:
        given = {**given, "patch": full_size(given["patch"], spec.dims, "patch")}
    settings = Settings(**{**defaults, **given})
    check_sides("patch", settings.patch, multiples)
    return settings
