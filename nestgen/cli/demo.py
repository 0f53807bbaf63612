"""`nestgen demo`: every step of the way, on images of its own making."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

if TYPE_CHECKING:
    from nestgen.demo.page import Result
    from nestgen.demo.run import Folder, Scale


@click.command("demo")
@click.option("-o", "--output", metavar="DIR", default="demo", show_default=True)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option("--force", is_flag=True, help="Write into a folder that is not empty.")
def command(output: str, seed: int, force: bool) -> None:
    """Make images of cells, train, choose the level, cut there, predict, show it all.

    One to three minutes on one core, without a GPU and without a download.

    Example: nestgen demo -o demo
    """
    from nestgen.demo.run import Folder, Scale

    run(Folder(Path(output)), Scale(), seed, force)


def run(folder: Folder, scale: Scale, seed: int, force: bool = False) -> Result:
    """The steps of the other commands, one after the other, and a page about them."""
    from nestgen.checkpoint import load
    from nestgen.cli import choosing, levels, train
    from nestgen.demo.cells import write_cells
    from nestgen.demo.page import Result, write_page
    from nestgen.demo.run import label_images, one_thread, write_masks
    from nestgen.drawing import draw
    from nestgen.imaging.pairs import find_pairs, find_splits
    from nestgen.surgery.write import write_cut
    from nestgen.training.plot import plot_levels
    from nestgen.training.rule import Rule

    folder.check(force)
    data = str(folder.data)
    images = ", ".join(f"{split} {number}" for split, number in scale.images.items())
    _say(1, f"make images of fluorescent cells: {images}")
    write_cells(folder.data, seed, scale.images, scale.side)
    with one_thread():
        _say(2, "train one network, with a head at each level")
        splits = find_splits(data)
        settings = scale.settings(seed)
        train.run(scale.spec, *splits, folder.run, settings, resume=False, data=data)
        model = load(folder.model)

        _say(3, "measure every level, and choose the smallest that is enough")
        val = choosing.Images(splits[1], None)
        rule = Rule(margin=scale.margin)
        report = choosing.measure(model, val, rule, scale.rounds)
        for path in folder.plots:
            plot_levels(report, path)
        (level,) = report.chosen.heads

        _say(4, f"cut the network at L{level}, and prove the cut")
        proof = write_cut(model, [level], folder.cut(level), folder.source(level))

        _say(5, "predict the test images, draw the network, write the page")
        tests = find_pairs(folder.data / "test")
        labels = label_images(model, tests)
    write_masks(tests, labels[level], folder.masks)
    for path in folder.drawings:
        draw(scale.spec, path, level=level, channels=True)
    title = f"nestgen demo, {scale.spec.label}, seed {seed}"
    result = Result(title, report, proof, tests, labels)
    write_page(result, folder)

    levels.show(report)
    _summarise(result, folder)
    return result


def _say(step: int, words: str) -> None:
    click.secho(f"[{step}/5] {words}", err=True, bold=True)


def _summarise(result: Result, folder: Folder) -> None:
    from nestgen.demo.run import next_commands

    (level,) = result.report.chosen.heads
    click.echo(result.proof.statement)
    click.echo(
        f"\n{result.headline}\n"
        f"\n  {folder.index}  shows it all"
        f"\n  {folder.cut(level)}  is the network cut at L{level}"
        f"\n  {folder.source(level)}  is its source"
        "\n\nWith your own images, DATA/train and DATA/val, each images/ and masks/:\n"
    )
    for line in next_commands():
        click.echo(f"  {line}")
