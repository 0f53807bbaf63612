"""Images of fluorescent cells, and their masks, made from a seed.

A cell is a membrane around an interior that is hardly brighter than the background:
what a pixel in the middle of a large cell belongs to, only its surroundings tell.
Cells out of focus and debris are no foreground.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nestgen.imaging.masks import write_mask
from nestgen.imaging.png import write_png

Plane = NDArray[np.float64]

SIDE = 96
"""Pixels on each side of an image."""

SPLITS = {"train": 64, "val": 24, "test": 12}
"""The images of each folder."""

RADII = (5.0, 11.0)
"""The smallest and the largest cell, in pixels."""

DENSITIES = (0.08, 0.50)
"""The share of the field that cells may fill, from sparse to crowded."""

TRIALS = 40
"""The cells that are tried; those that cover another are left out."""


def write_cells(
    folder: Path, seed: int = 0, splits: Mapping[str, int] = SPLITS, side: int = SIDE
) -> None:
    """Write `folder/SPLIT/images/NAME.png` and `masks/NAME.png`, 8 bits of grey.

    An image follows from the seed, its split and its number: one more image changes
    none of the others.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> write_cells(folder, splits={"train": 1}, side=32)
    >>> [path.name for path in sorted(folder.rglob("*.png"))]
    ['train-01.png', 'train-01.png']
    """
    for place, (split, number) in enumerate(splits.items()):
        for index in range(number):
            chance = np.random.default_rng((seed, place, index))
            image, mask = make_field(chance, side)
            name = f"{split}-{index + 1:02}.png"
            write_png(folder / split / "images" / name, image)
            write_mask(folder / split / "masks" / name, mask, classes=1)


def make_field(
    chance: np.random.Generator, side: int
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """One field of view, uint8 `[side, side]`, and where its cells are.

    The light of cells, blurred cells and debris adds up on an uneven background, goes
    through the optics, and is counted: shot noise (Poisson), then the camera's.
    """
    light, mask = _cells(chance, side)
    for _ in range(chance.integers(1, 3)):
        blurred = _light(chance, _depth(chance, side))
        light += 1.5 * blur(blurred, chance.uniform(3.5, 5.5))
    light += _debris(chance, side)
    light += 0.16 + 0.05 * _grain(chance, side, 2.0)
    light = blur(light * _illumination(chance, side), chance.uniform(0.7, 1.1))
    photons = chance.uniform(150, 400)
    counted = chance.poisson(np.maximum(light, 0) * photons) / photons
    seen = counted + chance.normal(0, 0.015, counted.shape)
    return np.rint(np.clip(seen / 1.6, 0, 1) * 255).astype(np.uint8), mask


def blur(plane: Plane, sigma: float) -> Plane:
    """`plane` under a Gaussian of `sigma` pixels, mirrored beyond its borders.

    >>> blur(np.ones((4, 4)), 2.0).round(6).tolist() == np.ones((4, 4)).tolist()
    True
    """
    border = int(np.ceil(4 * sigma))
    wide = np.pad(plane, border, mode="symmetric")
    height, width = wide.shape
    rows, columns = np.fft.fftfreq(height), np.fft.rfftfreq(width)
    passed = np.exp(-2 * (np.pi * sigma) ** 2 * np.add.outer(rows**2, columns**2))
    blurred: Plane = np.fft.irfft2(np.fft.rfft2(wide) * passed, wide.shape)
    return blurred[border:-border, border:-border]


def _cells(chance: np.random.Generator, side: int) -> tuple[Plane, NDArray[np.bool_]]:
    """Cells that overlap a little, until their share of the field is reached."""
    wanted = chance.uniform(*DENSITIES)
    depths = [_depth(chance, side)]
    mask = depths[0] > 0
    for _ in range(TRIALS):
        if mask.mean() >= wanted:
            break
        tried = _depth(chance, side)
        if all(_apart(tried > 0, depth > 0) for depth in depths):
            depths.append(tried)
            mask |= tried > 0
    return sum((_light(chance, depth) for depth in depths), np.zeros(mask.shape)), mask


def _apart(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> bool:
    """Whether two cells share no more than a fifth of the smaller one."""
    return bool(5 * (one & other).sum() <= min(one.sum(), other.sum()))


def _depth(chance: np.random.Generator, side: int) -> Plane:
    """How many pixels inside of a cell each pixel is: a wavy ellipse somewhere."""
    radius = np.exp(chance.uniform(*np.log(RADII)))
    along, across = _axes(chance, side, stretch=chance.uniform(1.0, 1.35))
    outline = radius * (1 + _waves(chance, np.arctan2(across, along)))
    depth: Plane = outline - np.hypot(along, across)
    return depth


def _light(chance: np.random.Generator, depth: Plane) -> Plane:
    """The light of a cell: its membrane, and the little that is inside."""
    membrane = np.exp(-(((depth - 1.0) / 1.3) ** 2))
    light = membrane * (1 + 0.3 * _grain(chance, len(depth), 3.0))
    light += (depth > 0) * (0.10 + 0.05 * _grain(chance, len(depth), 2.0))
    return chance.uniform(0.35, 1.0) * light


def _axes(
    chance: np.random.Generator, side: int, stretch: float
) -> tuple[Plane, Plane]:
    """Coordinates along and across an ellipse of equal area, somewhere, turned."""
    y, x = np.mgrid[:side, :side] - chance.uniform(0, side, (2, 1, 1))
    turn = chance.uniform(0, np.pi)
    along = (np.cos(turn) * x + np.sin(turn) * y) / stretch
    across = (np.cos(turn) * y - np.sin(turn) * x) * stretch
    return along, across


def _waves(chance: np.random.Generator, angle: Plane) -> Plane:
    """A smooth periodic bump of the outline, of the order of a tenth."""
    waves = np.zeros_like(angle)
    for number in range(2, 6):
        height = chance.normal(0, 0.12 / number)
        waves += height * np.cos(number * angle + chance.uniform(0, 2 * np.pi))
    return waves


def _grain(chance: np.random.Generator, side: int, sigma: float) -> Plane:
    """Smooth noise of mean 0 and deviation 1."""
    noise = blur(chance.normal(size=(side, side)), sigma)
    standard: Plane = (noise - noise.mean()) / noise.std()
    return standard


def _debris(chance: np.random.Generator, side: int) -> Plane:
    """Bright specks and short streaks, smaller than any cell."""
    light = np.zeros((side, side))
    for _ in range(chance.integers(3, 12)):
        along, across = _axes(chance, side, stretch=chance.choice([1.0, 1.0, 2.0]))
        speck = np.exp(-(along**2 + across**2) / 2 / 1.5**2)
        light += chance.uniform(0.3, 1.2) * speck
    return light


def _illumination(chance: np.random.Generator, side: int) -> Plane:
    """A lamp that is off centre: between about 0.5 and 1 over the field."""
    y, x = np.mgrid[:side, :side] / side - chance.uniform(0.2, 0.8, (2, 1, 1))
    lit: Plane = np.exp(-chance.uniform(0.3, 1.0) * (x**2 + y**2))
    return lit
