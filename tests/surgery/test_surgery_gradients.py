"""What a loss does not reach: by the graph, by networkx, by a backward pass."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from itertools import combinations
from typing import Any

import networkx as nx
import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from nestgen.arch.cost import default_size, graph_cost
from nestgen.arch.graph import NestGraph, Node
from nestgen.arch.spec import NestSpec
from nestgen.arch.unreached import unreached
from nestgen.codegen.load import build
from nestgen.errors import CutError, ModuleError, SpecError
from nestgen.surgery.gradients import gradients, module_gradients
from nestgen.surgery.inputs import random_inputs

Lived = Callable[[NestSpec], nn.Module]


def subsets(depth: int) -> list[tuple[int, ...]]:
    levels = range(1, depth + 1)
    return [some for size in levels for some in combinations(levels, size)]


def dead_nodes(graph: NestGraph, levels: tuple[int, ...]) -> set[Node]:
    """By networkx alone."""
    heads = {graph.head(level) for level in levels}
    needed = heads.union(*(nx.ancestors(graph.dag, head) for head in heads))
    return set(graph.nodes) - needed


def without_gradient(model: nn.Module, spec: NestSpec, levels: Any) -> set[str]:
    """By a backward pass alone: the modules none of whose parameters has one."""
    twin = copy.deepcopy(model).train()
    outputs = twin(random_inputs(spec, model)[-1])
    named = outputs if isinstance(outputs, dict) else {f"L{spec.heads[0]}": outputs}
    sum(named[f"L{level}"].square().sum() for level in levels).backward()
    modules: dict[str, set[bool]] = {}
    for name, parameter in twin.named_parameters():
        modules.setdefault(name.split(".")[0], set()).add(parameter.grad is None)
    assert all(len(found) == 1 for found in modules.values()), "all of a module or none"
    return {name for name, found in modules.items() if found == {True}}


def places(names: set[str]) -> set[str]:
    """Modules by the node to which they lead: x0_1, up0_1 and skip0_0_1 are X[0,1]."""
    found = set()
    for name in names:
        if name.startswith("head_L"):
            found.add(f"head {name.removeprefix('head_')}")
        else:
            numbers = name.lstrip("xupski").split("_")
            found.add(f"X[{numbers[0]},{numbers[-1]}]")
    return found


@pytest.mark.parametrize("family", ["unet-e", "unet+", "unet++"])
@pytest.mark.parametrize("depth", [1, 2, 3])
def test_three_ways_to_what_is_dead(family: Any, depth: int, lived: Lived) -> None:
    spec = NestSpec(family=family, depth=depth, widths=2, in_channels=1)
    graph, model = NestGraph(spec), lived(spec)
    for levels in subsets(depth):
        found = gradients(model, levels)
        by_networkx = {node.label for node in dead_nodes(graph, levels)}
        heads = {f"head L{k}" for k in graph.levels if k not in levels}
        assert {part.name for part in found.parts} == by_networkx | heads
        assert places(without_gradient(model, spec, levels)) == by_networkx | heads
        assert sum(part.parameters for part in found.parts) == found.unreached
        sizes = {name: p.numel() for name, p in model.named_parameters()}
        assert sum(sizes[name] for name in found.names) == found.unreached


@pytest.mark.parametrize("depth", [1, 2, 3, 4, 5, 6])
def test_the_dead_decoders_of_the_ensemble(depth: int) -> None:
    """X[i,j] with 0 < j < d-i are dead where the last head alone has a loss."""
    graph = NestGraph(NestSpec(family="unet-e", depth=depth, heads=[depth]))
    inner = [f"X[{i},{j}]" for i, j in graph.nodes if 0 < j < depth - i]
    assert sorted(part.name for part in unreached(graph, [depth])) == sorted(inner)
    assert len(inner) == depth * (depth - 1) // 2
    for family in ("unet", "unet+", "unet++"):
        other = NestGraph(NestSpec(family=family, depth=depth, heads=[depth]))
        assert unreached(other, [depth]) == ()
    whole = NestGraph(NestSpec(family="unet-e", depth=depth))
    assert unreached(whole, whole.levels) == ()


def test_the_talks_ensemble_in_the_papers_numbers() -> None:
    spec = NestSpec.preset("zhou2018", family="unet-e", heads=[4], in_channels=1)
    dead = sum(part.parameters for part in unreached(NestGraph(spec), [4]))
    plain = NestGraph(spec.replace(family="unet", trim=True))
    whole = graph_cost(NestGraph(spec), (96, 96)).parameters
    assert (whole, dead) == (8_728_257, 8_728_257 - 7_759_521)
    assert graph_cost(plain, (96, 96)).parameters == 7_759_521


SPECS = {
    "gated": {"skip": "gate"},
    "excited": {"skip": "se", "family": "unet-e"},
    "bilinear": {"up": "bilinear", "up_widths": [2, 3, 4]},
    "residual": {"block": {"kind": "residual", "drop_path": 0.2, "dropout": 0.3}},
    "instance": {"block": {"norm": "instance"}},
    "bare": {"block": {"norm": "none", "bias": True}},
    "full-scale": {"family": "unet3+"},
    "volumes": {"dims": 3, "depth": 2},
    "of our own encoder": {"encoder": "resnet18", "family": "unet-e"},
    "on timm": {"encoder": "timm:resnet18", "family": "unet-e"},
}


@pytest.mark.parametrize("fields", SPECS.values(), ids=SPECS)
def test_whatever_a_network_is_made_of(fields: dict[str, Any], lived: Lived) -> None:
    spec = NestSpec(**{"depth": 3, "widths": 4, **fields})
    model, graph = lived(spec), NestGraph(spec)
    for levels in ([spec.depth], [1], graph.levels):
        found = gradients(model, levels)
        assert sum(part.parameters for part in found.parts) == found.unreached
        assert found.parameters == graph_cost(graph, default_size(graph)).parameters
        assert f"{found.unreached:,} of {found.parameters:,}" in found.statement


def test_the_network_stays_as_it_is(lived: Lived) -> None:
    model = lived(NestSpec(depth=2, widths=2))
    model.eval()
    model.get_submodule("x0_0").train()
    before_modes = [n for n, m in model.named_modules() if m.training]
    before = copy.deepcopy(model.state_dict())
    state = torch.get_rng_state()
    gradients(model, [2])
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[n]) for n, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert [n for n, m in model.named_modules() if m.training] == before_modes


def test_a_gradient_of_zero_is_no_missing_one(lived: Lived) -> None:
    model = lived(NestSpec(depth=2, widths=2, heads=[2]))
    with torch.no_grad():
        model.get_parameter("head_L2.weight").zero_()
    found = gradients(model)
    assert (found.parts, found.names) == ((), ())
    names = {name for name, _ in model.named_parameters()}
    assert set(found.zero) == names - {"head_L2.weight", "head_L2.bias"}


def test_what_is_frozen_is_not_counted(lived: Lived) -> None:
    model = lived(NestSpec(depth=2, widths=2, family="unet-e", heads=[2]))
    whole = gradients(model)
    for name in ("x0_1", "x0_2"):
        model.get_submodule(name).requires_grad_(False)
    found = gradients(model)
    assert {name.split(".")[0] for name in found.frozen} == {"x0_1", "x0_2"}
    assert {name.split(".")[0] for name in found.names} == {"up0_1"}
    sizes = {name: p.numel() for name, p in model.named_parameters()}
    gone = sum(sizes[name] for name in found.frozen)
    assert found.parameters == whole.parameters - gone


def test_a_graph_that_is_wrong_is_refused(
    lived: Lived, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = lived(NestSpec(depth=2, widths=2))
    all_names = {name for name, _ in model.named_parameters()}
    home = "nestgen.surgery.gradients.reached"
    monkeypatch.setattr(home, lambda *_: all_names)
    with pytest.raises(ModuleError, match=r"head_L2.bias: .* gives it no gradient"):
        gradients(model, [1])
    monkeypatch.setattr(home, lambda *_: all_names - {"x0_0.conv1.weight"})
    with pytest.raises(ModuleError, match=r"x0_0.conv1.weight: .* gives it a gradient"):
        gradients(model, [1, 2])


def test_levels_and_models_that_are_none(lived: Lived) -> None:
    with pytest.raises(CutError, match="L1, L2"):
        gradients(lived(NestSpec(depth=2, widths=2)), [3])
    with pytest.raises(SpecError, match="Linear has no spec"):
        gradients(nn.Linear(1, 1))


class Chance(nn.Module):
    """Layers that read the sum of earlier ones, and some of them as outputs."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        chance = random.Random(seed)
        self.layers = nn.ModuleList(nn.Linear(2, 2) for _ in range(8))
        self.sources = [
            chance.sample(range(i), chance.randint(1, min(i, 3))) if i else []
            for i in range(8)
        ]
        self.ends = chance.sample(range(8), 3)
        self.dag = nx.DiGraph((s, i) for i in range(8) for s in self.sources[i])

    def forward(self, x: Tensor) -> dict[str, Any]:
        made: list[Tensor] = []
        for layer, sources in zip(self.layers, self.sources, strict=True):
            made.append(layer(sum((made[s] for s in sources), start=x)))
        first, *others = (made[end] for end in self.ends)
        return {"first": first, "others": others}


