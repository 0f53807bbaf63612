"""Images with their masks, as they lie in folders."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nestgen.errors import DataError
from nestgen.imaging.masks import read_mask
from nestgen.imaging.picture import is_image_name, stem_of
from nestgen.imaging.size import size_text

LAYOUTS = "images/ and masks/, or ID/images/ and ID/masks/, or train/ and val/"


@dataclass(frozen=True)
class Pair:
    """An image and its mask, or one mask for each of its objects."""

    name: str
    image: Path
    masks: tuple[Path, ...]
    per_object: bool = False


def find_pairs(folder: str | os.PathLike[str]) -> tuple[Pair, ...]:
    """The images of a dataset folder with their masks, sorted by name.

    Either `images/NAME.png` with `masks/NAME.png` (any image format on each side),
    or, as the 2018 Data Science Bowl has it, `ID/images/ID.png` with one file for
    each object in `ID/masks/`; a folder that holds nothing but one such folder
    stands for it. Hidden files and files that are no images are not looked at.
    Raises `DataError` with all that is unpaired or doubled.

    >>> import tempfile
    >>> root = Path(tempfile.mkdtemp())
    >>> for side in ("images", "masks"):
    ...     (root / side).mkdir()
    ...     (root / side / "cell.png").touch()
    >>> [pair.name for pair in find_pairs(root)]
    ['cell']
    """
    if not Path(folder).is_dir():
        raise DataError(f"{os.fspath(folder)}: not a folder")
    root = _dataset_in(Path(folder))
    if root is None:
        raise DataError(f"{os.fspath(folder)}: looked for {LAYOUTS}")
    pairs, problems = (_side_by_side if _is_case(root) else _folder_each)(root)
    raise_problems(problems)
    if not pairs:
        raise DataError(f"{root}: has no images in images/")
    return tuple(sorted(pairs, key=lambda pair: pair.name))


def find_splits(
    data: str | os.PathLike[str], val_fraction: float | None = None, seed: int = 0
) -> tuple[tuple[Pair, ...], tuple[Pair, ...]]:
    """The images to train on and those to validate on.

    These are `data/train` and `data/val`. Where there is no `train/`, or with
    `val_fraction` (0.2 if not given), one folder is split: the images are ranked by
    a hash of the seed and their names, and the first validate, that fraction of
    them, at least one and not all. Added images move none past another. Raises
    `DataError` where that cannot be, or where what is asked for is not there.
    """
    root = Path(data)
    train, val = root / "train", root / "val"
    if train.is_dir() and val.is_dir():
        if val_fraction is not None:
            raise DataError(f"{root}: has train/ and val/; val_fraction splits one")
        return find_pairs(train), find_pairs(val)
    if train.is_dir() and val_fraction is None:
        raise DataError(f"{root}: has train/ and no val/; give one, or val_fraction")
    fraction = 0.2 if val_fraction is None else val_fraction
    if not 0 < fraction < 1:
        raise DataError(f"val_fraction={fraction}: must be between 0 and 1")
    return _split(find_pairs(train if train.is_dir() else root), fraction, seed)


def load_labels(pair: Pair) -> NDArray[Any]:
    """The labels `[H, W]`, or `[D, H, W]`, of a pair; objects are united to 0 and 1.

    Raises `DataError` where a mask cannot be read or the masks differ in size.
    """
    if not pair.per_object:
        return read_mask(pair.masks[0])
    union: NDArray[np.bool_] = read_mask(pair.masks[0]) != 0
    for path in pair.masks[1:]:
        labels = read_mask(path)
        if labels.shape != union.shape:
            raise DataError(
                f"{path}: {size_text(labels.shape)}, "
                f"but {pair.masks[0].name} is {size_text(union.shape)}"
            )
        union |= labels != 0
    return union.astype(np.uint8)


def raise_problems(problems: Sequence[str]) -> None:
    """Raise one `DataError` with all problems, if there are any."""
    if problems:
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        raise DataError(f"{count}: {'; '.join(problems)}")


def _side_by_side(root: Path) -> tuple[list[Pair], list[str]]:
    problems: list[str] = []
    images = _by_stem(root / "images", problems)
    masks = _by_stem(root / "masks", problems)
    for stem in sorted(images.keys() ^ masks.keys()):
        missing = "mask" if stem in images else "image"
        path = images.get(stem) or masks[stem]
        problems.append(f"{path}: has no {missing} in {missing}s/")
    both = images.keys() & masks.keys()
    return [Pair(stem, images[stem], (masks[stem],)) for stem in both], problems


def _folder_each(root: Path) -> tuple[list[Pair], list[str]]:
    pairs: list[Pair] = []
    problems: list[str] = []
    for case in filter(_is_case, _folders(root)):
        images, masks = _images(case / "images"), _images(case / "masks")
        if len(images) != 1:
            problems.append(
                f"{case / 'images'}: has {len(images)} images; ID/images/ has 1"
            )
        if not masks:
            problems.append(f"{case / 'masks'}: has no mask")
        if images and masks:
            pairs.append(Pair(case.name, images[0], tuple(masks), per_object=True))
    return pairs, problems


def _by_stem(folder: Path, problems: list[str]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in _images(folder):
        stem = stem_of(path)
        if stem in found:
            problems.append(f"{path}: {found[stem].name} has the same name")
        found.setdefault(stem, path)
    return found


def _split(
    pairs: tuple[Pair, ...], fraction: float, seed: int
) -> tuple[tuple[Pair, ...], tuple[Pair, ...]]:
    if len(pairs) < 2:
        raise DataError(f"{pairs[0].image}: is alone; a split takes two images")
    ranked = sorted(pairs, key=lambda pair: _rank(pair.name, seed))
    share = round(fraction * len(pairs))
    val = {pair.name for pair in ranked[: min(max(share, 1), len(pairs) - 1)]}
    return (
        tuple(pair for pair in pairs if pair.name not in val),
        tuple(pair for pair in pairs if pair.name in val),
    )


def _rank(name: str, seed: int) -> bytes:
    """Where a name comes in a draw that is the same on every machine."""
    return hashlib.sha256(f"{seed}/{name}".encode()).digest()


def _dataset_in(folder: Path) -> Path | None:
    """The folder itself, or the one folder in it, whichever has images."""
    inner = _folders(folder)
    for candidate in [folder, *inner] if len(inner) == 1 else [folder]:
        if _is_case(candidate) or any(map(_is_case, _folders(candidate))):
            return candidate
    return None


def _is_case(folder: Path) -> bool:
    return (folder / "images").is_dir() or (folder / "masks").is_dir()


def _folders(folder: Path) -> list[Path]:
    inside = sorted(folder.iterdir())
    return [path for path in inside if path.is_dir() and not path.name.startswith(".")]


def _images(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return [path for path in sorted(folder.iterdir()) if is_image_name(path)]
