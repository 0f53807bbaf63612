"""The benchmark of a GPU runs from its beginning to its end, at toy size on a CPU."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import gpu
from benchmarks.on_gpu import compiled, correct, facts, networks, training
from benchmarks.on_gpu.compiled import Job, case_of, compile_all
from benchmarks.on_gpu.session import Extent, Session
from nestgen.fusion.table import table_of
from nestgen.kernels.configurations import KERNELS
from tests.kernels.calls import Case

pytest.importorskip("triton")


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The results of a whole run."""
    file = tmp_path_factory.mktemp("gpu") / "gpu.json"
    gpu.main(["--toy", "--out", str(file)])
    found: dict[str, Any] = json.loads(file.read_text())
    return found


def test_it_ends(told: dict[str, Any]) -> None:
    assert told["finished"]
    assert told["not_reached"] == []
    assert told["toy"]
    assert told["gpu"] is None
    assert told["command"].startswith("python -m benchmarks.gpu --toy --out ")


def test_everything_is_right(told: dict[str, Any]) -> None:
    words = {row["what"].split()[0] for row in told["correct"]}
    assert words == {*KERNELS, "raise2x,", "gradients,", "a"}
    assert [row for row in told["correct"] if row.get("wrong", "failed")] == []


def test_every_part_has_results(told: dict[str, Any]) -> None:
    for fact in ("bandwidth from", "bandwidth of", "cuDNN", "torch:", *KERNELS):
        (row, *_) = [row for row in told["facts"] if row["what"].startswith(fact)]
        assert row["GB/s"] > 0
    styles = {row["style"]: row for row in told["networks"]}
    assert list(styles) == list(networks.STYLES_TIMED)
    timed = {style for style, row in styles.items() if "ms" in row}
    assert timed == {"eager", "composed", "fused"}
    assert all("left_out" in row for row in told["networks"] if "ms" not in row)
    eager = next(row for row in told["training"] if row["style"] == "eager")
    assert eager["saved_MiB"] > 0


def test_its_choices_are_a_table(told: dict[str, Any]) -> None:
    text = json.dumps({"choices": told["choices"]}).encode()
    assert len(table_of(text).entries) == 6


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def session(file: Path, clock: Clock) -> Session:
    cpu = torch.device("cpu")
    return Session(file, {}, device=cpu, minutes=1, toy=True, clock=clock)


def test_what_is_not_reached_is_told(tmp_path: Path) -> None:
    clock = Clock()
    one = session(tmp_path / "gpu.json", clock)
    assert one.reaches("networks", "a", seconds=59)
    clock.now = 2
    assert not one.reaches("networks", "b", seconds=59)
    assert one.reaches("networks", "c", seconds=57)
    clock.now = 60
    assert not one.reaches("networks", "d")
    kept = json.loads((tmp_path / "gpu.json").read_text())
    assert kept["not_reached"] == ["networks: b", "networks: d"]
    assert not kept["finished"]


def test_what_fails_is_a_result_and_all_before_is_kept(tmp_path: Path) -> None:
    one = session(tmp_path / "gpu.json", Clock())
    one.add("facts", {"what": "first"})
    with one.guarded("facts", what="second"):
        raise RuntimeError("no\nmemory")
    kept = json.loads((tmp_path / "gpu.json").read_text())["facts"]
    assert kept == [
        {"what": "first"},
        {"what": "second", "failed": "RuntimeError: no memory"},
    ]


def test_a_part_that_ends_early_does_not_end_the_others(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fails(*given: Any) -> None:
        raise RuntimeError("no device")

    called: list[str] = []
    monkeypatch.setattr(correct, "check", fails)
    monkeypatch.setattr(facts, "measure", fails)
    monkeypatch.setattr(training, "measure", lambda *given: called.append("training"))
    monkeypatch.setattr(networks, "measure", lambda *given: called.append("networks"))
    one = session(tmp_path / "gpu.json", Clock())
    gpu.measure(one)
    assert called == ["networks", "training", "networks"]
    kept = json.loads((tmp_path / "gpu.json").read_text())
    assert [row["what"] for row in kept["parts"]] == ["correct", "facts"]
    assert not kept["finished"]


def test_choices_of_other_runs_are_not_taken(tmp_path: Path) -> None:
    (tmp_path / "gpu.choices.json").write_text("of other kernels")
    one = session(tmp_path / "gpu.json", Clock())
    assert networks.new_tuning(one).table.entries == {}


def ends_its_process(job: Job) -> None:
    os._exit(1)


def test_a_compiler_that_ends_its_process_ends_nothing_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    monkeypatch.setattr(compiled, "_compile", ends_its_process)
    compile_all(Job("rows", Case(), "bfloat16", text) for text in ("a", "b"))


def test_the_most_important_network_is_first(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    one = session(tmp_path / "gpu.json", Clock())
    one.extent = Extent()
    cases = networks.cases(one)
    assert cases[0] == networks.Case("transpose", level=4, side=512, batch=8)
    assert len(set(cases)) == len(cases) == 3 * 4 * 4 * 2


@pytest.mark.parametrize("up", ["none", "nearest", "phases"])
def test_a_launch_is_compiled_by_a_case_of_its_kind(up: Any) -> None:
    case = Case(up, (6, 8), skips=(3, 4), low=5, channels=6, outputs=("pooled",))
    again = case_of(case.call())
    assert again.call().weight.shape == case.call().weight.shape
    assert again.call().up == up
    assert again.outputs == case.outputs
    job = Job("rows", again, "bfloat16", str(KERNELS["rows"](case.call())[0]))
    compile_all([job])  # one is left to whoever launches it


def test_options_are_checked(capsys: pytest.CaptureFixture[str]) -> None:
    for wrong in (["--minutes", "0"], ["--minutes", "nan"]):
        with pytest.raises(SystemExit):
            gpu.main(wrong)
        assert "--minutes" in capsys.readouterr().err
