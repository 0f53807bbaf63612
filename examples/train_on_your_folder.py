"""Train on a folder of images and masks, then choose the level that is enough.

    python examples/train_on_your_folder.py DATA -o run

DATA has images/ and masks/ with files of equal names; a fifth of them validates. The
run is in run/, and run/model-L?.pt is the cut that was chosen.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import nestgen
from nestgen.imaging.inventory import check_pairs
from nestgen.imaging.pairs import find_splits
from nestgen.training.levels import measure_levels
from nestgen.training.prepare import patch_size
from nestgen.training.settings import Settings


def main(argv: Sequence[str] | None = None) -> None:
    """Check the data, train, measure, cut."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("-o", "--output", type=Path, default=Path("run"))
    parser.add_argument("--depth", type=int, default=4)
    parser.add_argument("--epochs", type=int, default=40)
    given = parser.parse_args(argv)

    train_pairs, val_pairs = find_splits(given.data, val_fraction=0.2)
    found = check_pairs([*train_pairs, *val_pairs])
    spec = nestgen.NestSpec(
        depth=given.depth, in_channels=found.channels, classes=found.classes
    )
    patch = patch_size(found, nestgen.NestGraph(spec).multiples)
    settings = Settings(epochs=given.epochs, patch=patch)
    outcome = nestgen.train(spec, train_pairs, val_pairs, given.output, settings)
    print(f"best IoU on val: {outcome.best_score:.3f} in epoch {outcome.best_epoch}")

    model = nestgen.load(given.output / "model.pt")
    report = measure_levels(model, val_pairs)
    for level in report.levels:
        print(
            f"{level.name}: IoU {level.scores.mean_iou:.3f}, "
            f"{level.cost.parameters:,} parameters, {1000 * level.seconds:.1f} ms"
        )

    kept = report.chosen
    path = given.output / f"model-{kept.name}.pt"
    nestgen.save(nestgen.prune(model, kept.heads), path)
    print(f"{kept.name} is enough: {path}")


if __name__ == "__main__":
    main()
