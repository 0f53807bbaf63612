"""`nestgen build`: what it writes, what it prints, and where its fields come from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner, Result

from nestgen import checkpoint
from nestgen.arch.cost import default_size, level_costs
from nestgen.arch.graph import NestGraph
from nestgen.arch.spec import NestSpec
from nestgen.arch.specfile import to_json, to_toml
from nestgen.cli import main
from nestgen.codegen.load import build
from nestgen.codegen.source import source


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def call(line: str, *more: str) -> Result:
    return CliRunner().invoke(main, [*line.split(), *more])


def built(line: str, *more: str) -> str:
    """The source that a call writes to net.py."""
    result = call(f"build --force -o net.py {line}", *more)
    assert result.exit_code == 0, result.output
    return Path("net.py").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("line", "fields"),
    [
        ("", {}),
        ("--family unet+", {"family": "unet+"}),
        ("--dense", {}),
        ("--dense --family unet++", {}),
        ("--depth 5", {"depth": 5}),
        ("--widths 8", {"widths": 8}),
        ("--depth 1 --widths 8,12", {"depth": 1, "widths": [8, 12]}),
        ("--in-channels 1", {"in_channels": 1}),
        ("--classes 7", {"classes": 7}),
        ("--up nearest", {"up": "nearest"}),
        ("--concat up-last", {"concat": "up-last"}),
        ("--norm group --groups 4", {"block": {"norm": "group", "groups": 4}}),
        ("--activation silu", {"block": {"activation": "silu"}}),
        ("--dropout 0.1", {"block": {"dropout": 0.1}}),
        ("--bias", {"block": {"bias": True}}),
        ("--no-bias", {"block": {"bias": False}}),
        ("--heads 2,4", {"heads": [2, 4]}),
        ("--heads 4 --trim", {"heads": [4], "trim": True}),
        ("--name Mine", {"name": "Mine"}),
        ("--title Mine", {"title": "Mine"}),
    ],
)
def test_each_option_is_a_field(line: str, fields: dict[str, Any]) -> None:
    assert built(line) == source(NestSpec(**fields))


def test_options_cover_the_spec() -> None:
    help_text = call("build --help").stdout
    fields = {*NestSpec.model_fields, *NestSpec().block.model_dump()} - {"kind"}
    for field in fields:
        assert f"--{field.replace('_', '-')}" in help_text


def test_options_stand_over_the_file_over_the_preset(folder: Path) -> None:
    file = folder / "net.toml"
    file.write_text("depth = 2\n[block]\ndropout = 0.1\nnorm = 'instance'\n")
    line = f"--preset zhou2018 --spec {file} --norm batch --depth 3"
    block = {"norm": "batch", "bias": True, "dropout": 0.1}
    assert built(line) == source(NestSpec(depth=3, widths=32, block=block))


@pytest.mark.parametrize(("suffix", "write"), [("toml", to_toml), ("json", to_json)])
def test_a_spec_file_says_it_all(suffix: str, write: Any, folder: Path) -> None:
    spec = NestSpec(family="unet-e", depth=3, heads=[2, 3], title="Größe 🧬")
    (folder / f"spec.{suffix}").write_text(write(spec), encoding="utf-8")
    assert built(f"--spec spec.{suffix}") == source(spec)
    assert built("", "--title", "Zwei Wörter") == source(NestSpec(title="Zwei Wörter"))


def test_the_preset_is_the_papers() -> None:
    expected = NestSpec.preset("zhou2018", depth=2, in_channels=1)
    assert built("--preset zhou2018 --depth 2 --in-channels 1") == source(expected)


def test_the_file_is_called_after_the_network(folder: Path) -> None:
    result = call("build --depth 5 --dense")
    assert result.stdout.splitlines()[-1] == "wrote unetpp_d5.py"
    assert {file.name for file in folder.iterdir()} == {"unetpp_d5.py"}


def test_the_table() -> None:
    lines = call("build --preset zhou2018 --in-channels 1 --size 96").stdout.split("\n")
    assert lines[0].strip() == "UNet++ of depth 4"
    rows = [line.split() for line in lines if line.strip().startswith("L")]
    assert [" ".join(row) for row in rows] == [
        "L1 3 100,961 489 M 404 kB",
        "L2 6 511,105 1.25 G 2.04 MB",
        "L3 10 2,204,961 2.45 G 8.82 MB",
        "L4 15 9,041,601 4.18 G 36.2 MB",
    ]
    assert any("MACs at 96x96" in line for line in lines)


@pytest.mark.parametrize("size", [None, "64x128"])
def test_json(size: str | None) -> None:
    option = f"--size {size}" if size else ""
    result = call(f"build --json --depth 3 --heads 1,3 {option}")
    shown = json.loads(result.stdout)
    graph = NestGraph(NestSpec(depth=3, heads=[1, 3]))
    pair = (64, 128) if size else default_size(graph)
    costs = level_costs(graph, pair)
    assert shown == {
        "source": "unetpp_d3.py",
        "levels": [
            {
                "level": f"L{level}",
                "nodes": len(graph.level(level).nodes),
                "parameters": cost.parameters,
                "macs": cost.macs,
                "weight_bytes": cost.weight_bytes,
                "size": list(pair),
            }
            for level, cost in costs.items()
        ],
    }
    assert Path("unetpp_d3.py").read_text() == source(graph.spec)


def test_schema_writes_nothing(folder: Path) -> None:
    assert json.loads(call("build --schema").stdout) == NestSpec.model_json_schema()
    assert list(folder.iterdir()) == []


def test_a_file_is_overwritten_by_force_alone(folder: Path) -> None:
    (folder / "net.py").write_text("mine")
    (folder / "net.pt").write_text("mine too")
    line = "build --depth 1 -o net.py --weights net.pt"
    result = call(line)
    assert result.exit_code == 2
    text = "nestgen: net.py, net.pt: exists already; --force overwrites\n"
    assert result.stderr == text
    kept = [(folder / name).read_text() for name in ("net.py", "net.pt")]
    assert kept == ["mine", "mine too"]
    assert call(f"{line} --force").exit_code == 0
    assert (folder / "net.py").read_text() == source(NestSpec(depth=1))


@pytest.mark.parametrize("suffix", ["pt", "safetensors"])
def test_weights_are_a_checkpoint(suffix: str, folder: Path) -> None:
    line = "build --depth 2 --widths 4 --force --seed"
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        result = call(f"{line} {seed} --weights {name}.{suffix}")
        assert result.stdout.splitlines()[-1] == f"wrote unetpp_d2.py, {name}.{suffix}"
    a, b, c = ((folder / f"{name}.{suffix}").read_bytes() for name in "abc")
    assert a == b != c
    model = checkpoint.load(folder / f"a.{suffix}")
    assert model.spec == NestSpec(depth=2, widths=4)
    torch.manual_seed(5)
    expected = build(NestSpec(depth=2, widths=4)).state_dict()
    state = model.state_dict()
    assert state.keys() == expected.keys()
    assert all(torch.equal(state[name], expected[name]) for name in state)


def test_output_in_a_place_that_cannot_be_written(folder: Path) -> None:
    (folder / "file").write_text("x")
    result = call("build --depth 1 -o file/net.py")
    assert result.exit_code == 2
    assert result.stderr.startswith("nestgen: file/net.py: cannot be written (")
    assert {path.name for path in folder.iterdir()} == {"file"}