@pytest.mark.parametrize("seed", range(20))
def test_other_modules_by_their_graph(seed: int) -> None:
    module = Chance(seed)
    first, second, third = module.ends
    for keep, kept in (
        ("first", [first]),
        (["first", "others.0"], [first, second]),
        (-1, [third]),
        (f"layers.{second}", [second]),
        (None, module.ends),
    ):
        found = module_gradients(module, torch.ones(2, 2), keep)
        alive = set(kept).union(*(nx.ancestors(module.dag, end) for end in kept))
        dead = [f"layers.{i}" for i in range(8) if i not in alive]
        assert [part.name for part in found.parts] == dead
        assert found.uncalled == ()
        assert (
            found.unreached == 6 * len(dead) == sum(p.parameters for p in found.parts)
        )


class Sorts(nn.Module):
    """All the ways in which a parameter may be left out."""

    def __init__(self) -> None:
        super().__init__()
        self.used, self.shared = nn.Linear(2, 2), nn.Linear(2, 2)
        self.never = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
        self.cut, self.guarded = nn.Linear(2, 2), nn.Linear(2, 2)
        self.also = self.shared
        self.norm = nn.BatchNorm1d(2)
        self.spare = nn.Parameter(torch.ones(3))
        self.still = nn.Linear(2, 2).requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            y = self.guarded(x)
        y = self.used(y) + self.cut(x).detach() + self.also(x) + self.still(x)
        bare = nn.functional.batch_norm(y, None, None, self.norm.weight, training=True)
        return bare


