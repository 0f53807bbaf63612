"""`nestgen prune --module`, as a user types it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from nestgen.cli import main
from nestgen.statefile import read_state_dict

THEIRS = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, width=4, kind="list"):
        super().__init__()
        self.kind = kind
        self.first = nn.Conv2d(3, width, 3, padding=1)
        self.deep = nn.Sequential(nn.Conv2d(width, width, 3, padding=1), nn.ReLU(True))
        self.heads = nn.ModuleList([nn.Conv2d(width, 2, 1) for _ in range(2)])

    def forward(self, x):
        x = self.first(x)
        outputs = [self.heads[0](x), self.heads[1](self.deep(x))]
        return outputs if self.kind == "list" else dict(zip("ab", outputs))
"""


@pytest.fixture
def theirs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with someone's network in it, and its trained weights."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "theirs.py").write_text(THEIRS, encoding="utf-8")
    module: dict[str, type[torch.nn.Module]] = {}
    exec(THEIRS, module)
    net = module["Net"](width=6)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.normal_(generator=torch.Generator().manual_seed(3))
    torch.save({"state_dict": net.state_dict()}, tmp_path / "weights.pth")
    return tmp_path


def run(*words: str) -> tuple[int, str]:
    result = CliRunner().invoke(main, ["prune", *words])
    return result.exit_code, result.output


NET = ["--module", "theirs.py:Net", "--argument", "width=6", "--weights", "weights.pth"]
NET += ["--example", "1,3,8,8"]


def test_state_dict_and_source_appear_beside_the_weights(theirs: Path) -> None:
    code, told = run(*NET, "--keep", "0")
    assert code == 0, told
    assert "bit for bit, on 6 inputs\nwrote weights-0.pth, weights_0.py" in told
    left, whole = read_state_dict("weights-0.pth"), read_state_dict("weights.pth")
    assert list(left) == [
        "first.weight",
        "first.bias",
        "heads.0.weight",
        "heads.0.bias",
    ]
    assert all(torch.equal(left[name], whole[name]) for name in left)
    shown = subprocess.run(
        [sys.executable, "-I", "weights_0.py", "weights-0.pth"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert shown == "182 parameters\n[1, 2, 8, 8]\n"


def test_outputs_by_key_and_by_path_as_json(theirs: Path) -> None:
    asked = ["--keep", "b", "--keep", "deep.0", "-o", "left.safetensors", "--json"]
    code, told = run(*NET, "--argument", "kind=dict", *asked)
    assert code == 0, told
    report = json.loads(told)
    assert report["checkpoint"] == "left.safetensors"
    assert report["way"] == "torch.fx"
    assert report["after"]["parameters"] == 168 + 330 + 14
    assert "heads.1.weight" in read_state_dict("left.safetensors")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([*NET], "--module goes with --keep, not MODEL, --level or"),
        ([*NET, "--keep", "0", "--level", "1"], "--module goes with --keep, not MODEL"),
        (["a.pt", *NET, "--keep", "0"], "--module goes with --keep, not MODEL"),
        (["--keep", "0"], "MODEL and --level, or --module and --keep"),
        (["a.pt", "--level", "1", "--keep", "0"], "MODEL and --level, or --module"),
        (["a.pt"], "MODEL and --level, or --module and --keep"),
        (
            [*NET, "--keep", "2"],
            "keep: '2' is not allowed; the outputs of Net are 0, 1",
        ),
        (
            [*NET, "--keep", "0", "-o", "x.onnx"],
            "-o: x.onnx is not allowed, a name that",
        ),
        ([*NET, "--keep", "0", "-o", "weights.pth"], "weights.pth"),
        ([*NET, "--argument", "kind=list", "--keep", "b"], "keep: 'b' is not allowed"),
    ],
)
def test_mistakes_are_one_line_and_write_nothing(
    theirs: Path, words: list[str], message: str
) -> None:
    before = {path: path.read_bytes() for path in theirs.iterdir() if path.is_file()}
    code, told = run(*words)
    assert code == 2
    assert told.startswith(f"nestgen: {message}")
    assert told.count("\n") == 1
    after = {path: path.read_bytes() for path in theirs.iterdir() if path.is_file()}
    assert before == after


def test_files_that_exist_stay_without_force(theirs: Path) -> None:
    (theirs / "weights_0.py").write_text("mine", encoding="utf-8")
    code, told = run(*NET, "--keep", "0")
    assert (code, "weights_0.py: exists" in told) == (2, True), told
    assert not (theirs / "weights-0.pth").exists()
    assert run(*NET, "--keep", "0", "--force")[0] == 0
