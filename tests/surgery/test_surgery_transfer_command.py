"""`nestgen transfer`: the file it writes, what it prints, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result

from nestgen.arch.spec import NestSpec
from nestgen.checkpoint import load, save
from nestgen.cli import main
from nestgen.codegen.load import build, spec_of


@pytest.fixture
def unet(tmp_path: Path) -> Path:
    spec = NestSpec(
        family="unet", depth=2, widths=4, in_channels=1, title="Mine", name="Mine"
    )
    save(build(spec), tmp_path / "unet.pt")
    return tmp_path / "unet.pt"


def run(unet: Path, *words: str, output: str = "model.pt") -> Result:
    place = str(unet.with_name(output))
    return CliRunner().invoke(main, ["transfer", str(unet), "-o", place, *words])


def test_it_is_the_unetpp_of_the_unet(unet: Path) -> None:
    result = run(unet)
    assert result.exit_code == 0, result.output
    model, x = load(unet.with_name("model.pt")), torch.randn(1, 1, 8, 8)
    assert spec_of(model) == NestSpec(depth=2, widths=4, in_channels=1)
    torch.testing.assert_close(model(x)["L2"], load(unet)(x))
    lines = [" ".join(line.split()) for line in result.output.splitlines()]
    assert "x0_2 reconciled zeros for x0_1" in lines
    assert lines[-2:] == [
        f"as in {unet}, up to rounding: L2",
        f"wrote {unet.with_name('model.pt')}",
    ]


def test_options_say_otherwise(unet: Path) -> None:
    printed = json.loads(run(unet, "--depth", "3", "--heads", "2,3", "--json").output)
    assert printed["levels"] == [2]
    spec = spec_of(load(unet.with_name("model.pt")))
    assert (spec.widths, spec.heads) == ((4, 8, 16, 32), (2, 3))
    states = {part["name"]: part["state"] for part in printed["parts"]}
    assert (states["x2_0"], states["x3_0"]) == ("copied", "left")


def test_the_same_seed_gives_the_same_bytes(unet: Path) -> None:
    for output in ("a.pt", "b.pt"):
        run(unet, output=output)
    run(unet, "--seed", "1", output="c.pt")
    a, b, c = (unet.with_name(name).read_bytes() for name in ("a.pt", "b.pt", "c.pt"))
    assert a == b != c


def test_back_to_the_unet_says_that_no_level_is_kept(unet: Path) -> None:
    run(unet)
    nested = unet.with_name("model.pt")
    result = run(nested, "--family", "unet", output="back.pt")
    assert f"as in {nested}, up to rounding: no level" in result.output
    state = load(unet).state_dict()
    back = load(unet.with_name("back.pt")).state_dict()
    assert all(torch.equal(back[name], state[name]) for name in state)


@pytest.mark.parametrize(
    ("words", "output", "line"),
    [
        (["--depth", "0"], "model.pt", "depth: 0 is not allowed"),
        ([], "unet.pt", "unet.pt: is given for two files"),
    ],
)
def test_an_error_is_one_line_and_nothing_is_written(
    words: list[str], output: str, line: str, unet: Path
) -> None:
    before = unet.read_bytes()
    result = run(unet, *words, output=output)
    assert result.exit_code == 2
    assert line in result.stderr
    assert result.stderr.count("\n") == 1
    assert [file.name for file in unet.parent.iterdir()] == ["unet.pt"]
    assert unet.read_bytes() == before


def test_an_encoder_is_inherited_with_its_widths(tmp_path: Path) -> None:
    fields = {"depth": 2, "widths": 4, "encoder": "resnet18"}
    save(build(NestSpec(family="unet", **fields)), tmp_path / "unet.pt")
    result = run(tmp_path / "unet.pt")
    assert result.exit_code == 0, result.output
    assert "up to rounding: L2" in result.output
    assert spec_of(load(tmp_path / "model.pt")) == NestSpec(**fields)
