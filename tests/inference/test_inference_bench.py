"""Who takes turns with whom, what is compared first, and what the numbers mean."""

from __future__ import annotations

import copy
import json
import os
import re
import signal
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from nestgen.arch.spec import NestSpec
from nestgen.codegen.load import build
from nestgen.errors import CutError, OutputError, SettingsError, SpecError
from nestgen.inference import backends
from nestgen.inference.agreement import MOST, disagreement, rounding
from nestgen.inference.backend import Backend, Case, Ready
from nestgen.inference.backends import BACKENDS, find_backends, missing_backends
from nestgen.inference.bench import DTYPES, Comparison, LeftOut, Row, Setting, bench
from nestgen.inference.bench_plot import plot_comparison
from nestgen.inference.spread import Spread
from nestgen.surgery.cut import prune
from nestgen.training.timing import WARM_UP, peak_bytes

CPU = torch.device("cpu")
Log = list[tuple[str, int, str]]
"""Passes in their order: backend, parameters of the network, dtype."""


class Clock:
    """A clock that each pass moves on by as many seconds as the network is large."""

    def __init__(self) -> None:
        self.now = 0.0
        self.log: Log = []

    def __call__(self) -> float:
        return self.now

    def backend(self, name: str, factor: float) -> Backend:
        def prepare(case: Case) -> Ready:
            size = sum(p.numel() for p in case.module.parameters())

            def run() -> Any:
                self.now += factor * size
                self.log.append((name, size, str(case.x.dtype)))
                return case.module(case.x)

            return Ready(run)

        return Backend(prepare)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Two backends of which one takes twice as long."""
    clock = Clock()
    monkeypatch.setitem(BACKENDS, "one", clock.backend("one", 1))
    monkeypatch.setitem(BACKENDS, "two", clock.backend("two", 2))
    return clock


@pytest.fixture(scope="module")
def model() -> nn.Module:
    torch.manual_seed(0)
    return build(NestSpec(depth=2, widths=2, in_channels=1)).eval()


def parameters(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def test_all_take_turns_in_each_setting(model: nn.Module, clock: Clock) -> None:
    peer = (nn.Conv2d(3, 1, 1), torch.zeros(1, 3, 5, 5))
    found = bench(
        model,
        sizes=[(8,)],
        dtypes=["float32", "bfloat16"],
        backends=["one", "two"],
        peer=peer,
        rounds=4,
        clock=clock,
    )
    names = {parameters(prune(model, k)): f"L{k}" for k in (1, 2)}
    names[parameters(peer[0])] = "peer"
    runs = {(backend, size) for backend in ("one", "two") for size in names}
    assert len(found.rows) == 2 * len(runs)
    assert found.left_out == ()
    passes = len(runs) * (1 + WARM_UP + 4)
    for at, dtype in enumerate(["torch.float32", "torch.bfloat16"]):
        own = clock.log[at * passes : (at + 1) * passes]
        assert {used for _, _, used in own} == {dtype}
        for turn in range(1 + WARM_UP + 4):
            beside = own[turn * len(runs) : (turn + 1) * len(runs)]
            assert {entry[:2] for entry in beside} == runs
    sizes = {name: size for size, name in names.items()}
    for row in found.rows:
        seconds = sizes[row.network] * (1 if row.backend == "one" else 2)
        assert row.seconds == Spread(seconds, seconds, seconds)
        for other in ("L2", "peer"):
            assert row.speedups[other].median == sizes[other] / sizes[row.network]
        assert row.images_per_second == 1 / seconds


def test_progress_ends_with_all(model: nn.Module, clock: Clock) -> None:
    told: list[tuple[int, int]] = []
    bench(
        model,
        sizes=[(8,), (4, 12)],
        batch_sizes=[1, 2],
        backends=["one", "two"],
        rounds=2,
        clock=clock,
        progress=lambda done, total: told.append((done, total)),
    )
    assert told == sorted(told)
    assert told[-1] == (4 * 2 * 2 * (1 + WARM_UP + 2),) * 2


def test_the_input_is_what_the_setting_says(
    model: nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    shapes: list[tuple[torch.Size, torch.dtype]] = []

    def prepare(case: Case) -> Ready:
        shapes.append((case.x.shape, case.x.dtype))
        assert {p.dtype for p in case.module.parameters()} == {case.x.dtype}
        return Ready(partial(case.module, case.x))

    monkeypatch.setitem(BACKENDS, "noting", Backend(prepare))
    bench(
        model,
        levels=[1],
        sizes=[(8,), (5, 7)],
        batch_sizes=[3],
        dtypes=["bfloat16"],
        backends=["noting"],
        rounds=1,
    )
    assert shapes == [
        ((3, 1, 8, 8), torch.bfloat16),
        ((3, 1, 5, 7), torch.bfloat16),
    ]


def times_two(case: Case) -> Ready:
    return Ready(lambda: 2 * case.module(case.x))


def one_row_less(case: Case) -> Ready:
    return Ready(lambda: case.module(case.x)[..., 1:])


def nothing_at_all(case: Case) -> Ready:
    return Ready(lambda: case.module(case.x) * float("nan"))


def broken(case: Case) -> Ready:
    raise RuntimeError("no such\nkernel")


@pytest.mark.parametrize(
    ("prepare", "reason"),
    [
        (times_two, r"differs from eager by 1 of the largest output, .*e-0[56] is"),
        (one_row_less, r"gives \[\[1, 1, 8, 7\]\], eager gives \[\[1, 1, 8, 8\]\]"),
        (nothing_at_all, r"differs from eager by nan"),
        (broken, r"^RuntimeError: no such kernel$"),
    ],
)
def test_what_gives_something_else_is_not_timed(
    model: nn.Module,
    monkeypatch: pytest.MonkeyPatch,
    prepare: Callable[[Case], Ready],
    reason: str,
) -> None:
    monkeypatch.setitem(BACKENDS, "wrong", Backend(prepare))
    found = bench(model, sizes=[(8,)], backends=["wrong", "eager"], rounds=1)
    assert {row.backend for row in found.rows} == {"eager"}
    assert [item.network for item in found.left_out] == ["L1", "L2"]
    for item in found.left_out:
        assert item.backend == "wrong"
        assert re.search(reason, item.reason), item.reason


def test_a_dtype_that_a_backend_does_not_take_is_told(
    model: nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Backend(BACKENDS["eager"].prepare, dtypes=(torch.float32,))
    monkeypatch.setitem(BACKENDS, "whole", whole)
    found = bench(
        model,
        sizes=[(8,)],
        dtypes=["float16"],
        backends=["whole"],
        rounds=1,
        levels=[2],
    )
    setting = Setting((8, 8), 1, "float16")
    assert found.left_out == (LeftOut("L2", "whole", setting, "takes no float16"),)
    assert found.rows == ()


def test_a_peer_that_fails_is_told(model: nn.Module) -> None:
    peer = (nn.Conv2d(1, 1, 9), torch.zeros(1, 1, 16, 16))
    found = bench(model, sizes=[(8,)], backends=["eager"], peer=peer, rounds=1)
    assert [row.network for row in found.rows] == ["L1", "L2"]
    (item,) = found.left_out
    assert item.network == "peer"
    assert item.reason.startswith("RuntimeError: ")


def test_rounding_is_what_is_allowed() -> None:
    # two layers of 9 and 18 weights for each output; 2^-23 and 2^-7 are the steps
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Conv2d(2, 1, 3))
    single = rounding(network, torch.zeros(1))
    assert single == pytest.approx(2**-23 * (1 + 2 + 9 + 18) ** 0.5)
    half = rounding(network, torch.zeros(1, dtype=torch.bfloat16))
    assert half == pytest.approx((3 * 2**-14 + 27 * 2**-46) ** 0.5)
    expected = torch.tensor([1.0, -4.0])
    assert disagreement(expected + 4 * single, expected, 1.01 * single) is None
    assert disagreement(expected + 4 * single, expected, 0.9 * single) is not None


def test_no_network_is_so_deep_that_anything_passes() -> None:
    deep = nn.Sequential(*(nn.Conv2d(1, 1, 3) for _ in range(99)))
    x = torch.zeros(1, dtype=torch.bfloat16)
    assert rounding(deep[:9], x) < rounding(deep, x) == MOST
    whole = build(NestSpec())
    assert rounding(whole, torch.zeros(1)) < 1e-4
    assert rounding(whole, x.half()) < 0.01


@pytest.mark.parametrize("number", [float("inf"), float("-inf"), float("nan")])
def test_what_overflows_is_no_measure(number: float) -> None:
    expected = torch.tensor([1.0, number])
    for found in (expected, torch.zeros(2)):
        said = disagreement([found], [expected], 0.01)
        assert said == "cannot be compared, eager gives numbers that are not finite"
    assert disagreement(expected, torch.ones(2), 0.01) is not None


def test_nothing_that_overflows_is_timed(model: nn.Module) -> None:
    loud = copy.deepcopy(model)
    with torch.no_grad():
        for head in ("L1", "L2"):
            loud.get_parameter(f"head_{head}.bias").fill_(1e5)
    found = bench(loud, sizes=[(8,)], dtypes=["float16", "bfloat16"], rounds=1)
    assert {row.setting.dtype for row in found.rows} == {"bfloat16"}
    assert {item.setting.dtype for item in found.left_out} == {"float16"}
    assert all("not finite" in item.reason for item in found.left_out)


KNOWN: Any = torch.backends
MULTIPLIERS = [KNOWN.cuda.matmul, KNOWN.cudnn.conv]


def precisions() -> list[str]:
    return [place.fp32_precision for place in MULTIPLIERS]


@pytest.fixture(params=["tf32", "ieee", None])
def precision(request: pytest.FixtureRequest) -> Iterator[list[str]]:
    """How a GPU multiplies float32, as someone has set it, or nobody."""
    before = precisions()
    for place in MULTIPLIERS:
        place.fp32_precision = request.param or place.fp32_precision
    yield precisions()
    for place, was in zip(MULTIPLIERS, before, strict=True):
        place.fp32_precision = was


def test_outputs_are_compared_without_tf32_and_timed_as_it_was_set(
    precision: list[str], model: nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[str]] = []

    class Noting(nn.Conv2d):
        def forward(self, x: Tensor) -> Tensor:
            seen.append(precisions())
            return super().forward(x)

    peer = (Noting(1, 1, 1), torch.zeros(1, 1, 8, 8))
    bench(model, sizes=[(8,)], levels=[1], backends=["eager"], peer=peer, rounds=1)
    assert seen[:2] == [["ieee", "ieee"]] * 2
    assert seen[2 : 2 + WARM_UP + 1] == [precision] * (WARM_UP + 1)

    def failing(case: Case) -> Ready:
        return Ready(lambda: 1 / 0)

    monkeypatch.setitem(BACKENDS, "failing", Backend(failing))
    bench(model, sizes=[(8,)], levels=[1], backends=["failing"], rounds=1)
    assert precisions() == precision


def test_memory_is_that_of_each_alone(model: nn.Module) -> None:
    found = bench(model, sizes=[(8,)], batch_sizes=[2], rounds=1)
    for row in found.rows:
        alone = prune(model, int(row.network[1:])).eval()
        assert row.peak_bytes == peak_bytes(alone, torch.zeros(2, 1, 8, 8))


def test_the_model_stays_as_it_is(model: nn.Module) -> None:
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    bench(model, sizes=[(8,)], dtypes=["bfloat16"], rounds=1)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name])
        assert tensor.stride() == before[name].stride()


def test_an_interrupt_ends_with_what_is_timed(
    model: nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    passes: list[int] = []

    def prepare(case: Case) -> Ready:
        def run() -> Any:
            passes.append(1)
            if len(passes) == 2 + 2 * (WARM_UP + 2) + 1:
                os.kill(os.getpid(), signal.SIGINT)
            return case.module(case.x)

        return Ready(run)

    monkeypatch.setitem(BACKENDS, "stopping", Backend(prepare))
    found = bench(
        model, sizes=[(8,), (16,)], backends=["stopping"], rounds=50, levels=[1, 2]
    )
    assert found.interrupted
    # the round in which it came is the last, and of the second size there is none
    assert len(passes) == 2 * (1 + WARM_UP + 3)
    assert [(row.network, row.setting.size) for row in found.rows] == [
        ("L1", (8, 8)),
        ("L2", (8, 8)),
    ]


@pytest.mark.parametrize(
    ("choices", "error", "message"),
    [
        (
            {"backends": ["fast"]},
            SettingsError,
            "backend: 'fast' is not allowed, one of",
        ),
        ({"dtypes": ["int8"]}, SettingsError, "dtype: 'int8' is not allowed, one of"),
        ({"levels": [1, 3]}, CutError, "3"),
        ({"batch_sizes": [0]}, SettingsError, "batch_size: 0 is not allowed"),
        ({"sizes": [(0, 8)]}, SettingsError, "size: 0 is not allowed"),
        ({"sizes": [(8, 8, 8)]}, SpecError, "size: 8x8x8 is not allowed"),
        ({"rounds": 0}, SettingsError, "rounds: 0 is not allowed"),
    ],
)
def test_what_is_not_allowed(
    model: nn.Module, choices: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        bench(model, **{"rounds": 1, **choices})


def test_a_network_that_does_not_pad_takes_its_multiples_alone() -> None:
    model = build(NestSpec(depth=2, widths=2, pad=False))
    with pytest.raises(SpecError, match="size: 6x6 is not allowed, multiples of 4"):
        bench(model, sizes=[(6,)], rounds=1)


def test_a_backend_that_is_not_here_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    away = Backend(broken, missing=lambda device: "it is away")
    few = {"eager": BACKENDS["eager"], "away": away}
    monkeypatch.setattr(backends, "BACKENDS", few)
    assert missing_backends(CPU) == {"away": "it is away"}
    with pytest.raises(SettingsError, match="away cannot be used, it is away"):
        find_backends(["eager", "away"], CPU)


@pytest.mark.parametrize("name", [name for name in BACKENDS if name != "eager"])
def test_each_backend_gives_what_eager_gives(name: str) -> None:
    reason = BACKENDS[name].missing(CPU)
    if reason is not None:
        pytest.skip(f"{name}: {reason}")
    model = build(NestSpec(depth=1, widths=2, in_channels=1)).eval()
    dtypes = [key for key, dtype in DTYPES.items() if dtype in BACKENDS[name].dtypes]
    both = ["eager", name]
    found = bench(model, sizes=[(5, 7)], dtypes=dtypes, backends=both, rounds=1)
    assert found.left_out == ()
    assert [row.backend for row in found.rows] == both * len(dtypes)


def test_the_compiler_takes_weights_for_constants() -> None:
    reason = BACKENDS["compile"].missing(CPU)
    if reason is not None:
        pytest.skip(reason)
    convolution = nn.Conv2d(2, 2, 3).eval()
    with torch.inference_mode():
        ready = BACKENDS["compile"].prepare(Case(convolution, torch.ones(1, 2, 4, 4)))
        before = ready.run().clone()
        convolution.weight.data.zero_()
        assert torch.equal(ready.run(), before)


def comparison() -> Comparison:
    rows = [
        Row(
            network,
            backend,
            Setting((8, 12), 2, dtype),
            Spread(0.5 * k, 0.25 * k, k),
            {"L2": Spread(2 / k, 1, 2)},
            None if backend == "compile" else 100,
        )
        for dtype in DTYPES
        for k, network in enumerate(("L1", "L2"), start=1)
        for backend in ("eager", "compile")
    ]
    left_out = (LeftOut("L1", "two", Setting((8, 12), 2, "float16"), "takes none"),)
    return Comparison(tuple(rows), left_out, 20, 2, "cpu", False)


def test_the_comparison_is_plain() -> None:
    plain = comparison().to_plain()
    assert json.loads(json.dumps(plain)) == plain
    assert plain["rows"][1] == {
        "network": "L1",
        "backend": "compile",
        "size": [8, 12],
        "batch_size": 2,
        "dtype": "float32",
        "seconds": {"median": 0.5, "low": 0.25, "high": 1},
        "images_per_second": 4.0,
        "speedups": {"L2": {"median": 2.0, "low": 1, "high": 2}},
        "peak_bytes": None,
    }
    assert plain["left_out"] == [
        {
            "network": "L1",
            "backend": "two",
            "size": [8, 12],
            "batch_size": 2,
            "dtype": "float16",
            "reason": "takes none",
        }
    ]


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_the_plot_is_a_picture(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"bench{suffix}"
    plot_comparison(comparison(), path)
    if suffix == ".png":
        extrema: Any = Image.open(path).convert("L").getextrema()
        assert extrema[0] < extrema[1]
    again = tmp_path / f"again{suffix}"
    plot_comparison(comparison(), again)
    assert path.read_bytes() == again.read_bytes()


def test_the_plot_of_nothing_is_a_picture_too(tmp_path: Path) -> None:
    nothing = Comparison((), comparison().left_out, 20, 2, "cpu", True)
    plot_comparison(nothing, tmp_path / "bench.svg")
    assert (tmp_path / "bench.svg").exists()


def test_the_plot_refuses_other_files(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"one of \.png, \.svg, \.pdf"):
        plot_comparison(comparison(), tmp_path / "bench.gif")
    assert not list(tmp_path.iterdir())
