"""`nestgen fuse`: the report, the export, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import onnxruntime
import pytest
import torch
from click.testing import CliRunner

from nestgen.arch.spec import NestSpec
from nestgen.checkpoint import load, save
from nestgen.cli import main
from nestgen.codegen.load import build
from nestgen.fusion.choice import Choice

KERNELS = ["model.pt", "--target", "kernels"]
LINEAR = ["--module", "torch.nn:Linear", "--argument", "in_features=4"]
LINEAR += ["--argument", "out_features=2", "--example", "4"]
BY_SIZE = """
from torch import nn


class BySize(nn.Conv2d):
    def __init__(self):
        super().__init__(1, 2, 3)

    def forward(self, x):
        y = super().forward(x)
        return y.relu() if x.shape[-1] > 70 else y.tanh()
"""
TORCH = [Choice(), Choice("split"), Choice("composed")]


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    save(build(NestSpec(depth=2, widths=2)), "model.pt")
    return tmp_path / "model.pt"


def run(*words: str) -> str:
    found = CliRunner().invoke(main, list(words))
    assert found.exit_code == 0, found.output
    return found.stdout


def test_tells_what_was_done_to_each_convolution(model: Path) -> None:
    text = run("fuse", "model.pt")
    for line in ("x0_1.conv1", "norm folded, up-sampling composed", "in x0_1.conv1"):
        assert line in text
    assert "against float64, on" in text
    report = json.loads(run("fuse", "model.pt", "--json"))
    rows = {row["name"]: row["done"] for row in report["rows"]}
    assert rows["x0_0.conv1"] == ["norm folded"]
    assert report["way"] == "torch.fx"
    assert 0 < report["error"] <= 2


def test_tunes_and_then_takes_what_was_measured(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of torch's own forms, in the user's own table."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(model.parent / "cache"))
    words = ["fuse", "model.pt", "--target", "kernels", "--size", "8"]
    assert "not measured on this device" in run(*words)
    monkeypatch.setattr("nestgen.fusion.tune.candidates", lambda *given: TORCH)
    run(*words, "--tune")
    assert "not measured on this device" not in run(*words)
    assert "not measured on this device" in run(*words, "--batch-size", "64")


def test_exports_for_any_size_with_the_levels_as_names(model: Path) -> None:
    assert "wrote model.onnx" in run("fuse", "model.pt", "-o", "model.onnx")
    session = onnxruntime.InferenceSession("model.onnx")
    assert [output.name for output in session.get_outputs()] == ["L1", "L2"]
    network = load(model).eval()
    for shape in ((1, 3, 8, 8), (3, 3, 13, 10)):
        x = torch.randn(shape)
        found = session.run(None, {"x": x.numpy()})
        for ours, theirs in zip(found, network(x).values(), strict=True):
            torch.testing.assert_close(
                torch.from_numpy(ours), theirs, rtol=1e-4, atol=1e-4
            )


def test_tells_that_an_export_is_for_one_size_alone(model: Path) -> None:
    Path("by.py").write_text(BY_SIZE, encoding="utf-8")
    given = ["--module", "by.py:BySize", "--example", "1,1,8,9"]
    told = run("fuse", *given, "-o", "by.onnx")
    assert told.endswith("wrote by.onnx, where axis 2 is 8 and axis 3 is 9\n")


def test_fuses_a_network_that_nestgen_did_not_write(model: Path) -> None:
    words = ["--argument", "in_channels=3", "--argument", "out_channels=2"]
    words += ["--argument", "kernel_size=3", "--example", "1,3,8,8"]
    for given in (["--module", "torch.nn:Conv2d", *words], LINEAR):
        assert "followed by torch." in run("fuse", *given)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ([], "MODEL, or --module with --example"),
        (["model.pt", "--target", "tpu"], "target: 'tpu' is not allowed, one of eager"),
        (["model.pt", "-o", "model.pt"], "-o: 'model.pt' is not allowed, a name in"),
        (["none.pt"], "none.pt"),
        (
            [*KERNELS, "--size", "8x8x8"],
            "--size: 8x8x8 is not allowed, 2 sides, or",
        ),
        (["model.pt", "--size", "8"], "--size: says nothing without --target kernels"),
        (
            ["model.pt", "--batch-size", "1", "--target", "compile"],
            "--batch-size: says nothing without --target kernels",
        ),
        (
            [*KERNELS, "--size", "4096", "--batch-size", "100000000"],
            "does not run on an input [100000000, 3, 4096, 4096] (RuntimeError",
        ),
        (["model.pt", "--tune"], "tune: target 'eager' is not allowed, kernels alone"),
        (["model.pt", "--device", "tpu"], "--device: 'tpu' is not there"),
        (
            ["model.pt", "--target", "onnxruntime", "--dtype", "bfloat16"],
            "--dtype: bfloat16 is not allowed with onnxruntime",
        ),
        ([*LINEAR, "--device", "tpu"], "--device: 'tpu' is not there"),
        (["model.pt", "--example", "1,3,8,8"], "--example: says nothing without"),
    ],
)
def test_refuses_in_a_line_and_writes_nothing(
    words: list[str], line: str, model: Path
) -> None:
    before = model.read_bytes()
    found = CliRunner().invoke(main, ["fuse", *words])
    assert found.exit_code == 2
    assert line in found.stderr
    assert len(found.stderr.strip().splitlines()) == 1
    assert [path.name for path in model.parent.iterdir()] == ["model.pt"]
    assert model.read_bytes() == before