def test_each_way_of_being_left_out() -> None:
    found = module_gradients(Sorts(), torch.randn(4, 2))
    names = [part.name for part in found.parts]
    assert sorted(names) == ["cut", "guarded", "never", "norm.bias", "spare"]
    # the module of a bare parameter at the top is the whole, which is called
    assert set(found.uncalled) == {"never", "norm.bias"}
    assert found.frozen == ("still.weight", "still.bias")
    assert sum(part.parameters for part in found.parts) == found.unreached == 29
    assert found.parameters == 29 + 6 + 6 + 2
    assert found.to_plain()["statement"] == found.statement


def test_gradients_of_before_do_not_count() -> None:
    module = Chance(1)
    module_gradients(module, torch.ones(2, 2))
    for parameter in module.parameters():
        parameter.grad = torch.ones_like(parameter)
    assert module_gradients(module, torch.ones(2, 2), ["first"]).unreached > 0
    assert all(parameter.grad is not None for parameter in module.parameters())


class Beside(nn.Module):
    """What it learns is no parameter; the ones that it has are not used."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.other = nn.Linear(2, 2), nn.Linear(2, 2)
        self.bare = torch.ones(2, requires_grad=True)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.bare


def test_the_whole_is_named_by_its_parts() -> None:
    found = module_gradients(Beside(), torch.ones(1, 2))
    assert [part.name for part in found.parts] == ["one", "other"]
    assert found.uncalled == ("one", "other")


class Hidden(nn.Module):
    """A graph that autograd cannot show, since it is made on the way back."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.inner = nn.Linear(2, 2), nn.Linear(2, 2)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = checkpoint(self.inner, self.first(x), use_reentrant=True)
        return found


