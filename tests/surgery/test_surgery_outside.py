"""Someone else's class, from a module or a file: made, or refused in one line."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from nestgen.errors import CheckpointError, ModuleError, NestgenError
from nestgen.surgery.outside import load_class, make_module

NET = """
from __future__ import annotations
from dataclasses import dataclass
from torch import nn

@dataclass
class Options:
    width: int = 2

class Net(nn.Module):
    def __init__(self, width=2, raises=None):
        super().__init__()
        if raises:
            raise ValueError(raises)
        self.layer = nn.Linear(Options(width).width, 1)
        self.drop = nn.Dropout()

def make(width):
    return Net(width)

def number():
    return 3
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "their_net.py").write_text(NET)
    return tmp_path


@pytest.mark.parametrize(
    "where",
    ["their_net.py:Net", "their_net:Net", "./their_net.py:make", "{}/their_net.py:Net"],
)
def test_files_and_modules_give_one_network(where: str, folder: Path) -> None:
    made = make_module(where.format(folder), {"width": 5})
    assert not any(module.training for module in made.modules())
    again = make_module("their_net.py:Net", {"width": 5})
    state = again.state_dict()
    assert state["layer.weight"].shape == (1, 5)
    assert all(torch.equal(value, state[n]) for n, value in made.state_dict().items())


def test_random_numbers_and_the_path_stay_as_they_were(folder: Path) -> None:
    state, path = torch.get_rng_state(), list(sys.path)
    make_module("their_net:Net")
    make_module("their_net.py:Net")
    assert torch.equal(torch.get_rng_state(), state)
    assert sys.path == path


def test_a_file_imports_what_lies_beside_it(folder: Path) -> None:
    (folder / "inner").mkdir()
    (folder / "inner" / "their_parts.py").write_text(NET)
    (folder / "inner" / "whole.py").write_text("from their_parts import Net\n")
    assert isinstance(make_module("inner/whole.py:Net"), nn.Module)
    sys.modules.pop("their_parts")


def test_a_file_takes_no_modules_name(folder: Path) -> None:
    (folder / "json.py").write_text(NET)
    before = sys.modules.get("json")
    assert load_class("json.py:Net").__name__ == "Net"
    assert sys.modules.get("json") is before


def test_weights_are_taken_strictly(folder: Path) -> None:
    other = nn.ModuleDict({"layer": nn.Linear(2, 1)})
    torch.save({"state_dict": other.state_dict()}, "w.pth")
    made = make_module("their_net.py:Net", weights="w.pth")
    assert torch.equal(made.layer.weight, other["layer"].weight)  # type: ignore
    for name, wrong in {
        "wide.pth": nn.ModuleDict({"layer": nn.Linear(3, 1)}),
        "more.pth": nn.ModuleDict({"layer": nn.Linear(2, 1), "x": nn.Linear(1, 1)}),
        "other.pth": nn.Linear(2, 1),
    }.items():
        torch.save(wrong.state_dict(), name)
        with pytest.raises(ModuleError) as error:
            make_module("their_net.py:Net", weights=name)
        assert str(error.value).startswith(f"{name}: does not fit their_net.py:Net (")
        assert "\n" not in str(error.value)
    with pytest.raises(CheckpointError, match=r"no\.pth"):
        make_module("their_net.py:Net", weights="no.pth")


@pytest.mark.parametrize(
    ("where", "arguments", "said"),
    [
        ("no.py:Net", {}, "no.py:Net: cannot be made (FileNotFoundError"),
        ("no_such_package:Net", {}, "(ModuleNotFoundError: No module named"),
        ("their_net.py:No", {}, "has no attribute 'No'"),
        ("their_net:", {}, "their_net:: cannot be made"),
        (":Net", {}, ":Net: cannot be made"),
        ("Net", {}, "Net: cannot be made"),
        ("their_net.py:Net", {"depth": 3}, "unexpected keyword argument 'depth'"),
        ("their_net.py:Net", {"raises": "a\nb"}, "(ValueError: a b)"),
        ("their_net.py:number", {}, "their_net.py:number: gives int, no torch.nn.Mod"),
        ("torch.nn:Conv2d", {}, "missing 3 required positional arguments"),
        ("broken.py:Net", {}, "(SyntaxError"),
        ("script.py:Net", {}, "script.py:Net: cannot be made (SystemExit: 3)"),
        ("raising.py:Net", {}, "(KeyError: 'why')"),
    ],
)
def test_what_cannot_be_made_is_one_line(
    where: str, arguments: dict[str, object], said: str, folder: Path
) -> None:
    (folder / "broken.py").write_text("class Net(:\n")
    (folder / "script.py").write_text("import sys\nsys.exit(3)\n")
    (folder / "raising.py").write_text("raise KeyError('why')\n")
    with pytest.raises(NestgenError) as error:
        make_module(where, arguments)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_an_interrupt_goes_through(folder: Path) -> None:
    (folder / "stop.py").write_text("raise KeyboardInterrupt\n")
    with pytest.raises(KeyboardInterrupt):
        make_module("stop.py:Net")


def test_weights_keep_a_prefix_that_is_their_own(tmp_path: Path) -> None:
    """A network may have a part called `model`, and layers that are the same one."""
    (tmp_path / "own.py").write_text(
        "from torch import nn\n"
        "class Net(nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.model = nn.ModuleList([nn.Linear(64, 64)] * 5)\n",
        encoding="utf-8",
    )
    where, file = f"{tmp_path / 'own.py'}:Net", tmp_path / "own.pth"
    module = make_module(where)
    nn.init.ones_(module.get_parameter("model.0.weight"))
    torch.save(module.state_dict(), file)
    again = make_module(where, weights=file)
    assert again.get_parameter("model.0.weight").eq(1).all()
