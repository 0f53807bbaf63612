"""Cut a trained network at a level, save what is left, and predict images with it.

    python examples/prune_and_predict.py run/model.pt 2 DATA/val/images -o pruned

writes pruned/model-L2.pt and a mask for each image, pruned/masks/NAME.png.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from nestgen.checkpoint import load, save
from nestgen.imaging.inputs import expand_inputs
from nestgen.imaging.masks import write_mask
from nestgen.inference.predict import predict_file
from nestgen.surgery.cut import prune


def main(argv: Sequence[str] | None = None) -> None:
    """Prune, save, predict."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("level", type=int)
    parser.add_argument("images", help="a folder")
    parser.add_argument("-o", "--output", type=Path, default=Path("pruned"))
    given = parser.parse_args(argv)

    small = prune(load(given.checkpoint), given.level)
    save(small, given.output / f"{given.checkpoint.stem}-L{given.level}.pt")

    for path in expand_inputs(given.images):
        found = predict_file(small, path)
        mask = given.output / "masks" / f"{path.stem}.png"
        write_mask(mask, found.labels, classes=len(found.probabilities))
        print(f"{mask}: {(found.labels != 0).mean():.1%} foreground")


if __name__ == "__main__":
    main()
