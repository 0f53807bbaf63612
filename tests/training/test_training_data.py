"""What a step sees is a function of the seed, the epoch and the step."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from nestgen.arch.spec import NestSpec
from nestgen.errors import DataError
from nestgen.imaging.pairs import find_pairs
from nestgen.training.augment import Patches, _add_centres, turned_planes
from nestgen.training.data import (
    MIN_STEPS,
    Order,
    TrainingSet,
    batches,
    load_pair,
    whole_images,
)
from nestgen.training.schedule import learning_rate

SPEC = NestSpec(depth=2, widths=2, in_channels=1)


@given(st.integers(1, 200), st.integers(1, 16), st.integers(0, 9), st.integers(1, 9))
def test_every_turn_of_an_epoch_sees_every_image_once(
    images: int, batch_size: int, seed: int, epoch: int
) -> None:
    order = Order(images, batch_size, seed)
    keys = [key for step in range(order.steps) for key in order.batch(epoch, step)]
    assert order.steps >= MIN_STEPS
    assert len(keys) == order.steps * batch_size, "all batches are full"
    for first in range(0, len(keys) - images + 1, images):
        turn = [image for image, _ in keys[first : first + images]]
        assert sorted(turn) == list(range(images))
    assert len({seed for _, seed in keys}) > 0.99 * len(keys)


def test_epochs_and_seeds_differ() -> None:
    order = Order(50, 8, 0)
    assert order.batch(1, 0) == Order(50, 8, 0).batch(1, 0)
    assert order.batch(1, 0) != order.batch(2, 0) != Order(50, 8, 1).batch(2, 0)


def test_a_patch_is_a_function_of_its_seed() -> None:
    image = np.random.default_rng(0).normal(size=(3, 24, 20)).astype(np.float32)
    labels = (image[0] > 0).astype(np.uint8)
    patches = Patches((16, 16), True, (4, 4))
    first, other = patches(image, labels, 1), patches(image, labels, 2)
    again = patches(image, labels, 1)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0], other[0])
    assert first[0].shape == (3, 16, 16)
    assert first[1].shape == (1, 16, 16)
    assert type(first[0]) is torch.Tensor
    assert set(first[1].flatten().tolist()) <= {0, 1}


@pytest.mark.parametrize("seed", range(20))
def test_image_and_labels_move_together(seed: int) -> None:
    labels = np.zeros((32, 32), np.uint8)
    labels[4:14, 6:28] = 1
    image = labels[None].astype(np.float32)
    x, y = Patches((32, 32), True, (4, 4))(image, labels, seed)
    brighter = x[0] > (x.max() + x.min()) / 2
    differing = (brighter != y[0].bool()).float().mean()
    # bilinear and nearest scaling may disagree along the border alone
    assert differing <= 2 * (10 + 22) * 1.25 / 32**2
    assert y.any()


def test_a_small_image_is_mirrored_up_to_the_patch() -> None:
    image = np.arange(6, dtype=np.float32).reshape(1, 2, 3)
    x, y = Patches((8, 8), False, (4, 4))(image, np.zeros((2, 3), np.uint8), 0)
    assert x.shape == (1, 8, 8)
    assert set(x.flatten().tolist()) == set(range(6))
    assert y.shape == (1, 8, 8)


def ball() -> tuple[np.ndarray, np.ndarray]:
    """A volume of thick slices with one small object, and its labels."""
    labels = np.zeros((10, 40, 36), np.uint8)
    labels[4:6, 20:24, 5:9] = 1
    noise = np.random.default_rng(0).normal(0, 0.1, (1, 10, 40, 36))
    return (noise + labels).astype(np.float32), labels


def test_of_volumes_every_second_patch_has_an_object() -> None:
    image, labels = ball()
    patches = Patches((4, 16, 16), True, (2, 4, 4))
    found = [patches(image, labels, seed) for seed in range(200)]
    assert {x.shape for x, _ in found} == {(1, 4, 16, 16)}
    assert {y.shape for _, y in found} == {(1, 4, 16, 16)}
    share = float(np.mean([bool(y.any()) for _, y in found]))
    # by chance alone it were a fifth
    assert 0.45 < share < 0.8
    again = patches(image, labels, 7)
    assert all(torch.equal(a, b) for a, b in zip(found[7], again, strict=True))
    assert type(again[0]) is torch.Tensor


@pytest.mark.parametrize("seed", range(20))
def test_a_volume_and_its_labels_move_together(seed: int) -> None:
    labels = np.zeros((16, 32, 32), np.uint8)
    labels[2:10, 4:16, 16:30] = 1  # off the middle: what is flipped alone is seen
    x, y = Patches((16, 32, 32), True, (2, 4, 4))(labels[None] * 1.0, labels, seed)
    brighter, labelled = x[0] > (x.max() + x.min()) / 2, y[0].bool()
    both = (brighter & labelled).sum()
    # trilinear and nearest scaling may disagree along the border alone
    # (flipped alone, on any axis, at most half of them would agree)
    assert 2 * both > 0.7 * (brighter.sum() + labelled.sum()) > 0


@pytest.mark.parametrize("patch", [(8, 16), (4, 8, 16), (8, 8, 16), (2, 8, 8), (16,)])
def test_what_is_turned_keeps_its_shape(patch: tuple[int, ...]) -> None:
    size = (24, 28, 32)[: len(patch)]
    labels = np.zeros(size, np.uint8)
    image = np.arange(labels.size, dtype=np.float32).reshape(1, *size)
    found = [
        Patches(patch, True, (4,) * len(patch))(image, labels, s) for s in range(40)
    ]
    assert {x.shape for x, _ in found} == {(1, *patch)}
    assert {y.shape for _, y in found} == {(1, *patch)}


def test_volumes_without_an_object_and_small_ones_are_cut_too() -> None:
    image, labels = ball()
    x, y = Patches((4, 16, 16), True, (2, 4, 4))(image, labels * 0, 0)
    assert x.shape == (1, 4, 16, 16)
    assert not y.any()
    small = Patches((16, 64, 64), False, (2, 4, 4))(image, labels, 0)
    assert small[0].shape == (1, 16, 64, 64)
    assert set(small[0].ravel().tolist()) <= set(image.ravel().tolist()), "mirrored"


def test_few_of_many_voxels_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nestgen.training.augment.MOST_CENTRES", 50)
    found = _add_centres({"labels": np.ones((1, 10, 40, 36), np.uint8)})
    assert 40 < len(found["labelled"]) <= 50
    assert 40 < len(found["anywhere"]) <= 50


@pytest.mark.parametrize(
    ("patch", "multiples", "planes"),
    [
        ((64,), (16,), []),
        ((32, 32), (4, 4), [(0, 1)]),
        ((32, 64), (4, 4), [(0, 1)]),
        ((64, 64, 64), (16, 16, 16), [(0, 1), (0, 2), (1, 2)]),
        ((16, 64, 64), (16, 16, 16), [(1, 2)]),
        ((64, 64, 64), (4, 16, 16), [(1, 2)]),
    ],
)
def test_only_planes_of_equal_sides_are_turned(
    patch: tuple[int, ...], multiples: tuple[int, ...], planes: list[tuple[int, int]]
) -> None:
    assert turned_planes(patch, multiples) == planes


def test_a_mask_of_another_size_is_refused(tmp_path: Path) -> None:
    for side, size in (("images", (8, 8)), ("masks", (6, 8))):
        (tmp_path / side).mkdir()
        Image.new("L", size).save(tmp_path / side / "a.png")
    with pytest.raises(DataError, match=r"a\.png: 8x8, but its mask is 8x6"):
        load_pair(find_pairs(tmp_path)[0], SPEC)


def test_whole_images_go_together_up_to_so_many_pixels(data: Path) -> None:
    pairs = find_pairs(data / "train")
    for pixels, sizes in ((0, [1] * 6), (512, [2] * 3), (1100, [4, 2])):
        found = list(whole_images(pairs, range(6), SPEC, (64, 64), pixels))
        assert [len(whole.indices) for whole in found] == sizes
        assert [i for whole in found for i in whole.indices] == list(range(6))


def test_workers_change_nothing(data: Path) -> None:
    patches = Patches((16, 16), True, (4, 4))
    dataset = TrainingSet(find_pairs(data / "train"), SPEC, patches)
    keys = [Order(6, 2, 0).batch(1, step) for step in range(3)]
    alone, helped = (list(batches(dataset, keys, workers)) for workers in (0, 2))
    for one, other in zip(alone, helped, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


@given(st.integers(1, 3000))
def test_the_rate_rises_to_its_peak_and_falls_to_zero(steps: int) -> None:
    rates = [learning_rate(step, steps, 1.0) for step in range(steps)]
    top = rates.index(max(rates))
    assert rates[: top + 1] == sorted(rates[: top + 1])
    assert rates[top:] == sorted(rates[top:], reverse=True)
    assert max(rates) == 1
    assert steps == 1 or rates[-1] < 0.01 or steps < 30
