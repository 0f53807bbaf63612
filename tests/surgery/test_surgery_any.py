"""Networks that nestgen did not write: what is left of them gives the same bits."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import nestgen
from nestgen.errors import CutError, ModuleError
from nestgen.statefile import write_state_dict
from nestgen.surgery.cut_any import Cut, cut_any
from nestgen.surgery.kept import Kept

EXAMPLE = torch.ones(1, 2, 16, 24)


class InPlace(nn.Module):
    """Writes over what it has, by operators, methods and layers."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(2, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.act = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> list[Tensor]:
        x = self.a(x)
        first = x * 2
        self.act(x)
        first += x
        last = self.b(x)
        last.mul_(3).add_(first)
        first -= 1
        return [first, last]


class OverlapsInPlace(nn.Module):
    """What a later output does in place changes an earlier one."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(2, 4, 1)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        y = self.a(x)
        z = y.mul_(2)
        return {"y": y, "z": z + 1}


class Shared(nn.Module):
    """One layer used twice, buffers of both kinds, dropout, a constant."""

    scale: Tensor
    shift: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(2, 4, 1)
        self.twice = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4))
        self.again = self.twice
        self.unused = nn.Linear(2, 2)
        self.drop = nn.Dropout(0.5)
        self.register_buffer("scale", torch.full((1, 4, 1, 1), 1.5))
        self.register_buffer("shift", torch.tensor(0.25), persistent=False)

    def forward(self, x: Tensor) -> dict[str, Any]:
        y = self.drop(self.twice(self.first(x)))
        z = self.again(y) * self.scale + self.shift
        z = functional.dropout(z, 0.3, training=self.training)
        return {"out": z, "aux": (y, {"deep": y.mean((2, 3))})}


class Pads(nn.Module):
    """Pads what comes up by what the sizes are."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.MaxPool2d(2)
        self.up = nn.ConvTranspose2d(2, 2, 2, stride=2)
        self.last = nn.Conv2d(4, 1, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y = self.up(self.down(x))
        rows, columns = (a - b for a, b in zip(x.shape[2:], y.shape[2:], strict=True))
        if rows or columns:
            y = functional.pad(y, [0, columns, 0, rows])
        y = torch.cat([x, y], dim=1)
        return y, self.last(y)


class Looks(nn.Module):
    """Skips what torch.fx hands it, since that is no tensor: a silent mistake."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(2, 2, 1), nn.Conv2d(2, 2, 1)

    def forward(self, x: Tensor) -> list[Tensor]:
        y = self.a(x)
        if isinstance(x, Tensor):
            y = y + x
        return [y, self.b(y)]


class Numbered(nn.Module):
    """Lists and dicts of layers, of which a cut leaves gaps; names with dots apart."""

    def __init__(self) -> None:
        super().__init__()
        self.steps = nn.ModuleList([nn.Conv2d(2, 2, 1) for _ in range(4)])
        self.named = nn.ModuleDict({"x_0_1": nn.Conv2d(2, 2, 1), "1": nn.PReLU()})

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        odd = self.steps[3](self.steps[1](x))
        return odd, self.named["1"](self.named["x_0_1"](x)), self.steps[0](x)


class Functions(nn.Module):
    """What has no module: arithmetic, shapes, slices, functions."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        n, c, h, w = x.shape
        y = x.view(n, c // 2, 2, h, w).transpose(1, 2).reshape(n, c, h, w)
        y = functional.interpolate(y, size=(h * 2, w * 2), mode="nearest")
        y = functional.max_pool2d(y, 2) - y[:, :, :h, 1 : w + 1] / 2 + x.new_ones(1)
        return y, functional.gelu(y.float()).softmax(1) + torch.arange(w)


class Weighed(nn.Module):
    """Weights that are computed of others, in lists and by hooks."""

    def __init__(self) -> None:
        super().__init__()
        self.normed = nn.utils.parametrizations.weight_norm(nn.Conv2d(2, 3, 3))
        self.scales = nn.ParameterList([torch.full((3, 1, 1), 2.0 + n) for n in (0, 1)])
        self.bounded = nn.utils.parametrizations.spectral_norm(nn.Conv2d(3, 3, 1))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y = self.normed(x) * self.scales[0]
        return y, self.bounded(y) * self.scales[1]


class WritesInput(nn.Module):
    """Writes into what it is given, and gives it back."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.act = nn.Conv2d(2, 3, 1), nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> list[Tensor]:
        self.act(x)
        x += 1
        return [self.a(x), x]


class Asserts(nn.Module):
    """Asks something of each of its values, as some encoders do."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(2, 3, 1), nn.Conv2d(3, 3, 1)

    def forward(self, x: Tensor) -> list[Tensor]:
        y = self.a(x)
        torch._assert(y.shape[1] == 3, f"{y.ndim} axes, {y.shape[1]} channels")  # type: ignore[no-untyped-call]
        z = self.b(y)
        torch._assert(z.shape[1] == 3, f"{z.ndim} axes, {z.shape[1]} channels")  # type: ignore[no-untyped-call]
        return [y, z]


class Formula(nn.Module):
    """An equation, a device that is asked for late, keys that are no names."""

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        y = torch.einsum("bchw,bdhw->bcd", x, x)
        z = y.relu() + torch.arange(2, device=torch.device("cpu"))
        return {"mean/std": z, "a b": y}


MODULES: dict[str, tuple[Callable[[], nn.Module], list[str]]] = {
    "in place": (InPlace, ["0", "1"]),
    "in place across": (OverlapsInPlace, ["y", "z"]),
    "shared": (Shared, ["out", "aux.0", "aux.1.deep"]),
    "padding": (Pads, ["0", "1"]),
    "isinstance": (Looks, ["0", "1"]),
    "numbered": (Numbered, ["0", "1", "2"]),
    "functions": (Functions, ["0", "1"]),
    "weighed": (Weighed, ["0", "1"]),
    "writes input": (WritesInput, ["0", "1"]),
    "asserts": (Asserts, ["0", "1"]),
    "formula": (Formula, ["mean/std", "a b"]),
}
CASES = [(name, keep) for name, (_, names) in MODULES.items() for keep in names]


def made(name: str) -> nn.Module:
    torch.manual_seed(0)
    module = MODULES[name][0]()
    for norm in module.modules():
        if isinstance(norm, nn.BatchNorm2d) and norm.running_var is not None:
            nn.init.uniform_(norm.running_var, 0.5, 2)
    return module


def expected(module: nn.Module, keep: str, x: Tensor) -> Tensor:
    with torch.no_grad():
        found: tuple[Tensor, ...] = Kept(module.eval(), [keep], 1)(x.clone())
        return found[0].clone()


@pytest.mark.parametrize(("name", "keep"), CASES)
def test_a_cut_gives_the_bits_of_the_whole(name: str, keep: str) -> None:
    """On inputs that the cut was not compared on, one by one and together."""
    module = made(name)
    cut = cut_any(module, keep, EXAMPLE)
    chance = torch.Generator().manual_seed(9)
    for shape in [(1, 2, 16, 24), (3, 2, 32, 40), (2, 2, 18, 20)]:
        x = torch.randn(shape, generator=chance)
        with torch.no_grad():
            assert torch.equal(cut.module(x.clone()), expected(module, keep, x))
    assert torch.equal(EXAMPLE, torch.ones(1, 2, 16, 24)), "the user's own stays"


@pytest.mark.parametrize(("name", "keep"), CASES)
def test_a_cut_has_what_it_needs_by_its_own_name(name: str, keep: str) -> None:
    """Each parameter is the original's and reaches the output, none is left out."""
    module = made(name).eval()
    small = nestgen.prune(module, keep=keep, example=EXAMPLE)
    theirs = dict(module.named_parameters(remove_duplicate=False))
    (output,) = Kept(module, [keep], 1)(EXAMPLE.clone())
    parameters = list(dict(module.named_parameters()).values())
    reached = (
        torch.autograd.grad(output.sum(), parameters, allow_unused=True)
        if output.requires_grad
        else [None] * len(parameters)
    )
    needed = {id(p) for p, g in zip(parameters, reached, strict=True) if g is not None}
    kept = dict(small.named_parameters())
    assert {id(theirs[name]) for name in kept} == needed
    for name, parameter in kept.items():
        assert torch.equal(parameter, theirs[name])
        assert parameter.data_ptr() != theirs[name].data_ptr()


@pytest.mark.parametrize("name", MODULES)
def test_the_original_stays_as_it_is(name: str) -> None:
    module = made(name).train()
    before = {key: value.clone() for key, value in module.state_dict().items()}
    small = nestgen.prune(module, keep=MODULES[name][1][0], example=EXAMPLE)
    assert module.training
    assert not small.training
    after = module.state_dict()
    assert list(before) == list(after)
    assert all(torch.equal(before[key], after[key]) for key in before)


@pytest.mark.parametrize("name", ["shared", "padding", "numbered"])
def test_the_source_stands_alone(name: str, tmp_path: Path) -> None:
    """Loaded where neither nestgen nor the original can be imported."""
    module, keep = made(name), MODULES[name][1][0]
    cut = cut_any(module, keep, EXAMPLE)
    (tmp_path / "left.py").write_text(cut.text, encoding="utf-8")
    write_state_dict(tmp_path / "left.pt", cut.module.state_dict())
    x = torch.randn(2, 2, 16, 24, generator=torch.Generator().manual_seed(1))
    torch.save(x, tmp_path / "x.pt")
    script = (
        "import sys, torch\n"
        "sys.modules['nestgen'] = None\n"
        "sys.path.insert(0, '.')\n"
        f"from left import {type(module).__name__}Cut as Cut\n"
        "model = Cut().eval()\n"
        "model.load_state_dict(torch.load('left.pt', weights_only=True), assign=True)\n"
        "with torch.no_grad():\n"
        "    torch.save(model(torch.load('x.pt', weights_only=True)), 'y.pt')\n"
    )
    command = [sys.executable, "-I", "-c", script]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    found = torch.load(tmp_path / "y.pt", weights_only=True)
    assert torch.equal(found, expected(module, keep, x))
    told = subprocess.run(
        [sys.executable, "left.py", "left.pt"],
        cwd=tmp_path,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    parameters = sum(p.numel() for p in cut.module.parameters())
    assert told.startswith(f"{parameters:,} parameters\n")


def formatted(cut: Cut, folder: Path) -> None:
    (folder / "left.py").write_text(cut.text, encoding="utf-8")
    for words in (["format", "--check"], ["check", "--select", "E,F,I,B,UP"]):
        command = [sys.executable, "-m", "ruff", *words, "left.py"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", MODULES)
def test_the_source_is_formatted(name: str, tmp_path: Path) -> None:
    for keep in MODULES[name][1]:
        formatted(cut_any(made(name), keep, EXAMPLE), tmp_path)


def test_several_outputs_come_by_name() -> None:
    module = made("shared").eval()
    small = nestgen.prune(module, keep=["aux.0", "out"], example=EXAMPLE)
    found = small(EXAMPLE)
    assert list(found) == ["aux.0", "out"]
    assert torch.equal(found["out"], module(EXAMPLE)["out"])


def test_places_count_from_the_end_too() -> None:
    module = made("numbered").eval()
    last = nestgen.prune(module, keep=-1, example=EXAMPLE)
    assert torch.equal(last(EXAMPLE), module(EXAMPLE)[2])


def test_what_a_module_inside_gives_can_be_kept() -> None:
    module = made("shared").eval()
    small = nestgen.prune(module, keep="first", example=EXAMPLE)
    assert list(small.state_dict()) == ["first.weight", "first.bias"]
    assert torch.equal(small(EXAMPLE), module.get_submodule("first")(EXAMPLE))


def test_what_a_layer_gives_is_kept_before_others_write_into_it() -> None:
    module = nn.Sequential(nn.Conv2d(2, 3, 1), nn.ReLU(inplace=True)).eval()
    for keep, layers in (("0", module), ("1", module)):
        small = nestgen.prune(module, keep=[keep, "-1"], example=EXAMPLE)
        assert torch.equal(small(EXAMPLE)["-1"], layers(EXAMPLE))


def test_layers_of_a_sequence_and_names_of_digits() -> None:
    """The whole has the layers "0" and "1" itself; the output "0" comes before them."""

    class Steps(nn.Sequential):
        def forward(self, x: Tensor) -> dict[str, Tensor]:
            return {"end": self[2](self[1](self[0](x)))}

    module = Steps(nn.Conv2d(2, 3, 1), nn.ReLU(inplace=True), nn.Conv2d(3, 1, 1)).eval()
    first = nestgen.prune(module, keep="0", example=EXAMPLE)
    assert torch.equal(first(EXAMPLE), module[0](EXAMPLE))
    assert list(first.state_dict()) == ["0.weight", "0.bias"]
    end = nestgen.prune(module, keep="end", example=EXAMPLE)
    assert torch.equal(end(EXAMPLE), module(EXAMPLE)["end"])


def test_an_input_that_is_not_needed_stays_one() -> None:
    class Second(nn.Module):
        def forward(self, x: Tensor, y: Tensor) -> list[Tensor]:
            return [x * 2, y * 3]

    small = nestgen.prune(Second(), keep=0, example=(EXAMPLE, EXAMPLE))
    assert torch.equal(small(EXAMPLE, EXAMPLE), EXAMPLE * 2)


class OnlyOne(nn.Module):
    """Does something else for a batch, or a side, of one."""

    def __init__(self, axis: int) -> None:
        super().__init__()
        self.axis = axis

    def forward(self, x: Tensor) -> list[Tensor]:
        return [x * 2 if x.shape[self.axis] == 1 else x * 3, x]


def test_sizes_of_one_are_not_taken_for_others() -> None:
    with pytest.raises(ModuleError, match=r"on an input \[1, 2, 16, 24\] differs"):
        cut_any(OnlyOne(0), 0, torch.ones(2, 2, 16, 24))
    cut = cut_any(OnlyOne(2), 0, EXAMPLE)
    assert torch.equal(cut.module(EXAMPLE), EXAMPLE * 3)
    with pytest.raises(ValueError, match="not like those of the example"):
        cut.module(torch.ones(1, 2, 1, 24))


def test_operators_of_other_packages_are_refused() -> None:
    library = torch.library.Library("nestgen_test", "DEF")  # type: ignore[no-untyped-call]
    library.define("twice(Tensor x) -> Tensor")  # type: ignore[no-untyped-call]
    library.impl("twice", lambda x: x * 2, "CompositeExplicitAutograd")  # type: ignore[no-untyped-call]

    class Custom(nn.Module):
        def forward(self, x: Tensor) -> list[Tensor]:
            return [torch.ops.nestgen_test.twice(x), x]

    with pytest.raises(ModuleError, match="none of torch's own"):
        cut_any(Custom(), 0, EXAMPLE)


def test_a_trace_that_is_silently_wrong_is_found() -> None:
    """torch.fx leaves out the addition, and says nothing; the comparison does."""
    cut = cut_any(made("isinstance"), 0, EXAMPLE)
    assert cut.way == "torch.export"
    assert "differs by up to" in cut.rejected["torch.fx"]


def test_sizes_that_are_padded_otherwise_are_refused() -> None:
    """The whole pads odd sizes, and a cut that was followed on even ones says so."""
    cut = cut_any(made("padding"), 0, EXAMPLE)
    assert cut.refused == ((2, 2, 17, 25),)
    with pytest.raises(ValueError, match="sizes"):
        cut.module(torch.ones(1, 2, 17, 24))


def test_a_network_for_one_size_is_cut_for_that_size() -> None:
    class OneSize(nn.Module):
        def forward(self, x: Tensor) -> list[Tensor]:
            for _ in range(x.shape[2] // 8):
                x = x * 1.5
            return [x, x + 1]

    cut = cut_any(OneSize(), 0, EXAMPLE)
    x = torch.ones(1, 2, 16, 24)
    assert torch.equal(cut.module(x), x * 2.25)
    with pytest.raises(ValueError, match="sizes"):
        cut.module(torch.ones(1, 2, 24, 24))


def test_several_inputs() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Conv2d(2, 3, 1), nn.Conv2d(2, 3, 1)

        def forward(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
            return self.a(x) + self.b(y), self.a(x)

    module, both = Two().eval(), (EXAMPLE, EXAMPLE + 1)
    whole = nestgen.prune(module, keep=0, example=both)
    assert torch.equal(whole(*both), module(*both)[0])
    with pytest.raises(ModuleError, match="5 inputs are not allowed, 1 to 4"):
        cut_any(module, 0, (EXAMPLE,) * 5)


class Random(nn.Module):
    def forward(self, x: Tensor) -> list[Tensor]:
        return [functional.dropout(x), x]


class Counts(nn.Module):
    seen: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("seen", torch.zeros(1))

    def forward(self, x: Tensor) -> list[Tensor]:
        self.seen += 1
        return [x * 2, x]


class AlwaysTrains(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(2)

    def forward(self, x: Tensor) -> list[Tensor]:
        self.norm.train()
        return [self.norm(x), x]


class Asks(nn.Module):
    def forward(self, x: Tensor) -> list[Tensor]:
        return [x * 2 if x.sum() > 0 else x * 3, x]


@pytest.mark.parametrize(
    ("module", "keep", "message"),
    [
        (Random(), 0, "the module gives other outputs for the same input each time"),
        (Counts(), 0, "the module changes seen when it runs"),
        (AlwaysTrains(), 0, "the module changes norm.running_mean when it runs"),
        (Asks(), 0, "Asks cannot be cut: torch.fx: TraceError: .*; torch.export: "),
        (Looks(), 2, "keep: '2' is not allowed; the outputs of Looks are 0, 1, and"),
        (Looks(), "a\n", r"keep: 'a\\n' is not allowed"),
        (Looks(), [], r"keep: \[\] is not allowed"),
        (Looks(), [1, 1], r"keep: \[1, 1\] is not allowed"),
        (Looks(), 1.5, "keep: 1.5 is not allowed"),
        (Shared(), "aux", "keep: 'aux' is not allowed; the outputs of Shared are"),
        (Shared(), "", "keep: '' is not allowed"),
        (nn.Conv2d(5, 2, 1), 0, r"does not run on the example \[1, 2, 16, 24\] \("),
    ],
)
def test_what_cannot_be_cut_is_said(module: nn.Module, keep: Any, message: str) -> None:
    with pytest.raises(ModuleError, match=message) as caught:
        cut_any(module, keep, EXAMPLE)
    assert "\n" not in str(caught.value)


def test_a_level_or_an_output() -> None:
    for asked in ({}, {"keep": 0}, {"level": 1, "keep": 0}, {"example": EXAMPLE}):
        with pytest.raises(CutError, match="a level of a network of ours, or keep"):
            nestgen.prune(made("shared"), **asked)


@pytest.mark.parametrize("example", [3, [EXAMPLE], {"x": EXAMPLE}, (EXAMPLE, None)])
def test_an_example_is_of_tensors(example: Any) -> None:
    with pytest.raises(
        ModuleError, match=r"^example: a \w+ is not allowed, a tensor or"
    ):
        nestgen.prune(Looks(), keep=0, example=example)


def test_what_gives_no_tensor_cannot_be_kept() -> None:
    class Pair(nn.Module):
        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            return x, x + 1

    class Holds(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.pair = Pair()

        def forward(self, x: Tensor) -> list[Tensor]:
            return [self.pair(x)[1] * 2]

    with pytest.raises(ModuleError, match="keep: 'pair' is a tuple, no tensor"):
        cut_any(Holds(), "pair", EXAMPLE)


def test_what_a_computation_left_behind_is_no_obstacle() -> None:
    module = made("numbered")
    module.left = module(EXAMPLE)[0]
    small = nestgen.prune(module, keep=0, example=EXAMPLE)
    assert not hasattr(small, "left")
