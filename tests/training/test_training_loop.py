"""A run: what it learns, what it writes, and that stopping it changes nothing."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import timm
import torch

from nestgen import checkpoint
from nestgen.arch.graph import NestGraph
from nestgen.arch.spec import NestSpec
from nestgen.codegen.load import build
from nestgen.errors import DataError, ModuleError, SettingsError, TrainingError
from nestgen.imaging.pairs import find_splits
from nestgen.training import loop
from nestgen.training.loop import saved_run, train
from nestgen.training.observer import Observer
from nestgen.training.optimizer import freeze_unsupervised
from nestgen.training.settings import Settings
from nestgen.training.state import Position


class At(Observer):
    """Does something at one step, or at the end of one epoch's validation."""

    def __init__(self, epoch: int, step: int | None, act: Any) -> None:
        self.place, self.act = (epoch, step), act
        self.epoch, self.done = 1, False

    def stepped(self, position: Position, loss: float) -> None:
        self.epoch = position.epoch
        self._act_at((position.epoch, position.step))

    def validated(self, images: int) -> None:
        self._act_at((self.epoch, None))

    def _act_at(self, place: tuple[int, int | None]) -> None:
        if place == self.place and not self.done:
            self.done = True
            self.act()


class Killed(BaseException):
    """Nothing is caught, nothing is saved, as when a process is killed."""


