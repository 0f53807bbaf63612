"""What is shipped compiles for GPUs that are not here, without spilling."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from nestgen.kernels import ahead_of_time
from nestgen.kernels.ahead_of_time import (
    TARGETS,
    Compiled,
    Job,
    shipped_jobs,
)
from nestgen.kernels.call import Up
from nestgen.kernels.configurations import KERNELS
from nestgen.kernels.normed_configurations import KERNELS as NORMED

pytest.importorskip("triton")

FEW = """
import json
from dataclasses import asdict
from itertools import islice
from nestgen.kernels.ahead_of_time import compile_job, shipped_jobs
for kernel, target, channels in [
    ("gather", "gfx942", 32), ("rows", "sm_80", 16), ("rows", "sm_90", 32),
    ("phase", "sm_90", 16), ("normed_gather", "sm_90", 32),
    ("normed_dgrad", "gfx942", 32), ("normed_wgrad", "sm_80", 32),
]:
    job = next(iter(shipped_jobs([kernel], [target], ["bf16"], [channels])))
    made = compile_job(job)
    print(json.dumps({**asdict(made), "faults": made.faults(job)}))
"""
"""Run apart, since here Triton interprets."""

NO_SKIPS = """
from dataclasses import replace
from importlib import import_module
import torch
from nestgen.kernels.ahead_of_time import TARGETS, example_call, target_active
from nestgen.kernels.configurations import Configuration
from nestgen.kernels.images import new_outputs
for kernel, up in [("phase", "phases"), ("rows", "nearest"), ("gather", "phases")]:
    call = example_call(up, 16, torch.bfloat16)
    call = replace(call, skips=[], weight=call.weight[:, :0])
    launch = import_module(f"nestgen.kernels.{kernel}").launch
    with target_active(TARGETS["sm_80"]):
        launch(call, new_outputs(call), Configuration(4, 16, 16, 16)).compile()
    print(kernel)
"""
"""Run apart too: what is in a loop that never runs is compiled nevertheless."""


def run_apart(*code: str) -> list[str]:
    """The lines that a program prints where Triton compiles."""
    apart = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    apart["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    done = subprocess.run(
        [sys.executable, *code], env=apart, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_kernels_compile_without_skips() -> None:
    assert run_apart("-c", NO_SKIPS) == ["phase", "rows", "gather"]


def test_the_command_compiles_several_at_once() -> None:
    few = ["--kernel", "phase", "--target", "sm_80", "--format", "bf16", "fp16"]
    command = ["-m", "nestgen.kernels.ahead_of_time", *few, "--channels", "16"]
    *lines, end = run_apart(*command, "--workers", "2")
    assert end == f"{len(lines)} compiled, 0 with faults"
    formats = [line.split()[2] for line in lines]
    assert formats == sorted(formats)
    assert set(formats) == {"bf16", "fp16"}


def test_a_few_compile_without_spilling() -> None:
    made = [json.loads(line) for line in run_apart("-c", FEW)]
    assert len(made) == 7
    names = ["v_mfma", "HMMA.16816", "HGMMA.64x32", "HGMMA.64x16"]
    names += ["HGMMA.64x32", "v_mfma", "HMMA.16816"]
    for one, name in zip(made, names, strict=True):
        assert one["faults"] == []
        assert any(matrix.startswith(name) for matrix in one["matrix"]), one["matrix"]
        assert 16 < one["registers"] <= 255
        assert one["shared"] > 0
        # single numbers of 16 bits are loaded where a launch knows no alignment
        assert one["loads"]
        assert min(map(int, one["loads"])) >= 32


@pytest.mark.parametrize("target", TARGETS)
def test_every_target_has_what_fits(target: str) -> None:
    gpu = TARGETS[target].gpu
    for kernel in [*KERNELS, *NORMED]:
        jobs = list(shipped_jobs([kernel], [target], ["bf16"], [64]))
        assert jobs
        assert all(job.configuration.since <= gpu.arch for job in jobs)


@pytest.mark.parametrize("kernel", KERNELS)
def test_what_runs_on_wider_layers_is_compiled_too(kernel: str) -> None:
    """By programs that hold some of the channels, and no head."""
    up: Up = "phases" if kernel == "phase" else "nearest"
    jobs = [
        job
        for job in shipped_jobs([kernel], ["sm_90"], ["bf16"], [128])
        if job.up == up
    ]
    for channels in (128, 256):
        call = ahead_of_time.example_call(up, channels, torch.bfloat16)
        call = replace(call, outputs=["features"])
        shipped = KERNELS[kernel](call, TARGETS["sm_90"].gpu)
        assert [job.configuration for job in jobs] == shipped
    for job in jobs:
        assert ahead_of_time._example_launch(job).configuration == job.configuration


def pretend(monkeypatch: pytest.MonkeyPatch, compile_job: Any) -> None:
    """Let the command call another compiler."""
    monkeypatch.setattr(ahead_of_time, "why_no_compiler", lambda: None)
    monkeypatch.setattr(ahead_of_time, "compile_job", compile_job)


@pytest.mark.parametrize("spills", [0, 8])
def test_the_command_tells_faults(
    spills: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    def compile_job(job: Job) -> Compiled:
        last = job.configuration.stages == 1
        return Compiled(99, spills if last else 0, 1024, {"HMMA": 4}, {128: 2}, 0.5)

    pretend(monkeypatch, compile_job)
    file = tmp_path / "made.json"
    few = ["--kernel", "gather", "--target", "sm_80", "--channels", "16"]
    code = ahead_of_time.main([*few, "--workers", "1", "--json", str(file)])
    rows = json.loads(file.read_text(encoding="utf-8"))
    bad = [row for row in rows if row["faults"]]
    assert len(rows) > len(bad)
    assert (code, bool(bad)) == ((1, True) if spills else (0, False))
    printed = capsys.readouterr().out.splitlines()
    assert f"{len(rows)} compiled, {len(bad)} with faults" in printed
    assert all(line.endswith(" 8 spills") for line in printed[len(rows) + 1 :])
    assert len(printed) == len(rows) + 1 + len(bad)


def test_what_a_compiler_raises_is_a_fault(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def compile_job(job: Job) -> Compiled:
        raise RuntimeError("no such register\nand more")

    pretend(monkeypatch, compile_job)
    few = ["--kernel", "phase", "--channels", "16", "--workers", "1"]
    assert ahead_of_time.main(few) == 1
    assert "RuntimeError: no such register\n" in capsys.readouterr().out


def test_somebody_has_to_compile(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pretend(monkeypatch, None)
    with pytest.raises(SystemExit, match="2"):
        ahead_of_time.main(["--kernel", "phase", "--workers", "0"])
    assert "--workers: 0 is not allowed, 1 or more" in capsys.readouterr().err


def test_nothing_is_compiled_by_an_interpreter(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit, match="2"):
        ahead_of_time.main(["--kernel", "phase"])
    assert "TRITON_INTERPRET" in capsys.readouterr().err
