"""The report says what the formulas say, of whatever describes a network."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch

import nestgen
from nestgen.arch.cost import Cost, default_size, head_cost, level_costs
from nestgen.arch.field import head_fields, node_fields
from nestgen.arch.graph import NestGraph
from nestgen.arch.memory import memory
from nestgen.arch.spec import NestSpec
from nestgen.arch.specfile import to_json, to_toml
from nestgen.checkpoint import save
from nestgen.codegen.load import build
from nestgen.codegen.source import source
from nestgen.errors import CheckpointError, SpecError
from nestgen.inspection.report import inspect

SPEC = NestSpec(depth=2, widths=4, heads=[1, 2], title="Mine")


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """A file of each kind, all of one network."""
    (tmp_path / "net.toml").write_text(to_toml(SPEC), encoding="utf-8")
    (tmp_path / "net.json").write_text(to_json(SPEC), encoding="utf-8")
    (tmp_path / "net.py").write_text(source(SPEC), encoding="utf-8")
    save(build(SPEC), tmp_path / "net.pt")
    save(build(SPEC), tmp_path / "net.safetensors")
    save(build(SPEC), tmp_path / "more.pt", extra={"note": "of one's own"})
    save(build(SPEC), tmp_path / "last.pt", extra={"settings": {"epochs": 1}})
    return {file.name: file for file in tmp_path.iterdir()}


@pytest.mark.parametrize("thing", [SPEC, NestGraph(SPEC), build(SPEC)], ids=type)
def test_of_a_thing_in_memory(thing: Any) -> None:
    report = inspect(thing)
    assert report.spec == SPEC
    assert report.file is None
    assert report == nestgen.inspect(SPEC)


@pytest.mark.parametrize(
    ("name", "facts"),
    [
        ("net.toml", {"kind": "spec"}),
        ("net.json", {"kind": "spec"}),
        ("net.py", {"kind": "source", "as_written": True}),
        ("net.pt", {"kind": "checkpoint", "dtype": "float32", "training_state": False}),
        (
            "net.safetensors",
            {"kind": "checkpoint", "dtype": "float32", "training_state": False},
        ),
        (
            "more.pt",
            {"kind": "checkpoint", "dtype": "float32", "training_state": False},
        ),
        ("last.pt", {"kind": "checkpoint", "dtype": "float32", "training_state": True}),
    ],
)
def test_of_a_file(name: str, facts: dict[str, Any], files: dict[str, Path]) -> None:
    report = inspect(files[name])
    assert report.to_plain() == {
        **inspect(SPEC).to_plain(),
        "file": {
            "path": str(files[name]),
            "bytes": os.path.getsize(files[name]),
            **facts,
        },
    }


def test_a_change_by_hand_is_told(files: dict[str, Path]) -> None:
    files["net.py"].write_text(source(SPEC) + "x = 1\n", encoding="utf-8")
    file = inspect(files["net.py"]).file
    assert file is not None
    assert not file.as_written
    assert file.first_change == source(SPEC).count("\n") + 1


@pytest.mark.parametrize(
    "fields", [{}, {"family": "unet3+", "up": "nearest"}, {"dims": 1}]
)
def test_rows_are_the_formulas(fields: dict[str, Any]) -> None:
    graph = NestGraph(SPEC.replace(**fields))
    size = default_size(graph)
    report = inspect(graph.spec, batch_size=3)
    assert report.size == size
    assert report.memory == memory(graph, size, 3)
    assert {row.name: row.field for row in report.nodes} == {
        node.name: field for node, field in node_fields(graph).items()
    }
    heads = sum((head_cost(graph, k, size) for k in graph.levels), start=Cost())
    whole = sum((row.cost for row in report.nodes), start=heads)
    assert report.memory is not None
    assert whole.weight_bytes == report.memory.weights
    for row in report.levels:
        assert row.cost == level_costs(graph, size)[row.level]
        assert row.field == head_fields(graph)[row.level]
        assert row.memory == memory(graph.level(row.level), size, 3)
        assert row.nodes == len(graph.level(row.level).nodes)


def test_shapes_are_those_of_the_nodes() -> None:
    model, shapes = build(SPEC), dict[str, tuple[int, ...]]()
    for name, module in model.named_children():
        if name.startswith("x"):
            module.register_forward_hook(
                lambda _, __, y, name=name: shapes.update({name: tuple(y.shape[1:])})
            )
    model(torch.zeros(1, 3, 8, 16))
    assert {row.name: row.shape for row in inspect(SPEC, (8, 16)).nodes} == shapes


def test_of_a_backbone_no_formula_is_asked() -> None:
    report = inspect(NestSpec(depth=2, encoder="resnet18"))
    assert {row.field for row in report.nodes} == {None}
    assert {row.field for row in report.levels} == {None}
    assert {report.memory, *(row.memory for row in report.levels)} == {None}
    assert all(row.cost.parameters for row in report.nodes)


def test_plain_is_json() -> None:
    plain = inspect(SPEC, 16).to_plain()
    assert json.loads(json.dumps(plain)) == plain
    assert plain["size"] == [16, 16]


@pytest.mark.parametrize(
    ("thing", "message"),
    [
        (torch.nn.ReLU(), "ReLU: has no spec"),
        (3, "int: has no spec"),
        ("net.txt", "net.txt: is not known, a spec ends in .toml or .json"),
        ("no.toml", "no.toml: cannot be read"),
        ("no.py", "no.py: cannot be read"),
    ],
)
def test_what_describes_no_network_is_refused(thing: Any, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        inspect(thing)


def test_a_checkpoint_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "net.pt").write_bytes(b"none")
    with pytest.raises(CheckpointError, match=r"net\.pt: "):
        inspect(tmp_path / "net.pt")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"size": 10}, "size: 10x10 is not allowed, multiples of 4"),
        ({"size": (8, 8, 8)}, "size: 8x8x8 is not allowed, 2 sides or one for all"),
        ({"size": 0}, "size: 0x0 is not allowed"),
        ({"batch_size": 0}, "batch_size: 0 is not allowed, 1 or more"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(more: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=f"^{message}"):
        inspect(SPEC, **more)