def test_a_run_begins_with_the_encoders_weights(
    data: Path,
    settings: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And a run that goes on has them in its state: nothing is looked up again."""
    spec = NestSpec(depth=1, widths=2, in_channels=1, encoder="timm:test_resnet")
    torch.manual_seed(7)
    whole = timm.create_model("test_resnet").state_dict()
    file = tmp_path / "model.safetensors"
    safetensors.torch.save_file(whole, file)
    monkeypatch.setattr(loop, "find_weights", lambda spec: file)
    slow = replace(settings, learning_rate=1e-9, epochs=1, pretrained=True)
    splits = find_splits(data)
    stopping = At(1, 3, interrupted)
    assert train(spec, *splits, tmp_path / "run", slow, observer=stopping).interrupted
    monkeypatch.delattr(loop, "find_weights")
    assert not train(spec, *splits, tmp_path / "run", slow, resume=True).interrupted
    found = tensors(tmp_path / "run" / "model.pt")
    name = "conv1.3.weight"
    torch.testing.assert_close(found[f"encoder.stages.{name}"], whole[name])


def killed() -> None:
    raise Killed


def interrupted() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def tensors(path: Path) -> dict[str, torch.Tensor]:
    return checkpoint.read(path).tensors


def assert_same_run(one: Path, other: Path) -> None:
    for name in ("model.pt", "last.pt"):
        first, second = tensors(one / name), tensors(other / name)
        assert first.keys() == second.keys()
        assert all(torch.equal(first[key], second[key]) for key in first), name
    first_log, second_log = (log_of(run) for run in (one, other))
    assert [{**record, "seconds": 0} for record in first_log] == [
        {**record, "seconds": 0} for record in second_log
    ]


def test_a_fused_run_has_the_same_losses_and_goes_on(
    data: Path, tmp_path: Path, settings: Settings
) -> None:
    """But for rounding, which the steps enlarge."""
    spec = NestSpec(depth=2, widths=2, in_channels=1)
    plain = replace(settings, epochs=1)
    fused, splits = replace(plain, fused=True), find_splits(data)
    train(spec, *splits, tmp_path / "plain", plain)
    train(spec, *splits, tmp_path / "fused", fused)
    stopping = At(1, 13, interrupted)
    run = tmp_path / "resumed"
    assert train(spec, *splits, run, fused, observer=stopping).interrupted
    assert saved_run(run) == (spec, fused)
    train(spec, *splits, run, fused, resume=True)
    assert_same_run(tmp_path / "fused", run)
    losses = [log_of(tmp_path / name)[0]["loss"] for name in ("plain", "fused")]
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)
    plainly, otherwise = (tensors(tmp_path / n / "last.pt") for n in ("plain", "fused"))
    assert any(not torch.equal(x, otherwise[name]) for name, x in plainly.items())


def test_a_state_without_a_newer_setting_goes_on(
    data: Path, tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec, plain = (
        NestSpec(depth=1, widths=2, in_channels=1),
        replace(settings, epochs=1),
    )
    as_it_was = Settings.to_plain

    def older(self: Settings) -> dict[str, Any]:
        return {k: v for k, v in as_it_was(self).items() if k != "fused"}

    monkeypatch.setattr(Settings, "to_plain", older)
    stopping = At(1, 3, interrupted)
    assert train(
        spec, *find_splits(data), tmp_path, plain, observer=stopping
    ).interrupted
    monkeypatch.undo()
    assert not train(spec, *find_splits(data), tmp_path, plain, resume=True).interrupted


def test_what_cannot_be_fused_is_not_begun(
    volumes: Path, tmp_path: Path, settings: Settings
) -> None:
    spec = NestSpec(depth=1, widths=2, in_channels=1, dims=3)
    fused = replace(settings, patch=(8, 16, 16), fused=True)
    with pytest.raises(ModuleError, match="nothing of it can be fused for training"):
        train(spec, *find_splits(volumes), tmp_path / "run", fused)
    assert not (tmp_path / "run").exists()


def log_of(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, data: Path) -> Path:
    """A run that nobody stopped."""
    folder = tmp_path_factory.mktemp("whole")
    spec = NestSpec(depth=2, widths=2, in_channels=1, block={"dropout": 0.2})
    settings = Settings(epochs=3, batch_size=2, patch=(16, 16), learning_rate=1e-2)
    outcome = train(spec, *find_splits(data), folder, settings)
    assert not outcome.interrupted
    return folder


def test_learns_and_logs(whole: Path) -> None:
    records = log_of(whole)
    assert [record["epoch"] for record in records] == [1, 2, 3]
    assert records[-1]["loss"] < records[0]["loss"]
    assert set(records[0]["val"]) == {"L1", "L2"}
    best = max(
        record["val"][k]["iou_per_image"] for record in records for k in record["val"]
    )
    state = checkpoint.read(whole / "last.pt").extra
    assert state is not None
    assert state["position"]["best_score"] == best


@pytest.mark.parametrize(
    "places",
    [[(1, 3)], [(1, None)], [(2, 1), (3, 16)], [(1, 16), (2, None), (3, 7), (3, 8)]],
)
@pytest.mark.parametrize("act", [killed, interrupted])
def test_goes_on_as_if_never_stopped(
    places: list[tuple[int, int | None]],
    act: Any,
    whole: Path,
    data: Path,
    tmp_path: Path,
    spec: NestSpec,
    settings: Settings,
) -> None:
    for place in places:
        resume = (tmp_path / "last.pt").exists()
        with contextlib.suppress(Killed):
            train(
                spec,
                *find_splits(data),
                tmp_path,
                settings,
                resume=resume,
                observer=At(*place, act),
            )
    if (tmp_path / "last.pt").exists():
        assert saved_run(tmp_path) == (spec, settings)
    train(spec, *find_splits(data), tmp_path, settings, resume=resume_of(tmp_path))
    assert_same_run(whole, tmp_path)


def resume_of(folder: Path) -> bool:
    return (folder / "last.pt").exists()


def test_goes_on_after_kill_9(whole: Path, data: Path, tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-c",
        "import torch; torch.set_num_threads(1)\nfrom nestgen.cli import main; main()",
        "train",
        str(data),
        "-o",
    ]
    options = [
        "--depth",
        "2",
        "--widths",
        "2",
        "--dropout",
        "0.2",
        "--epochs",
        "3",
        "--batch-size",
        "2",
        "--learning-rate",
        "0.01",
        "--patch",
        "16",
    ]
    first = subprocess.Popen([*command, str(tmp_path), *options])
    while not (tmp_path / "log.jsonl").exists() and first.poll() is None:
        time.sleep(0.01)
    first.kill()
    first.wait()
    assert resume_of(tmp_path)
    subprocess.run([*command, str(tmp_path), "--resume"], check=True)
    assert_same_run(whole, tmp_path)


def test_a_run_begins_with_a_state(
    data: Path, tmp_path: Path, spec: NestSpec, settings: Settings
) -> None:
    (tmp_path / "log.jsonl").write_text("of another run")
    (tmp_path / "model.pt").write_text("of another run")
    with contextlib.suppress(Killed):
        train(spec, *find_splits(data), tmp_path, settings, observer=At(1, 1, killed))
    assert [path.name for path in tmp_path.iterdir()] == ["last.pt"]
    assert saved_run(tmp_path) == (spec, settings)


def test_another_set_up_is_refused(
    whole: Path, data: Path, spec: NestSpec, settings: Settings
) -> None:
    other = replace(settings, epochs=9)
    with pytest.raises(SettingsError, match="set up otherwise"):
        train(spec, *find_splits(data), whole, other, resume=True)


def test_a_head_of_weight_zero_is_not_trained() -> None:
    spec = NestSpec(depth=2, widths=2, in_channels=1)
    model = build(spec)
    freeze_unsupervised(model, NestGraph(spec), [1])
    learned = {n.split(".")[0] for n, p in model.named_parameters() if p.requires_grad}
    assert learned == {"x0_0", "x1_0", "x0_1", "up0_1", "head_L1"}


def test_other_images_are_refused(
    whole: Path, data: Path, spec: NestSpec, settings: Settings
) -> None:
    train_pairs, val_pairs = find_splits(data)
    with pytest.raises(DataError, match="other images"):
        train(spec, train_pairs[1:], val_pairs, whole, settings, resume=True)


def test_a_loss_that_is_not_finite_stops_the_run(
    data: Path, tmp_path: Path, spec: NestSpec, settings: Settings
) -> None:
    wild = replace(settings, learning_rate=1e9)
    bare = spec.replace(block={"norm": "none"})
    with pytest.raises(
        TrainingError, match=r"at epoch \d+, step \d+ with .*images"
    ) as e:
        train(bare, *find_splits(data), tmp_path, wild)
    assert "\n" not in str(e.value)
    for path in tmp_path.glob("*.pt"):
        assert all(t.isfinite().all() for t in tensors(path).values())


@pytest.mark.parametrize("family", ["unet++", "unet+", "unet-e"])
@pytest.mark.parametrize("heads", [[3], [1, 2, 3]])
def test_every_parameter_that_is_trained_gets_a_gradient(
    family: str, heads: list[int]
) -> None:
    spec = NestSpec(family=family, depth=3, widths=2, in_channels=1, heads=heads)
    model = build(spec)
    freeze_unsupervised(model, NestGraph(spec), spec.heads)
    outputs = model(torch.randn(2, 1, 16, 16))
    values = outputs.values() if isinstance(outputs, dict) else [outputs]
    sum(y.square().mean() for y in values).backward()
    for name, parameter in model.named_parameters():
        assert parameter.requires_grad == (parameter.grad is not None), name
    frozen = [n for n, p in model.named_parameters() if not p.requires_grad]
    assert bool(frozen) == (family == "unet-e" and heads == [3])


def test_early_stopping(
    data: Path, tmp_path: Path, spec: NestSpec, settings: Settings
) -> None:
    still = replace(settings, learning_rate=1e-12, patience=1, epochs=50)
    outcome = train(spec, *find_splits(data), tmp_path, still)
    assert outcome.epoch < 12
    records = (tmp_path / "log.jsonl").read_text().splitlines()
    assert len(records) == outcome.best_epoch + 1


def test_two_processes_share_each_batch(data: Path, tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--nproc-per-node",
        "2",
        "--standalone",
        "-m",
        "nestgen.cli",
        "train",
        str(data),
        "-o",
        str(tmp_path),
        "--depth",
        "1",
        "--widths",
        "2",
        "--epochs",
        "1",
        "--batch-size",
        "2",
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.count("wrote") == 1, "one process speaks for all"
    record = json.loads((tmp_path / "log.jsonl").read_text())
    assert set(record["val"]) == {"L1"}
    assert checkpoint.read_spec(tmp_path / "model.pt").depth == 1


DEEP = NestSpec(
    dims=3,
    depth=2,
    widths=2,
    in_channels=1,
    strides=[[1, 2, 2], 2],
    block={"dropout": 0.2},
)
"""For slices that are thicker than pixels: multiples of 2x4x4."""
DEEP_SETTINGS = Settings(epochs=2, batch_size=2, patch=(4, 8, 8), learning_rate=1e-2)


@pytest.fixture(scope="module")
def deep(tmp_path_factory: pytest.TempPathFactory, volumes: Path) -> Path:
    """A run on volumes that nobody stopped."""
    folder = tmp_path_factory.mktemp("deep")
    assert not train(DEEP, *find_splits(volumes), folder, DEEP_SETTINGS).interrupted
    return folder


def test_a_run_on_volumes_learns(deep: Path) -> None:
    records = log_of(deep)
    assert records[-1]["loss"] < records[0]["loss"]
    assert checkpoint.read_spec(deep / "model.pt") == DEEP


@pytest.mark.parametrize("act", [killed, interrupted])
def test_on_volumes_it_goes_on_as_if_never_stopped(
    act: Any, deep: Path, volumes: Path, tmp_path: Path
) -> None:
    splits = find_splits(volumes)
    with contextlib.suppress(Killed):
        stopped = At(2, 3, act)
        train(DEEP, *splits, tmp_path, DEEP_SETTINGS, observer=stopped)
    assert saved_run(tmp_path) == (DEEP, DEEP_SETTINGS)
    train(DEEP, *splits, tmp_path, DEEP_SETTINGS, resume=True)
    assert_same_run(deep, tmp_path)


def test_a_patch_that_the_network_does_not_take_is_refused(
    volumes: Path, tmp_path: Path
) -> None:
    for patch, said in (((16, 16), "3 sides"), ((4, 8, 9), "multiples of 2x4x4 from")):
        wrong = replace(DEEP_SETTINGS, patch=patch)
        with pytest.raises(SettingsError, match=f"patch: .* is not allowed, {said}"):
            train(DEEP, *find_splits(volumes), tmp_path, wrong)
    assert not list(tmp_path.iterdir())
