"""Labels and probabilities of whole images, and the files they are written to."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import tifffile
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from nestgen.arch.choices import Mode
from nestgen.arch.graph import NestGraph
from nestgen.arch.heads import answering
from nestgen.arch.spec import NestSpec
from nestgen.codegen.load import spec_of
from nestgen.errors import DataError
from nestgen.files import write_whole
from nestgen.imaging.overlay import overlay
from nestgen.imaging.pad import crop, pad
from nestgen.imaging.png import write_png
from nestgen.imaging.read import read_image, read_pixels
from nestgen.imaging.size import size_text
from nestgen.imaging.volume import write_volume
from nestgen.surgery.modes import eval_mode
from nestgen.training.outputs import joint_labels, joint_probabilities
from nestgen.training.window import (
    fitted_size,
    network_of,
    through_windows,
    window_of,
)

_OUT_OF_MEMORY = ("memory", "bad_alloc", "alloc_failed")


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a network says of one image, at the image's own size.

    Attributes:
        labels: `[H, W]` or `[D, H, W]`, uint8 0 and 1 of one class, int64 indices of
            several.
        probabilities: float32 `[C, *size]`, the foreground's of one class, else those
            of each class, which sum to one.
    """

    labels: NDArray[Any]
    probabilities: NDArray[np.float32]


def predict(
    model: nn.Module,
    image: NDArray[np.float32],
    window: tuple[int, ...] | None = None,
    mode: Mode = "fast",
) -> Prediction:
    """The labels that `model` gives an image: by its highest head, or by all.

    Accurate is the mean of the probabilities of all heads that the network has; fast
    is its highest head (Zhou et al., 2018). Of one head, both are the same.

    `image` is float32 `[in_channels, H, W]`, of a volume `[in_channels, D, H, W]`, of
    any size, standardised, as `read_image` gives it. It is padded to what the network
    takes, goes through it in eval mode on the model's own device and in its own dtype,
    by windows where it is larger than `window` (see `window_of` for the default and
    `through_windows` for the memory that this takes), and what was padded is cropped.
    The model's modules are left in the modes they were in. Raises `SpecError` for a
    model without a spec, `SettingsError` for a window that it does not take,
    `DataError` for an image of another shape and for one that is too large for the
    memory.

    >>> from nestgen.arch.spec import NestSpec
    >>> from nestgen.codegen.load import build
    >>> model = build(NestSpec(depth=2, widths=2, classes=3))
    >>> found = predict(model, np.zeros((3, 5, 7), np.float32))
    >>> found.labels.shape, found.probabilities.shape
    ((5, 7), (3, 5, 7))
    """
    spec, device = spec_of(model), next(model.parameters()).device
    check_image(spec, image)
    graph, size = NestGraph(spec), image.shape[1:]
    seen = window_of(graph, window)
    with enough_memory(f"{size_text(size)} pixels on {device}"):
        x = torch.from_numpy(pad(image, fitted_size(size, seen, graph.multiples)))[None]
        with eval_mode(model), torch.inference_mode():
            network = network_of(model, answering(spec.heads, mode))
            outputs = through_windows(network, x, seen, device)
            logits = [y[crop(size)] for y in outputs.values()]
            labels, likely = joint_labels(logits), joint_probabilities(logits)
            return Prediction(_first(labels), _first(likely))


def check_image(spec: NestSpec, image: NDArray[np.float32]) -> None:
    """Raise `DataError` unless an image has the channels and axes of a network.

    >>> check_image(NestSpec(), np.zeros((3, 5, 7), np.float32))
    """
    if image.ndim - 1 != spec.dims or len(image) != spec.in_channels or not image.size:
        taken = ", ".join([str(spec.in_channels), *"DHW"[-spec.dims :]])
        raise DataError(
            f"an image of shape {list(image.shape)}; the network takes [{taken}]"
        )


def predict_file(
    model: nn.Module,
    path: str | os.PathLike[str],
    window: tuple[int, ...] | None = None,
    mode: Mode = "fast",
) -> Prediction:
    """The labels that `model` gives the image in a file, as `predict` does.

    Raises `DataError` that names the file where it cannot be read, has channels or
    axes that the network does not take, or is too large for the memory.

    >>> import tempfile
    >>> from PIL import Image
    >>> from nestgen.arch.spec import NestSpec
    >>> from nestgen.codegen.load import build
    >>> path = tempfile.mkdtemp() + "/image.png"
    >>> Image.linear_gradient("L").resize((7, 5)).save(path)
    >>> predict_file(build(NestSpec(depth=2, widths=2)), path).labels.shape
    (5, 7)
    """
    spec = spec_of(model)
    image = read_image(path, spec.in_channels, spec.dims)
    try:
        return predict(model, image, window, mode)
    except DataError as error:
        raise DataError(f"{os.fspath(path)}: {error}") from error


def write_probabilities(
    path: str | os.PathLike[str],
    values: NDArray[np.float32],
    like: str | os.PathLike[str] | None = None,
) -> None:
    """Write probabilities `[C, H, W]` as a float32 TIFF file, whole or not at all.

    One class is one page `[H, W]`, several are a stack of pages `[C, H, W]`. Those of
    a volume, `[C, D, H, W]`, are a volume of float32 (see `write_volume`).

    >>> import tempfile
    >>> path = tempfile.mkdtemp() + "/probabilities.tif"
    >>> write_probabilities(path, np.zeros((1, 5, 7), np.float32))
    >>> tifffile.imread(path).shape
    (5, 7)
    """
    planes = values[0] if len(values) == 1 else values
    if values.ndim == 4:
        write_volume(path, planes, like)
        return
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, planes, photometric="minisblack")
    write_whole(path, buffer.getvalue())


def write_overlay(
    path: str | os.PathLike[str],
    image: str | os.PathLike[str],
    labels: NDArray[Any],
) -> None:
    """Write the image in a file with the contours of its labels, as a PNG file.

    Of a volume it is the plane with the most labels (see `overlay`).

    Raises `DataError` where the image cannot be read, has another size than the
    labels, or is too large for the memory.

    >>> import tempfile
    >>> from PIL import Image
    >>> folder = tempfile.mkdtemp()
    >>> Image.new("RGB", (7, 5)).save(folder + "/a.png")
    >>> write_overlay(folder + "/b.png", folder + "/a.png", np.ones((5, 7), int))
    >>> read_pixels(folder + "/b.png").shape
    (3, 5, 7)
    """
    with enough_memory(f"{os.fspath(image)}: {size_text(labels.shape)} pixels"):
        write_png(path, overlay(read_pixels(image), labels))


def _first(batch: Tensor) -> NDArray[Any]:
    array: NDArray[Any] = batch[0].cpu().numpy()
    return array


@contextmanager
def enough_memory(what: str) -> Iterator[None]:
    """Whatever way torch and numpy say that the memory is full is one `DataError`."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        text = str(error).lower()
        full = isinstance(error, (MemoryError, torch.OutOfMemoryError))
        if not full and not any(word in text for word in _OUT_OF_MEMORY):
            raise
        raise DataError(f"{what}: not enough memory") from error
