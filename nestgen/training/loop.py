"""The training loop: steps, validation, the best network, the newest state."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import broadcast, gather_object
from torch import Tensor, nn

from nestgen import checkpoint
from nestgen.arch.graph import NestGraph
from nestgen.arch.spec import NestSpec
from nestgen.codegen.load import build
from nestgen.codegen.timm_weights import find_weights, pretrain
from nestgen.errors import CheckpointError, DataError, SettingsError, TrainingError
from nestgen.fusion.training import FusedTraining, fuse_training
from nestgen.imaging.pairs import Pair
from nestgen.training.augment import Patches
from nestgen.training.data import Order, TrainingSet, batches
from nestgen.training.evaluate import count_images
from nestgen.training.interrupts import interrupts
from nestgen.training.losses import DeepSupervision
from nestgen.training.metrics import Scores
from nestgen.training.observer import Observer
from nestgen.training.optimizer import freeze_unsupervised, make_optimizer
from nestgen.training.outputs import by_level
from nestgen.training.schedule import learning_rate
from nestgen.training.settings import Settings
from nestgen.training.state import Folder, Position, fingerprint
from nestgen.training.window import check_sides, window_of

CLIP = 5.0
"""The norm to which a step's gradient is clipped."""


@dataclass(frozen=True)
class Outcome:
    """How a run ended: `interrupted`, or done with its best score."""

    interrupted: bool
    epoch: int
    best_score: float
    best_epoch: int


def train(
    spec: NestSpec,
    train_pairs: Sequence[Pair],
    val_pairs: Sequence[Pair],
    folder: str | Path,
    settings: Settings,
    *,
    resume: bool = False,
    observer: Observer | None = None,
) -> Outcome:
    """Train a network and leave the best one in `folder/model.pt`.

    With `resume` the run in `folder` goes on as it was set up; its final weights are
    those of a run that was never stopped, bit for bit, on the same CPU and number of
    threads. Ctrl-C ends the run after the step in work, with its state saved.
    Raises `TrainingError` where the loss is not finite; nothing of that step is kept.
    """
    run = _Run(spec, train_pairs, val_pairs, Folder(Path(folder)), settings)
    if resume:
        run.load()
    elif settings.pretrained:
        pretrain(run.network, spec, find_weights(spec))
    with interrupts() as asked:
        interrupted = run.go(asked, observer or Observer())
    at = run.at
    return Outcome(interrupted, at.epoch, at.best_score, at.best_epoch)


def saved_run(folder: str | Path) -> tuple[NestSpec, Settings]:
    """The spec and the settings of the run in `folder`, as it was started."""
    contents = checkpoint.read(Folder(Path(folder)).last)
    if not contents.extra or "settings" not in contents.extra:
        raise CheckpointError(f"{Folder(Path(folder)).last}: is no state of a run")
    return contents.spec, Settings.from_plain(contents.extra["settings"])


