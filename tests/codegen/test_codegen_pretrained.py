"""Pretrained weights: from the local cache, whole or not at all, never unasked."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import timm
import torch
from click.testing import CliRunner
from torch import Tensor, nn

from nestgen.arch.spec import NestSpec
from nestgen.checkpoint import load
from nestgen.cli import main
from nestgen.codegen.load import build
from nestgen.codegen.timm_weights import find_weights, pretrain
from nestgen.errors import CheckpointError

HOME = "timm/test_resnet.r160_in1k"
SPEC = NestSpec(depth=2, widths=2, encoder="timm:test_resnet")

Cache = Callable[[dict[str, Tensor] | bytes], Path]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cache:
    """Makes a hub's cache that holds a model's file."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))

    def fill(content: dict[str, Tensor] | bytes) -> Path:
        folder = tmp_path / f"models--{HOME.replace('/', '--')}"
        file = folder / "snapshots" / "abc" / "model.safetensors"
        file.parent.mkdir(parents=True)
        (folder / "refs").mkdir()
        (folder / "refs" / "main").write_text("abc")
        if isinstance(content, dict):
            content = safetensors.torch.save(content)
        file.write_bytes(content)
        return file

    return fill


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))


def theirs() -> dict[str, Tensor]:
    torch.manual_seed(7)
    state: dict[str, Tensor] = timm.create_model("test_resnet").state_dict()
    return {
        name: torch.randn_like(tensor) if tensor.is_floating_point() else tensor
        for name, tensor in state.items()
    }


def stages(model: nn.Module) -> dict[str, Tensor]:
    return dict(model.get_submodule("encoder.stages").state_dict())


def test_the_encoder_has_the_weights_and_the_rest_its_own(cache: Cache) -> None:
    state = theirs()
    file = cache(state)
    torch.manual_seed(0)
    drawn = build(SPEC)
    torch.manual_seed(0)
    model = build(SPEC)
    assert find_weights(SPEC) == file
    pretrain(model, SPEC, file)
    assert all(
        torch.equal(tensor, state[name]) for name, tensor in stages(model).items()
    )
    others = [name for name in drawn.state_dict() if not name.startswith("encoder.")]
    assert others
    before, after = drawn.state_dict(), model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in others)


@pytest.mark.parametrize("channels", [1, 5])
def test_the_first_convolution_is_adapted_as_timm_does(
    channels: int, cache: Cache
) -> None:
    state = theirs()
    spec = SPEC.replace(in_channels=channels)
    model = build(spec)
    pretrain(model, spec, cache(state))
    found, three = stages(model)["conv1.0.weight"], state["conv1.0.weight"]
    repeated = three.repeat(1, 2, 1, 1)[:, :channels] * (3 / channels)
    expected = three.sum(1, keepdim=True) if channels == 1 else repeated
    torch.testing.assert_close(found, expected)


def test_a_file_that_lacks_a_tensor_is_refused(cache: Cache) -> None:
    """timm itself would leave what is missing as it was drawn."""
    state = theirs()
    del state["layer1.0.conv1.weight"]
    file, model = cache(state), build(SPEC)
    before = {name: tensor.clone() for name, tensor in stages(model).items()}
    with pytest.raises(CheckpointError, match=r"are no weights of timm:test_resnet"):
        pretrain(model, SPEC, file)
    assert all(torch.equal(before[name], t) for name, t in stages(model).items())


def test_a_damaged_file_is_refused_in_one_line(cache: Cache) -> None:
    with pytest.raises(CheckpointError) as caught:
        pretrain(build(SPEC), SPEC, cache(b"\x80\x04no tensors"))
    assert str(caught.value).isprintable()


@pytest.mark.usefixtures("empty")
def test_nothing_is_fetched_unasked() -> None:
    """And the refusal comes at once, on a machine without a network too."""
    began = time.perf_counter()
    with pytest.raises(CheckpointError) as caught:
        find_weights(SPEC)
    assert time.perf_counter() - began < 5
    assert str(caught.value) == (
        f"pretrained: the weights of timm:test_resnet, {HOME} on the Hugging Face hub, "
        "are not in the local cache; --download fetches them"
    )


@pytest.mark.usefixtures("empty")
def test_a_failed_download_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(home: str, name: str) -> str:
        assert (home, name) == (HOME, "model.safetensors")
        raise OSError("no\nnetwork")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", fail)
    with pytest.raises(CheckpointError, match=r"could not be fetched \(no network\)$"):
        find_weights(SPEC, download=True)


@pytest.mark.parametrize(
    ("encoder", "message"),
    [
        ("resnet18", "pretrained: resnet18 has no weights; those of timm"),
        (None, "pretrained: no encoder is given"),
        ("timm:coatnet_0_224", "pretrained: timm has no weights of coatnet_0_224"),
    ],
)
def test_who_has_weights(encoder: str | None, message: str) -> None:
    spec = NestSpec(depth=1).model_copy(update={"encoder": encoder})
    with pytest.raises(CheckpointError, match=message):
        find_weights(spec)


def run(words: str) -> Any:
    return CliRunner().invoke(main, words.split())


BUILD = "build --encoder timm:test_resnet --depth 2 --widths 2 -o net.py"


def test_the_command_takes_them(
    cache: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    state = theirs()
    cache(state)
    done = run(f"{BUILD} --weights model.pt --pretrained")
    assert done.exit_code == 0, done.output
    found = stages(load("model.pt"))
    assert all(torch.equal(tensor, state[name]) for name, tensor in found.items())


@pytest.mark.usefixtures("empty")
@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--weights model.pt --pretrained", "--download fetches them"),
        ("--pretrained", "--pretrained goes with --weights"),
        ("--weights model.pt --download", "--download with it"),
    ],
)
def test_the_command_writes_nothing_without_them(
    words: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    refused = run(f"{BUILD} {words}")
    assert refused.exit_code == 2
    assert message in refused.output
    assert list(tmp_path.iterdir()) == []
