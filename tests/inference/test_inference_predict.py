"""Predicting is padding, one forward pass and cropping; nothing else changes."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image
from torch import Tensor, nn

from nestgen.errors import DataError, SpecError
from nestgen.imaging.read import read_image
from nestgen.inference.predict import (
    predict,
    predict_file,
    write_overlay,
    write_probabilities,
)
from nestgen.surgery.cut import prune

DATA = Path(os.environ.get("NESTGEN_DATA", "../shared/data")) / "nuclei-full"
Network = Callable[..., nn.Module]


def noise(channels: int, height: int, width: int) -> np.ndarray:
    rng = np.random.default_rng(height * 100 + width)
    return rng.standard_normal((channels, height, width), np.float32)


def by_hand(model: nn.Module, image: np.ndarray, level: str = "L2") -> Tensor:
    """Logits [C, H, W] of a network of depth 2."""
    _, height, width = image.shape
    below = max(8, (height + 3) // 4 * 4) - height
    right = max(8, (width + 3) // 4 * 4) - width
    padded = np.pad(image, ((0, 0), (0, below), (0, right)), mode="symmetric")
    with torch.no_grad():
        outputs = model(torch.tensor(padded)[None])
    logits: Tensor = outputs[level][0, :, :height, :width]
    return logits


@pytest.mark.parametrize(
    "size", [(1, 1), (1, 7), (9, 1), (3, 2), (4, 4), (8, 8), (16, 17), (33, 40)]
)
def test_one_class_is_pad_forward_crop(network: Network, size: tuple[int, int]) -> None:
    model, image = network(), noise(3, *size)
    logits = by_hand(model, image)
    found = predict(model, image)
    assert found.labels.dtype == np.uint8
    assert found.probabilities.dtype == np.float32
    np.testing.assert_array_equal(found.labels, logits[0].numpy() > 0)
    np.testing.assert_array_equal(found.probabilities, logits.sigmoid().numpy())
    if min(size) > 8:
        assert 0.1 < found.labels.mean() < 0.9


@pytest.mark.parametrize("size", [(1, 1), (5, 9), (40, 33)])
def test_several_classes_are_pad_forward_crop(
    network: Network, size: tuple[int, int]
) -> None:
    model, image = network(classes=4, in_channels=1), noise(1, *size)
    logits = by_hand(model, image)
    found = predict(model, image)
    assert found.labels.dtype == np.int64
    np.testing.assert_array_equal(found.labels, logits.argmax(0).numpy())
    np.testing.assert_array_equal(found.probabilities, logits.softmax(0).numpy())
    np.testing.assert_allclose(found.probabilities.sum(0), 1, rtol=1e-5)
    if min(size) > 8:
        assert len(np.unique(found.labels)) > 2


def test_the_highest_level_speaks_and_a_cut_network_its_own(network: Network) -> None:
    model, image = network(), noise(3, 16, 16)
    first = by_hand(model, image, "L1").sigmoid().numpy()
    found = predict(prune(model, 1), image).probabilities
    np.testing.assert_array_equal(found, first)
    assert not np.array_equal(predict(model, image).probabilities, first)


def test_modules_stay_in_their_modes_and_weights_as_they_are(network: Network) -> None:
    model = network(block={"dropout": 0.5}).train()
    frozen = next(m for m in model.modules() if isinstance(m, nn.BatchNorm2d))
    frozen.eval()
    modes = [module.training for module in model.modules()]
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    image = noise(3, 12, 12)
    found = predict(model, image)
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(state[name], t) for name, t in model.state_dict().items())
    model.eval()
    np.testing.assert_array_equal(
        found.probabilities, by_hand(model, image).sigmoid().numpy()
    )


def test_modes_come_back_where_the_forward_pass_fails(network: Network) -> None:
    model = network().train()

    def fail(*arguments: object) -> None:
        raise RuntimeError("shapes do not fit")

    model.register_forward_pre_hook(fail)
    with pytest.raises(RuntimeError, match=r"^shapes do not fit$"):
        predict(model, noise(3, 8, 8))
    assert all(module.training for module in model.modules())


@pytest.mark.parametrize("classes", [1, 3])
def test_accurate_is_the_mean_of_all_heads(network: Network, classes: int) -> None:
    model, image = network(classes=classes), noise(3, 13, 9)
    one, two = (by_hand(model, image, level) for level in ("L1", "L2"))
    likely = [y.sigmoid() if classes == 1 else y.softmax(dim=0) for y in (one, two)]
    mean = torch.stack(likely).mean(dim=0).numpy()
    found = predict(model, image, mode="accurate")
    np.testing.assert_array_equal(found.probabilities, mean)
    labels = (mean[0] > 0.5) if classes == 1 else mean.argmax(axis=0)
    np.testing.assert_array_equal(found.labels, labels)
    fast = predict(model, image)
    assert (found.labels != fast.labels).any()
    np.testing.assert_array_equal(fast.probabilities, likely[1].numpy())


def test_heads_of_a_cut_answer_as_in_the_whole(network: Network) -> None:
    model, image = network(depth=3, widths=[2, 3, 4, 5]), noise(3, 16, 24)
    for heads in ((1, 2), (1, 3), (1, 2, 3)):
        small = prune(model, heads)
        whole = {
            level: predict(prune(model, level), image).probabilities for level in heads
        }
        mean = torch.stack([torch.tensor(whole[level]) for level in heads]).mean(dim=0)
        found = predict(small, image, mode="accurate")
        np.testing.assert_array_equal(found.probabilities, mean.numpy())
    same = predict(model, image, mode="accurate")
    np.testing.assert_array_equal(found.probabilities, same.probabilities)


def test_one_head_is_the_same_in_both_modes(network: Network) -> None:
    alone, image = prune(network(), 2), noise(3, 12, 12)
    fast, accurate = predict(alone, image), predict(alone, image, mode="accurate")
    np.testing.assert_array_equal(fast.labels, accurate.labels)
    np.testing.assert_array_equal(fast.probabilities, accurate.probabilities)


def test_by_windows_each_head_is_blended_before_the_mean(network: Network) -> None:
    model, image = network(), noise(3, 24, 16)
    heads = [predict(prune(model, k), image, (8, 8)).probabilities for k in (1, 2)]
    mean = torch.stack([torch.tensor(p) for p in heads]).mean(dim=0).numpy()
    found = predict(model, image, (8, 8), "accurate")
    np.testing.assert_array_equal(found.probabilities, mean)


def test_no_gradient_is_recorded(network: Network) -> None:
    model, modes = network(), []
    model.register_forward_hook(
        lambda *arguments: modes.append(torch.is_inference_mode_enabled())
    )
    predict(model, noise(3, 8, 8))
    assert modes == [True]
    assert not torch.is_inference_mode_enabled()


def test_a_network_of_other_precision_takes_the_same_image(network: Network) -> None:
    image = noise(3, 12, 12)
    exact = predict(network().double(), image).probabilities
    assert exact.dtype == np.float32
    np.testing.assert_allclose(predict(network(), image).probabilities, exact, 1e-3)
    half = predict(network().bfloat16(), image).probabilities
    assert half.dtype == np.float32


def test_instance_norm_takes_a_single_pixel(network: Network) -> None:
    found = predict(network(block={"norm": "instance"}), noise(3, 1, 1))
    assert np.isfinite(found.probabilities).all()


@pytest.mark.parametrize("shape", [(1, 8, 8), (8, 8), (1, 3, 8, 8), (3, 0, 8)])
def test_other_shapes_are_refused(network: Network, shape: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match=r"of shape .*; the network takes \[3, H, W\]$"):
        predict(network(), np.zeros(shape, np.float32))


def test_a_module_without_a_spec_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="Conv2d has no spec"):
        predict(nn.Conv2d(3, 1, 1), noise(3, 8, 8))
    with pytest.raises(SpecError, match="Conv2d has no spec"):
        predict_file(nn.Conv2d(3, 1, 1), tmp_path / "a.png")


def ask_for_too_much(*arguments: object) -> None:
    torch.empty(2**60)


def raise_on_gpu(*arguments: object) -> None:
    raise torch.OutOfMemoryError("CUDA out.\nTried to allocate 9 GiB.")


def raise_in_numpy(*arguments: object) -> None:
    raise MemoryError


@pytest.mark.parametrize("hook", [ask_for_too_much, raise_on_gpu, raise_in_numpy])
def test_full_memory_is_one_line_with_the_file_and_its_size(
    network: Network, tmp_path: Path, hook: Callable[..., None]
) -> None:
    model, path = network(), tmp_path / "huge.png"
    model.register_forward_pre_hook(hook)
    Image.new("RGB", (9, 5)).save(path)
    with pytest.raises(DataError) as raised:
        predict_file(model, path)
    assert str(raised.value) == f"{path}: 5x9 pixels on cpu: not enough memory"


def test_a_file_is_read_as_the_network_takes_it(
    network: Network, tmp_path: Path
) -> None:
    path = tmp_path / "grey.tif"
    tifffile.imwrite(path, np.random.default_rng(0).integers(0, 65536, (9, 7), "u2"))
    found = predict_file(network(), path)
    wanted = predict(network(), read_image(path, 3))
    np.testing.assert_array_equal(found.probabilities, wanted.probabilities)
    with pytest.raises(DataError, match=r"grey.tif: 1 channels; the network takes 5$"):
        predict_file(network(in_channels=5), path)


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 6, 5), (3, 6, 5), (4, 1, 1)])
def test_probabilities_are_read_back_bit_for_bit(
    tmp_path: Path, shape: tuple[int, ...]
) -> None:
    values = np.random.default_rng(0).random(shape, np.float32)
    write_probabilities(tmp_path / "a.tif", values)
    back = tifffile.imread(tmp_path / "a.tif")
    assert back.dtype == np.float32
    np.testing.assert_array_equal(back, values[0] if shape[0] == 1 else values)
    assert [path.name for path in tmp_path.iterdir()] == ["a.tif"]


def test_an_overlay_without_memory_names_the_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.png"
    Image.new("L", (9, 5)).save(path)
    monkeypatch.setattr("nestgen.inference.predict.overlay", raise_in_numpy)
    with pytest.raises(DataError, match=r"a.png: 5x9 pixels: not enough memory$"):
        write_overlay(tmp_path / "b.png", path, np.zeros((5, 9), np.uint8))
    assert not (tmp_path / "b.png").exists()


@pytest.mark.skipif(not DATA.is_dir(), reason="no real images (NESTGEN_DATA)")
def test_real_images_are_predicted_at_their_size(network: Network) -> None:
    for path in sorted((DATA / "images").iterdir())[:2]:
        with Image.open(path) as image:
            width, height = image.size
        found = predict_file(network(), path)
        assert found.labels.shape == (height, width)
        assert 0 < found.labels.mean() < 1


@pytest.mark.parametrize("window", [(16,), (16, 24)])
def test_larger_images_go_by_windows(network: Network, window: tuple[int, ...]) -> None:
    model, image = network(), noise(3, 33, 50)
    found = predict(model, image, window)
    seen: list[tuple[int, ...]] = []
    model.register_forward_pre_hook(lambda _, x: seen.append(tuple(x[0].shape)))
    again = predict(model, image, window)
    np.testing.assert_array_equal(found.probabilities, again.probabilities)
    assert set(seen) == {(1, 3, 16, window[-1])}
    assert found.labels.shape == (33, 50)
    whole = predict(model, image)
    assert seen[-1] == (1, 3, 36, 52)
    assert not np.array_equal(found.probabilities, whole.probabilities)
    # half by chance; of noise in windows this small, some pixels are told otherwise
    assert (found.labels == whole.labels).mean() > 0.7


def test_an_image_within_the_window_is_seen_whole(network: Network) -> None:
    model, image = network(), noise(3, 33, 40)
    whole = predict(model, image).probabilities
    np.testing.assert_array_equal(predict(model, image, (36, 40)).probabilities, whole)
    np.testing.assert_array_equal(predict(model, image, (64,)).probabilities, whole)


def volume(*size: int) -> np.ndarray:
    return np.random.default_rng(sum(size)).standard_normal(size).astype(np.float32)


@pytest.mark.parametrize("size", [(1, 1, 1), (3, 9, 7), (8, 8, 8), (5, 17, 12)])
@pytest.mark.parametrize("classes", [1, 3])
def test_a_volume_is_padded_axis_by_axis(
    network: Network, size: tuple[int, int, int], classes: int
) -> None:
    fields = {"dims": 3, "strides": [[1, 2, 2], 2], "in_channels": 2}
    model, image = network(classes=classes, **fields), volume(2, *size)
    behind = [
        (0, max(2 * by, -(-side // by) * by) - side)
        for side, by in zip(size, (2, 4, 4), strict=True)
    ]
    padded = np.pad(image, [(0, 0), *behind], mode="symmetric")
    with torch.no_grad():
        logits = model(torch.tensor(padded)[None])["L2"][0]
    depth, height, width = size
    logits = logits[:, :depth, :height, :width]
    found = predict(model, image)
    wanted = logits.sigmoid() if classes == 1 else logits.softmax(0)
    np.testing.assert_array_equal(found.probabilities, wanted.numpy())
    labels = logits[0] > 0 if classes == 1 else logits.argmax(0)
    np.testing.assert_array_equal(found.labels, labels.numpy())


def test_another_number_of_axes_is_refused(network: Network) -> None:
    deep = network(dims=3)
    with pytest.raises(
        DataError, match=r"\[3, 8, 8\]; the network takes \[3, D, H, W\]"
    ):
        predict(deep, volume(3, 8, 8))
