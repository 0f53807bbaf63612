"""`nestgen draw` and `nestgen inspect` of somebody else's network."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result

from nestgen import draw
from nestgen.arch.spec import NestSpec
from nestgen.arch.specfile import from_toml
from nestgen.cli import main
from nestgen.lifting.lift import lift
from nestgen.statefile import read_state_dict

STYLE = Path(__file__).parents[1] / "foreign" / "nested_unet_style.py"
NESTED = (
    f"--module {STYLE}:SmallNestedUNet --argument num_classes=2 "
    "--argument deep_supervision=True --example 1,3,32,32"
)
CNN = (
    "--module torch.nn:Conv2d --argument in_channels=3 --argument out_channels=4 "
    "--argument kernel_size=3 --example 1,3,8,8"
)
ADDED = (
    "--module monai.networks.nets:SegResNet --argument spatial_dims=2 "
    "--argument in_channels=1 --argument init_filters=8 --example 1,1,32,32"
)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def call(line: str) -> Result:
    return CliRunner().invoke(main, line.split())


def test_the_drawing_is_that_of_the_graph(folder: Path) -> None:
    result = call(f"draw {NESTED} --level 2 --channels -o theirs.gv")
    assert result.output == "wrote theirs.gv\n"
    spec = NestSpec(depth=4, widths=2, classes=2, concat="up-last")
    title = "SmallNestedUNet: UNet++ of depth 4"
    draw(spec, folder / "own.gv", level=2, channels=True, title=title)
    assert (folder / "theirs.gv").read_bytes() == (folder / "own.gv").read_bytes()


def test_its_name_is_the_files(folder: Path) -> None:
    assert call(f"draw {NESTED}").output == "wrote smallnestedunet.svg\n"
    refused = call(f"draw {NESTED}")
    assert refused.exit_code == 2
    assert "smallnestedunet.svg" in refused.output


def test_what_is_none_is_drawn_with_a_line(folder: Path) -> None:
    result = call(f"draw {CNN} -o cnn.svg")
    assert result.stdout == "wrote cnn.svg\n"
    assert result.stderr == (
        "Conv2d: no nested U-Net: nothing that was up-sampled meets what it came of\n"
    )
    assert call(f"draw {CNN} --alt").stdout.startswith("Conv2d: 1 block")


def test_the_report_is_what_was_found() -> None:
    result = call(f"inspect {NESTED} --json")
    assert result.exit_code == 0, result.output
    told = json.loads(result.output)
    assert told["outputs"] == {"0": "L1", "1": "L2", "2": "L3", "3": "L4"}
    assert told["difference"] == 0.0
    assert NestSpec(**told["spec"]).label == told["label"] == "UNet++ of depth 4"
    parts = {part["part"]: part for part in told["parts"]}
    assert parts["x0_1"]["modules"] == ["conv0_1"]
    assert parts["x0_1"]["shape"] == [1, 2, 32, 32]
    # twice a convolution with a bias and a batch norm
    assert parts["x0_1"]["parameters"] == 6 * 2 * 9 + 2 + 4 + 2 * 2 * 9 + 2 + 4


def test_the_spec_that_is_printed_is_one() -> None:
    result = call(f"inspect {NESTED}")
    before, _, text = result.output.partition("with the same weights\n")
    assert "bit for bit" in before
    assert "output 3: L4" in before
    assert from_toml(text).concat == "up-last"


def test_why_there_is_no_spec_is_told() -> None:
    result = call(f"inspect {ADDED}")
    assert result.exit_code == 0, result.output
    assert result.output.endswith(
        "no spec: its nodes add their inputs, nestgen's concatenate them\n"
    )


def test_of_another_network_its_blocks_are_told() -> None:
    result = call(f"inspect {CNN}")
    assert " b0 " in result.output
    assert "output 0: no level" in result.output


def test_what_is_kept_may_be_a_level(folder: Path) -> None:
    for keep in ("L2", "1"):
        assert call(f"prune {NESTED} --keep {keep} -o {keep}.pt").exit_code == 0
    one, two = (read_state_dict(folder / f"{name}.pt") for name in ("L2", "1"))
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert not any(name.startswith(("conv3", "final3")) for name in one)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (f"draw {NESTED} --depth 2", "--depth: says nothing beside --module"),
        (f"draw {NESTED} --compare unet", "--compare: says nothing beside --module"),
        (f"draw {NESTED} --size 64", "--size: says nothing beside --module"),
        (f"inspect {NESTED} --size 64", "--size: says nothing beside --module"),
        (f"inspect small.toml {CNN}", "file: says nothing beside --module"),
        (f"draw {NESTED} --level 7", "L7: this UNet++ of depth 4 has the levels"),
        (f"prune {NESTED} --keep L5", "keep: L5 is no output's level or name in"),
        (f"prune {CNN} --keep L1", "Conv2d: no nested U-Net"),
        (f"draw --spec small.toml {CNN}", "--spec: says nothing beside --module"),
        (f"draw {CNN} --level 1", "Conv2d: is no nested U-Net"),
        (f"draw {ADDED} --heat macs", "--heat: is a formula of nestgen's blocks; no"),
        ("draw --example 1,3,8,8", "--example: says nothing without --module"),
        ("inspect --module torch.nn:Conv2d", "--example: --module takes the shape"),
        (
            f"inspect --module {STYLE}:SmallUNet --argument num_classes=1 "
            "--example 1,2,32,32",
            "the module does not run on the example",
        ),
    ],
)
def test_mistakes_are_a_line_and_nothing_is_written(
    line: str, expected: str, folder: Path
) -> None:
    result = call(line)
    assert result.exit_code == 2, result.output
    assert expected in result.stderr.splitlines()[-1]
    assert not [*folder.iterdir()]


def test_heat_is_shown_where_formulas_are_proven(folder: Path) -> None:
    assert call(f"draw {NESTED} --heat parameters -o heat.svg").exit_code == 0
    torch.manual_seed(0)
    assert lift(torch.nn.Conv2d(1, 1, 1), torch.ones(1, 1, 4, 4)).spec is None
