"""The demo's own part in each step: how large it is, where things lie, what it cuts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from torch import nn

from nestgen.arch.spec import NestSpec
from nestgen.codegen.load import spec_of
from nestgen.demo.cells import SIDE, SPLITS
from nestgen.errors import OutputError
from nestgen.imaging.masks import write_mask
from nestgen.imaging.pairs import Pair
from nestgen.inference.predict import predict_file, write_overlay
from nestgen.surgery.cut import prune
from nestgen.training.settings import Settings

Labels = NDArray[Any]


@dataclass(frozen=True)
class Scale:
    """How large a demo is: by default, done in a minute or two on one core.

    `margin` is how much of the best level's mean IoU a smaller level may lack.
    """

    images: Mapping[str, int] = field(default_factory=lambda: SPLITS)
    side: int = SIDE
    depth: int = 4
    width: int = 8
    patch: int = 64
    epochs: int = 12
    batch_size: int = 8
    learning_rate: float = 3e-3
    margin: float = 0.02
    rounds: int = 15

    @property
    def spec(self) -> NestSpec:
        """The network: a UNet++ for grey images, narrow, with a head at each level."""
        return NestSpec(depth=self.depth, widths=self.width, in_channels=1)

    def settings(self, seed: int) -> Settings:
        """How it is trained: for all of its epochs."""
        return Settings(
            epochs=self.epochs,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            patch=(self.patch, self.patch),
            patience=self.epochs,
            seed=seed,
        )


@dataclass(frozen=True)
class Folder:
    """The files of a demo."""

    path: Path

    @property
    def data(self) -> Path:
        """Images and masks: train/, val/ and test/."""
        return self.path / "data"

    @property
    def run(self) -> Path:
        """What the training leaves."""
        return self.path / "run"

    @property
    def model(self) -> Path:
        """The whole network, as trained."""
        return self.run / "model.pt"

    @property
    def masks(self) -> Path:
        """The masks of the test images, and overlays/ of them."""
        return self.path / "masks"

    @property
    def index(self) -> Path:
        """The page that shows it all."""
        return self.path / "index.html"

    @property
    def plots(self) -> tuple[Path, Path]:
        """What quality costs, level by level."""
        return self.path / "levels.svg", self.path / "levels.png"

    @property
    def drawings(self) -> tuple[Path, Path]:
        """The network, with what the cut drops in grey."""
        return self.path / "network.svg", self.path / "network.png"

    def cut(self, level: int) -> Path:
        """The network cut at a level."""
        return self.path / f"model-L{level}.pt"

    def source(self, level: int) -> Path:
        """The source of that cut."""
        return self.path / f"model_L{level}.py"

    def check(self, force: bool) -> None:
        """Raise `OutputError` where something lies already and `force` is not given."""
        if self.path.exists() and not self.path.is_dir():
            raise OutputError(f"{self.path}: is a file; the demo goes into a folder")
        if not force and self.path.is_dir() and any(self.path.iterdir()):
            raise OutputError(f"{self.path}: is not empty; --force writes into it")


def label_images(model: nn.Module, pairs: Sequence[Pair]) -> dict[int, list[Labels]]:
    """The labels `[H, W]` that each level, cut out, gives each image."""
    return {
        level: [predict_file(prune(model, level), pair.image).labels for pair in pairs]
        for level in spec_of(model).heads
    }


def write_masks(pairs: Sequence[Pair], labels: Sequence[Labels], folder: Path) -> None:
    """Write each image's mask, and in overlays/ its contours on the image."""
    for pair, found in zip(pairs, labels, strict=True):
        name = f"{pair.name}.png"
        write_overlay(folder / "overlays" / name, pair.image, found)
        write_mask(folder / name, found, classes=1)


def next_commands() -> list[str]:
    """What to type for one's own images, once DATA and IMAGES are put in."""
    return [
        "nestgen train DATA --depth 4 --dense -o run",
        "nestgen levels run/model.pt --data DATA/val",
        "nestgen prune run/model.pt --level auto --data DATA/val -o cut.pt",
        "nestgen predict cut.pt IMAGES -o MASKS --overlay",
    ]


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute on one thread: a seed's result then is the same on any number of cores.

    Networks as narrow as the demo's gain little from a second one, and lose much where
    the cores are shared with others.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
