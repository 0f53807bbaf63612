"""The images that an argument of the command line means."""

from __future__ import annotations

import glob
from pathlib import Path

from nestgen.errors import DataError
from nestgen.imaging.picture import SUFFIXES, is_image_name, stem_of


def expand_inputs(argument: str) -> tuple[Path, ...]:
    """A file, the images right in a folder, or those that a glob pattern matches.

    A file that exists is taken whatever it is named; else hidden files and files
    that are not named like images are left out. Sorted by path. Raises `DataError`
    where nothing is left, and for two images of one stem: their masks would have
    one name.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> for name in ("b.png", "a.tif", "notes.txt"):
    ...     (folder / name).touch()
    >>> [path.name for path in expand_inputs(str(folder))]
    ['a.tif', 'b.png']
    """
    path = Path(argument)
    if path.is_file():
        return (path,)
    if path.is_dir():
        found = list(path.iterdir())
    else:
        found = [Path(name) for name in glob.glob(argument, recursive=True)]
    images = sorted(each for each in found if is_image_name(each) and each.is_file())
    if not images:
        raise DataError(
            f"{argument}: no image; give a file, a folder or a pattern of "
            f"{', '.join(sorted(SUFFIXES))} files"
        )
    _refuse_one_stem(images)
    return tuple(images)


def _refuse_one_stem(images: list[Path]) -> None:
    first: dict[str, Path] = {}
    for image in images:
        other = first.setdefault(stem_of(image), image)
        if other != image:
            raise DataError(f"{other} and {image}: their masks would have one name")