class _Run:
    def __init__(
        self,
        spec: NestSpec,
        train_pairs: Sequence[Pair],
        val_pairs: Sequence[Pair],
        folder: Folder,
        settings: Settings,
    ) -> None:
        self.spec, self.folder, self.settings = spec, folder, settings
        self.train_pairs, self.val_pairs = train_pairs, val_pairs
        self.order = Order(len(train_pairs), settings.batch_size, settings.seed)
        self.loss = DeepSupervision(spec.classes, spec.heads, settings.level_weights)
        graph = NestGraph(spec)
        check_sides("patch", settings.patch, graph.multiples)
        patches = Patches(settings.patch, settings.augment, graph.multiples)
        self.data = TrainingSet(train_pairs, spec, patches)
        # what trains in a patch has the memory to see as much without a gradient
        self.window = tuple(map(max, window_of(graph), settings.patch))
        self.at = Position()
        self.records: list[dict[str, Any]] = []
        self.accelerator = _accelerator(settings)
        torch.manual_seed(settings.seed)
        self.network = build(spec)
        freeze_unsupervised(self.network, graph, settings.supervised(spec.heads))
        self.model, self.optimizer = self.accelerator.prepare(
            _fused(self.network, graph) if settings.fused else self.network,
            make_optimizer(self.network, settings),
        )

    def go(self, asked: list[int], observer: Observer) -> bool:
        """Train to the end; True if an interrupt ended it before."""
        if (self.at.epoch, self.at.step) == (1, 0):
            self._begin()
        observer.started(self.at, self.settings, self.order.steps)
        while not self._done():
            began = time.perf_counter() - self.at.seconds
            for images, labels in self._rest_of_epoch():
                loss = self._step(images, labels)
                self.at.loss_sum += loss
                self.at.step += 1
                self.at.seconds = time.perf_counter() - began
                observer.stepped(self.at, loss)
                if self._agreed(bool(asked)):
                    self._save_state()
                    return True
            self._save_state()
            self._finish_epoch(began, observer)
        return False

    def load(self) -> None:
        """Go on from `last.pt`, the state of a run like this one."""
        contents = checkpoint.read(self.folder.last)
        extra = contents.extra or {}
        if extra.get("data") != self._data():
            raise DataError(
                f"{self.folder.last}: was trained on other images than these, or by "
                "another number of processes; give the same"
            )
        settings = Settings.from_plain(extra["settings"])
        if (contents.spec, settings) != (self.spec, self.settings):
            raise SettingsError(f"{self.folder.last}: is of a run set up otherwise")
        self.network.load_state_dict(contents.tensors)
        self.optimizer.load_state_dict(extra["optimizer"])
        if self.accelerator.scaler is not None:
            self.accelerator.scaler.load_state_dict(extra["scaler"])
        self.at = Position(**extra["position"])
        self.records = self.folder.read_log(before=self.at.epoch)

    def _begin(self) -> None:
        """Leave nothing of another run, and a state from which to begin again."""
        if self.accelerator.is_main_process:
            for file in (self.folder.model, self.folder.log):
                file.unlink(missing_ok=True)
        self._save_state()

    def _data(self) -> str:
        world = self.accelerator.num_processes
        return fingerprint(self.train_pairs, self.val_pairs, world)

    def _done(self) -> bool:
        waited = self.at.epoch - 1 - self.at.best_epoch
        return self.at.epoch > self.settings.epochs or waited >= self.settings.patience

    def _rest_of_epoch(self) -> Iterator[tuple[Tensor, Tensor]]:
        """This process's share of each batch that the epoch still has."""
        rank, world = self.accelerator.process_index, self.accelerator.num_processes
        keys = [
            self.order.batch(self.at.epoch, step)[rank::world]
            for step in range(self.at.step, self.order.steps)
        ]
        return batches(self.data, keys, self.settings.workers)

    def _step(self, images: Tensor, labels: Tensor) -> float:
        device = self.accelerator.device
        self._seed()
        self.model.train()
        self._set_learning_rate()
        outputs = by_level(self.model(images.to(device)), self.spec.heads)
        loss: Tensor = self.loss(outputs, labels.to(device))
        value = float(self.accelerator.reduce(loss.detach(), reduction="mean"))
        if not np.isfinite(value):
            raise self._not_finite(f"the loss is {value}")
        self.optimizer.zero_grad()
        self.accelerator.backward(loss)
        norm = self.accelerator.clip_grad_norm_(self.model.parameters(), CLIP)
        # with fp16 the scaler skips a step whose gradient overflows
        if self.accelerator.scaler is None and not torch.isfinite(norm):
            raise self._not_finite(f"the gradient's norm is {float(norm)}")
        self.optimizer.step()
        return value

    def _seed(self) -> None:
        """Dropout draws by the step's number, so that it is the same when repeated."""
        place = (self.at.epoch, self.at.step, self.accelerator.process_index)
        drawn = np.random.default_rng((self.settings.seed, *place, 2))
        torch.manual_seed(int(drawn.integers(2**63)))

    def _set_learning_rate(self) -> None:
        steps = self.order.steps
        done = (self.at.epoch - 1) * steps + self.at.step
        rate = learning_rate(
            done, self.settings.epochs * steps, self.settings.learning_rate
        )
        for group in self.optimizer.param_groups:
            group["lr"] = rate

    def _not_finite(self, what: str) -> TrainingError:
        keys = self.order.batch(self.at.epoch, self.at.step)
        files = ", ".join(str(self.train_pairs[index].image) for index, _ in keys)
        state = self.folder.last
        kept = f"; {state} has the state before" if state.exists() else ""
        return TrainingError(
            f"{what} at epoch {self.at.epoch}, step {self.at.step + 1} "
            f"with {files}{kept}"
        )

    def _finish_epoch(self, began: float, observer: Observer) -> None:
        scores = self._validate(observer)
        score = max(scores[name].mean_iou for name in scores)
        best = score > self.at.best_score
        if best:
            self.at.best_score, self.at.best_epoch = score, self.at.epoch
        record = {
            "epoch": self.at.epoch,
            "steps": self.order.steps,
            "loss": self.at.loss_sum / self.order.steps,
            "learning_rate": self.optimizer.param_groups[0]["lr"],
            "val": {name: scores[name].to_plain() for name in scores},
            "best": best,
            "seconds": round(time.perf_counter() - began, 3),
        }
        self.records.append(record)
        self.at.next_epoch()
        if self.accelerator.is_main_process:
            if best:
                checkpoint.save(self.network, self.folder.model)
            self.folder.write_log(self.records)
        self._save_state()
        observer.finished_epoch(record)

    def _validate(self, observer: Observer) -> dict[str, Scores]:
        """Scores by level over all validation images, shared among the processes."""
        rank, world = self.accelerator.process_index, self.accelerator.num_processes
        for buffer in self.network.buffers():
            broadcast(buffer)  # the norms' statistics are those that will be saved
        rows = count_images(
            self.network,
            self.val_pairs,
            range(rank, len(self.val_pairs), world),
            self.window,
            self.settings.batch_size * math.prod(self.settings.patch),
            observer.validated,
        )
        rows = sorted(gather_object(rows), key=lambda row: row[0])
        names = [f"L{level}" for level in self.spec.heads]
        return {
            name: Scores(np.stack([counts[name] for _, counts in rows]))
            for name in names
        }

    def _save_state(self) -> None:
        scaler = self.accelerator.scaler
        if self.accelerator.is_main_process:
            extra = {
                "settings": self.settings.to_plain(),
                "position": self.at.to_plain(),
                "optimizer": self.optimizer.state_dict(),
                "scaler": None if scaler is None else scaler.state_dict(),
                "data": self._data(),
            }
            checkpoint.save(self.network, self.folder.last, extra=extra)
        self.accelerator.wait_for_everyone()

    def _agreed(self, asked: bool) -> bool:
        """Whether any process was asked to stop: they stop at the same step."""
        if self.accelerator.num_processes == 1:
            return asked
        flag = torch.tensor(float(asked), device=self.accelerator.device)
        return bool(self.accelerator.reduce(flag, reduction="sum") > 0)


def _fused(network: nn.Module, graph: NestGraph) -> FusedTraining:
    """Held against the network on the smallest images that leave pixels to norm by."""
    sides = [2 * multiple for multiple in graph.multiples]
    noise = torch.Generator().manual_seed(0)
    example = torch.randn(2, graph.spec.in_channels, *sides, generator=noise)
    return fuse_training(network.train(), example)


def _accelerator(settings: Settings) -> Accelerator:
    """The devices and processes; `SettingsError` for what they cannot do."""
    try:
        accelerator = Accelerator(mixed_precision=settings.precision)
    except ValueError as error:
        raise SettingsError(
            f"precision: {settings.precision} is not allowed, not to be had here; "
            "'no' always is"
        ) from error
    if settings.batch_size % accelerator.num_processes:
        raise SettingsError(
            f"batch_size: {settings.batch_size} is not allowed, a multiple of the "
            f"{accelerator.num_processes} processes"
        )
    return accelerator