class Silent(torch.autograd.Function):
    """Gives one of its inputs no gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        return x * weight

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return grads[0], None


class Odd(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.scale = nn.Linear(2, 2), nn.Parameter(torch.ones(2))

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = Silent.apply(self.first(x), self.scale)  # type: ignore[no-untyped-call]
        return found


@pytest.mark.filterwarnings("ignore")
def test_a_pass_that_does_otherwise_than_the_graph() -> None:
    with pytest.raises(ModuleError, match=r"inner.bias: the backward pass gives it a "):
        module_gradients(Hidden(), torch.ones(1, 2))
    with pytest.raises(
        ModuleError, match=r"scale: the backward pass gives it no gradient"
    ):
        module_gradients(Odd(), torch.ones(1, 2))


class Returns(nn.Module):
    def __init__(self, what: Any) -> None:
        super().__init__()
        self.what = what

    def forward(self, x: Tensor) -> Any:
        return self.what(x)


@pytest.mark.parametrize(
    ("what", "keep", "said"),
    [
        (
            lambda x: [x, x],
            2,
            "keep: '2' is not allowed; the outputs of Returns are",
        ),
        (
            lambda x: x,
            ["L1"],
            "keep: 'L1' is not allowed; the outputs of Returns are",
        ),
        (lambda x: x, [], "keep: [] is not allowed"),
        (lambda x: None, None, "Returns: no parameter has a part in its outputs"),
        (lambda x: {"a": x}, None, "Returns: no parameter has a part in a"),
        (lambda x: 1 / 0, None, "Returns: cannot be run on [2, 2] (ZeroDivisionError"),
    ],
)
def test_what_cannot_be_followed_is_one_line(what: Any, keep: Any, said: str) -> None:
    with pytest.raises(ModuleError) as error:
        module_gradients(Returns(what), torch.ones(2, 2), keep)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_a_module_runs_in_train_mode_and_stays_as_it_is() -> None:
    module = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2), nn.Dropout()).eval()
    before, state = copy.deepcopy(module.state_dict()), torch.get_rng_state()
    with pytest.raises(ModuleError, match=r"cannot be run on \[1, 2\] \(ValueError"):
        module_gradients(module, torch.ones(1, 2))
    assert module_gradients(module, torch.ones(3, 2)).names == ()
    after = module.state_dict()
    assert all(torch.equal(after[name], before[name]) for name in before)
    assert not any(inner.training for inner in module.modules())
    assert torch.equal(torch.get_rng_state(), state)


def test_the_networks_of_nestgen_as_others(lived: Lived) -> None:
    """Both ways of looking find the same parameters."""
    spec = NestSpec(depth=3, widths=2, family="unet-e")
    model = lived(spec)
    for levels in subsets(3):
        mine = gradients(model, levels)
        keep = [f"L{level}" for level in levels]
        theirs = module_gradients(model, random_inputs(spec, model)[-1], keep)
        assert theirs.names == mine.names
        assert theirs.supervised == mine.supervised


def test_build_is_what_is_asked() -> None:
    assert gradients(build(NestSpec(depth=1, widths=2, heads=[1]))).nodes == 3
