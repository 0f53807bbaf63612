"""Levels, and a peer's network, timed side by side in every backend."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from typing import Any

import torch
from torch import Tensor, nn

from nestgen.arch.cost import default_size, fitting_size, full_size
from nestgen.arch.graph import NestGraph
from nestgen.arch.spec import NestSpec
from nestgen.codegen.load import spec_of
from nestgen.errors import SettingsError, in_a_line
from nestgen.imaging.size import size_text
from nestgen.inference.agreement import disagreement, rounding
from nestgen.inference.backend import Backend, Case, Ready
from nestgen.inference.backends import find_backends
from nestgen.inference.spread import Spread, spread_of
from nestgen.precision import without_tf32
from nestgen.surgery.cut import prune
from nestgen.training.interrupts import interrupts
from nestgen.training.timing import WARM_UP, time_in_turn

DTYPES = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}
PEER = "peer"


@dataclass(frozen=True)
class Setting:
    """What all networks that take turns are given: [batch_size, channels, *size]."""

    size: tuple[int, ...]
    batch_size: int
    dtype: str

    @property
    def label(self) -> str:
        """The setting as tables and pictures name it."""
        return f"{size_text(self.size)}, batch {self.batch_size}, {self.dtype}"

    def to_plain(self) -> dict[str, Any]:
        """The setting as JSON types."""
        return {**asdict(self), "size": list(self.size)}


@dataclass(frozen=True)
class Row:
    """One network in one backend.

    Attributes:
        network: "L2", or "peer".
        backend: its name.
        setting: what it was given.
        seconds: of a pass.
        speedups: how many times faster it is than the highest level and than the peer
            in the same backend, by their names: medians of the ratios in each round.
        peak_bytes: the most bytes of tensors alive at once, where torch sees them.
    """

    network: str
    backend: str
    setting: Setting
    seconds: Spread
    speedups: dict[str, Spread]
    peak_bytes: int | None

    @property
    def images_per_second(self) -> float:
        """Images in a second, at the median."""
        return self.setting.batch_size / self.seconds.median

    def to_plain(self) -> dict[str, Any]:
        """The row as JSON types."""
        return {
            "network": self.network,
            "backend": self.backend,
            **self.setting.to_plain(),
            "seconds": self.seconds.to_plain(),
            "images_per_second": self.images_per_second,
            "speedups": {name: s.to_plain() for name, s in self.speedups.items()},
            "peak_bytes": self.peak_bytes,
        }


@dataclass(frozen=True)
class LeftOut:
    """What was asked for and not timed, and the reason."""

    network: str
    backend: str
    setting: Setting
    reason: str

    def to_plain(self) -> dict[str, Any]:
        """The fields as JSON types."""
        return {
            "network": self.network,
            "backend": self.backend,
            **self.setting.to_plain(),
            "reason": self.reason,
        }


@dataclass(frozen=True)
class Comparison:
    """All that was timed, and what was not; `interrupted` where Ctrl-C ended it."""

    rows: tuple[Row, ...]
    left_out: tuple[LeftOut, ...]
    rounds: int
    threads: int
    device: str
    interrupted: bool

    def to_plain(self) -> dict[str, Any]:
        """The comparison as JSON types."""
        return {
            "rounds": self.rounds,
            "threads": self.threads,
            "device": self.device,
            "interrupted": self.interrupted,
            "rows": [row.to_plain() for row in self.rows],
            "left_out": [item.to_plain() for item in self.left_out],
        }


@dataclass(frozen=True)
class _Network:
    module: nn.Module
    channels: int


def bench(
    model: nn.Module,
    *,
    levels: Sequence[int] | None = None,
    sizes: Sequence[tuple[int, ...]] | None = None,
    batch_sizes: Sequence[int] = (1,),
    dtypes: Sequence[str] = ("float32",),
    backends: Sequence[str] = ("eager", "channels_last"),
    peer: tuple[nn.Module, Tensor] | None = None,
    rounds: int = 20,
    progress: Callable[[int, int], object] = lambda done, total: None,
    clock: Callable[[], float] = time.perf_counter,
) -> Comparison:
    """Time levels of `model`, which nestgen built, each cut out, on its device.

    For each size, batch size and dtype, all levels take turns in all backends, and with
    them a peer's network, which comes with an example of its input; only the number of
    channels is taken from that. What a backend gives is compared with what the network
    gives in eager mode first; what differs is left out and the reason told. `progress`
    is called with the passes that are done and those in all. Ctrl-C ends with what is
    timed by then, once the round is over.

    Raises `CutError`, `SpecError` or `SettingsError` for a level, a size or another
    choice that is not allowed, before anything is timed.

    >>> from nestgen.codegen.load import build
    >>> model = build(NestSpec(depth=2, widths=2))
    >>> found = bench(model, sizes=[(8,)], backends=["eager"], rounds=1)
    >>> [(row.network, row.setting.size) for row in found.rows]
    [('L1', (8, 8)), ('L2', (8, 8))]
    """
    spec, device = spec_of(model), next(model.parameters()).device
    chosen = find_backends(backends, device)
    settings = _settings(spec, sizes, batch_sizes, dtypes)
    _at_least_one("rounds", rounds)
    networks = _networks(model, spec.heads if levels is None else sorted(set(levels)))
    if peer is not None:
        if peer[1].dim() < 2:
            raise SettingsError(
                f"peer: an input of {list(peer[1].shape)} is not allowed, one of "
                "[N, C, *size]"
            )
        networks[PEER] = _Network(peer[0].to(device), peer[1].shape[1])
    passes = len(networks) * len(chosen) * (1 + WARM_UP + rounds)
    counter = _Counter(progress, passes * len(settings))
    rows: list[Row] = []
    left_out: list[LeftOut] = []
    with interrupts() as asked:
        for number, setting in enumerate(settings, start=1):
            group = _Group(setting, device, rounds, counter, lambda: asked, clock)
            timed, untimed = group.measure(networks, chosen)
            rows += timed
            left_out += untimed
            counter.reach(passes * number)
    return Comparison(
        tuple(rows),
        tuple(left_out),
        rounds,
        torch.get_num_threads(),
        str(device),
        bool(asked),
    )


def _networks(model: nn.Module, levels: Sequence[int]) -> dict[str, _Network]:
    channels = spec_of(model).in_channels
    return {f"L{k}": _Network(prune(model, k).eval(), channels) for k in levels}


def _settings(
    spec: NestSpec,
    sizes: Sequence[tuple[int, ...]] | None,
    batch_sizes: Sequence[int],
    dtypes: Sequence[str],
) -> list[Setting]:
    graph = NestGraph(spec)
    for dtype in dtypes:
        if dtype not in DTYPES:
            allowed = ", ".join(DTYPES)
            raise SettingsError(f"dtype: {dtype!a} is not allowed, one of {allowed}")
    for batch_size in batch_sizes:
        _at_least_one("batch_size", batch_size)
    asked = [default_size(graph)] if sizes is None else sizes
    whole = [_size(graph, size) for size in asked]
    combined = product(whole, batch_sizes, dtypes)
    return list(dict.fromkeys(Setting(*each) for each in combined))


def _size(graph: NestGraph, size: tuple[int, ...]) -> tuple[int, ...]:
    for side in size:
        _at_least_one("size", side)
    return (
        full_size(size, graph.spec.dims)
        if graph.spec.pad
        else fitting_size(graph, size)
    )


def _at_least_one(name: str, number: int) -> None:
    if number < 1:
        raise SettingsError(f"{name}: {number} is not allowed, 1 or more")


class _Counter:
    """Passes that are done, of all."""

    def __init__(self, progress: Callable[[int, int], object], total: int) -> None:
        self.progress, self.total, self.done = progress, total, 0

    def reach(self, done: int) -> None:
        self.done = done
        self.progress(done, self.total)

    def add(self, passes: int) -> None:
        self.reach(self.done + passes)


@dataclass(frozen=True)
class _Group:
    """The networks that take turns, all given the same."""

    setting: Setting
    device: torch.device
    rounds: int
    counter: _Counter
    stopped: Callable[[], object]
    clock: Callable[[], float]

    def measure(
        self, networks: Mapping[str, _Network], backends: Mapping[str, Backend]
    ) -> tuple[list[Row], list[LeftOut]]:
        ready: dict[tuple[str, str], Ready] = {}
        left_out: list[LeftOut] = []
        for name, network in networks.items():
            for backend, made in self._prepared(network, backends):
                if isinstance(made, Ready):
                    ready[name, backend] = made
                else:
                    left_out.append(LeftOut(name, backend, self.setting, made))
        seconds = time_in_turn(
            {key: made.run for key, made in ready.items()},
            self.rounds,
            device=self.device,
            progress=self.counter.add,
            stopped=self.stopped,
            clock=self.clock,
        )
        levels = [name for name in networks if name != PEER]
        against = [name for name in (levels[-1], PEER) if name in networks]
        rows = [
            self._row(key, ready[key], seconds, against)
            for key in ready
            if seconds[key]
        ]
        for known in backends.values():
            known.forget()
        return rows, left_out

    def _prepared(
        self, network: _Network, backends: Mapping[str, Backend]
    ) -> Iterator[tuple[str, Ready | str]]:
        """Each backend with what it made of a network, or why it did not."""
        dtype = DTYPES[self.setting.dtype]
        try:
            case = self._case(network, dtype)
            with torch.inference_mode(), without_tf32():
                expected = case.module(case.x)
        except Exception as error:
            reason = in_a_line(error)
            yield from ((backend, reason) for backend in backends)
            return
        for backend, known in backends.items():
            if self.stopped():
                return
            yield backend, prepare(known, case, expected)
            self.counter.add(1)

    def _case(self, network: _Network, dtype: torch.dtype) -> Case:
        setting = self.setting
        module = copy.deepcopy(network.module).to(self.device, dtype).eval()
        chance = torch.Generator().manual_seed(0)
        shape = (setting.batch_size, network.channels, *setting.size)
        return Case(module, torch.randn(shape, generator=chance).to(self.device, dtype))

    def _row(
        self,
        key: tuple[str, str],
        made: Ready,
        seconds: Mapping[tuple[str, str], Sequence[float]],
        against: Sequence[str],
    ) -> Row:
        name, backend = key
        speedups = {
            other: spread_of(
                [
                    b / a
                    for a, b in zip(seconds[key], seconds[other, backend], strict=True)
                ]
            )
            for other in against
            if (other, backend) in seconds
        }
        return Row(
            name,
            backend,
            self.setting,
            spread_of(seconds[key]),
            speedups,
            None if made.peak_bytes is None else made.peak_bytes(),
        )


def prepare(backend: Backend, case: Case, expected: Any) -> Ready | str:
    """What `backend` makes of a case, or why it cannot be timed.

    It cannot where it gives something else than `expected`, but for rounding.

    >>> from nestgen.inference.backends import BACKENDS
    >>> case = Case(nn.Identity(), torch.ones(1, 1, 2, 2))
    >>> prepare(BACKENDS["eager"], case, torch.full((1, 1, 2, 2), 2.0))
    'differs from eager by 0.5 of the largest output, 1.2e-07 is allowed'
    """
    dtype = case.x.dtype
    if dtype not in backend.dtypes:
        return f"takes no {str(dtype).removeprefix('torch.')}"
    try:
        with torch.inference_mode():
            made = backend.prepare(case)
            with without_tf32():
                found = made.run()
        differs = disagreement(found, expected, rounding(case.module, case.x))
    except Exception as error:
        return in_a_line(error)
    return differs or made
