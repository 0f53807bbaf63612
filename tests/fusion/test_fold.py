"""norm(conv(x)) is one convolution, where nothing else reads what is between."""

from __future__ import annotations

import copy
from collections.abc import Callable
from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F

from nestgen.fusion.drop import drop
from nestgen.fusion.fold import fold
from nestgen.fusion.work import Work
from nestgen.surgery.cut_any import WAYS

Lived = Callable[[nn.Module], nn.Module]
MakeWork = Callable[..., Work]
Does = type[nn.Module]
IMAGES = {
    1: torch.linspace(-2, 2, 2 * 4 * 12).view(2, 4, 12).double(),
    2: torch.linspace(-2, 2, 2 * 4 * 6 * 7).view(2, 4, 6, 7).double(),
    3: torch.linspace(-2, 2, 2 * 4 * 5 * 4 * 3).view(2, 4, 5, 4, 3).double(),
}
X = IMAGES[2]


def folded(work_of: MakeWork, module: nn.Module, x: Tensor, way: str) -> Work:
    work = work_of(module, x, way)
    drop(work)
    fold(work)
    return work


def norms(made: fx.GraphModule) -> int:
    kinds = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
    modules = sum(isinstance(module, kinds) for module in made.modules())
    calls = [n.name for n in made.graph.nodes if n.op == "call_function"]
    return modules + len([name for name in calls if "norm" in name])


def rows(work: Work) -> list[tuple[str, list[str], list[str]]]:
    return [(row.name, row.done, row.left) for row in work.report]


def check_same(module: nn.Module, made: nn.Module, x: Tensor) -> None:
    """In float64 up to a few roundings of the largest value."""
    with torch.no_grad():
        wholes, parts = module(x.clone()), made(x.clone())
    wholes = wholes if isinstance(wholes, (list, tuple)) else [wholes]
    assert len(parts) == len(wholes)
    for whole, part in zip(wholes, parts, strict=True):
        assert (part - whole).abs().max() <= 1e-12 * whole.abs().max()


def layers(
    dims: int, transposed: bool, groups: int, affine: bool, bias: bool
) -> nn.Sequential:
    name = f"Conv{'Transpose' * transposed}{dims}d"
    stride, norm = 2 if transposed else 1, getattr(nn, f"BatchNorm{dims}d")
    conv = getattr(nn, name)(4, 6, 3, stride=stride, groups=groups, bias=bias)
    return nn.Sequential(conv, norm(6, affine=affine, eps=1e-3), nn.ReLU())


@pytest.mark.parametrize("dims", IMAGES)
@pytest.mark.parametrize("transposed", [False, True])
def test_a_norm_becomes_a_part_of_its_convolution(
    dims: int, transposed: bool, lived: Lived, work_of: MakeWork
) -> None:
    for groups, affine, bias in product((1, 2), (True, False), (True, False)):
        module = lived(layers(dims, transposed, groups, affine, bias).double())
        work = folded(work_of, module, IMAGES[dims], "torch.fx")
        made = work.finish()
        check_same(module, made, IMAGES[dims])
        assert norms(made) == 0
        assert rows(work) == [("0", ["norm folded"], [])]
        assert list(made.state_dict()) == ["0.weight", "0.bias"]


@pytest.mark.parametrize("dims", IMAGES)
def test_operators_fold_too(
    dims: int, does: Does, lived: Lived, work_of: MakeWork
) -> None:
    pairs = nn.ModuleList(
        layers(dims, transposed, 2, transposed, not transposed)
        for transposed in (False, True)
    )
    module = does(lambda m, x: [pair(x) for pair in m.pairs], pairs=pairs).double()
    work = folded(work_of, lived(module), IMAGES[dims], "torch.export")
    made = work.finish()
    check_same(module, made, IMAGES[dims])
    assert norms(made) == 0
    assert [row.name for row in work.report] == ["pairs.0.0", "pairs.1.0"]
    assert set(made.state_dict()) == {
        f"pairs.{n}.0.{name}" for n in (0, 1) for name in ("weight", "bias")
    }


def test_the_weights_are_rounded_once(lived: Lived, work_of: MakeWork) -> None:
    """Those of float32 are those that float64 has, to the nearest."""
    module = lived(layers(2, False, 1, True, True))
    double = copy.deepcopy(module).double()
    work = folded(work_of, module, X.float(), "torch.fx")
    exact = folded(work_of, double, X, "torch.fx").finish().state_dict()
    for name, tensor in work.finish().state_dict().items():
        assert tensor.dtype == torch.float32
        assert torch.equal(tensor, exact[name].float())


def conv(width: int = 4, **options: Any) -> nn.Conv2d:
    return nn.Conv2d(4, width, 3, padding=1, **options)


def norm(**options: Any) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(4, **options)


def read_twice(m: Any, x: Tensor) -> Any:
    y = m.conv(x)
    return m.norm(y), y


def added(m: Any, x: Tensor) -> Any:
    y = m.conv(x)
    return m.norm(y) + y


def two_norms(m: Any, x: Tensor) -> Any:
    y = m.conv(x)
    return m.norm(y), m.other(y)


def shared_conv(m: Any, x: Tensor) -> Any:
    return m.norm(m.conv(x)), m.other(m.conv(x + 1))


def same_pair(m: Any, x: Tensor) -> Any:
    return m.norm(m.conv(torch.relu(m.norm(m.conv(x)))))


def training(m: Any, x: Tensor) -> Any:
    return F.batch_norm(m.conv(x), m.mean.clone(), m.var.clone(), training=True)


def between(m: Any, x: Tensor) -> Any:
    return m.norm(torch.relu(m.conv(x)))


def before(m: Any, x: Tensor) -> Any:
    return m.conv(torch.relu(m.norm(x)))


def through(m: Any, x: Tensor) -> Any:
    return m.other(m.norm(m.drop(m.conv(x))))


def rewritten(m: Any, x: Tensor) -> Any:
    """What the convolution reads is written over before the norm runs."""
    y = x * 2
    z = m.conv(y)
    y = torch.relu_(y)
    return m.norm(z) + y


ELSEWHERE = "its output before the batch norm is read elsewhere too"
FOLDED = "norm folded"
GUARDS: dict[str, tuple[Callable[..., Any], list[list[str]], list[list[str]], int]] = {
    "read elsewhere too": (read_twice, [[]], [[ELSEWHERE]], 1),
    "a residual": (added, [[]], [[ELSEWHERE]], 1),
    "two norms": (two_norms, [[]], [[ELSEWHERE]], 2),
    "a shared convolution": (shared_conv, [[FOLDED], [FOLDED]], [[], []], 0),
    "the same pair twice": (same_pair, [[FOLDED], [FOLDED]], [[], []], 0),
    "something between": (between, [[]], [[]], 1),
    "a norm before": (before, [[]], [[]], 1),
    "two norms, one behind another": (through, [[FOLDED, FOLDED]], [[]], 0),
    "an input that is written over": (rewritten, [[FOLDED]], [[]], 0),
}  # fmt: skip


@pytest.mark.parametrize("name", GUARDS)
def test_right_or_left_alone(
    name: str, does: Does, lived: Lived, work_of: MakeWork
) -> None:
    function, done, left, norms_left = GUARDS[name]
    layers = {"conv": conv(), "norm": norm(), "other": norm(affine=False)}
    module = lived(does(function, drop=nn.Dropout(), **layers).double())
    work = folded(work_of, module, X, "torch.fx")
    assert [row.done for row in work.report] == done
    assert [row.left for row in work.report] == left
    assert {row.name for row in work.report} == {"conv"}
    made = work.finish()
    check_same(module, made, X)
    assert norms(made) == norms_left


def test_a_norm_of_the_batch_is_left_alone(
    does: Does, lived: Lived, work_of: MakeWork
) -> None:
    statistics = {"mean": torch.zeros(4), "var": torch.ones(4)}
    module = lived(does(training, conv=conv(), **statistics).double())
    for way in WAYS:
        work = folded(work_of, module, X, way)
        assert [row.done for row in work.report] == [[]]
        check_same(module, work.finish(), X)
    fixed = does(
        lambda m, x: F.batch_norm(m.conv(x), m.mean, m.var, training=True),
        conv=conv(),
        **statistics,
    )
    work = folded(work_of, lived(fixed.double()), X, "torch.fx")
    assert rows(work) == [("conv", [], ["its batch norm is in training mode"])]


def test_a_module_of_two_names(does: Does, lived: Lived, work_of: MakeWork) -> None:
    """A convolution that is called by both is folded into two, each with its norm."""
    one = conv()
    module = does(
        lambda m, x: m.norm(m.b(x)) + m.other(m.a(x)),
        a=one,
        b=one,
        norm=norm(),
        other=norm(),
    )
    for way in WAYS:
        work = folded(work_of, lived(module.double()), X, way)
        made = work.finish()
        check_same(module, made, X)
        assert norms(made) == 0
        assert [row.done for row in work.report] == [[FOLDED], [FOLDED]]
        assert len(made.state_dict()) == 4


def test_functions_with_tensors_of_the_network_itself(
    does: Does, lived: Lived, work_of: MakeWork
) -> None:
    """The new module is called as the weight was, and no stale tensor is left."""
    module = does(
        lambda m, x: m.conv2d(m.norm(F.conv2d(x, m.weight, m.bias))) * m.inside.scale,
        weight=nn.Parameter(torch.randn(4, 4, 3, 3)),
        bias=nn.Parameter(torch.randn(4)),
        inside=nn.ParameterDict({"scale": torch.ones(4, 1, 1)}),
        norm=norm(),
        conv2d=nn.Conv2d(4, 4, 1),
    ).double()
    for way in WAYS:
        work = folded(work_of, lived(module), X, way)
        made = work.finish()
        check_same(module, made, X)
        assert rows(work) == [("weight", [FOLDED], []), ("conv2d", [], [])]
        assert set(made.state_dict()) == {
            "weight.weight",
            "weight.bias",
            "conv2d.weight",
            "conv2d.bias",
            "inside.scale",
        }


def test_an_identity_of_several_tensors(does: Does, work_of: MakeWork) -> None:
    module = does(lambda m, x: m.same(x.split(2, 1))[1], same=nn.Identity())
    work = work_of(module, X)
    drop(work)
    made = work.finish()
    check_same(module, made, X)
    assert list(made.modules()) == [made]


def test_padding_by_nothing_is_a_copy(does: Does, work_of: MakeWork) -> None:
    """It is dropped where neither it nor what it copies is written over later."""

    def later(m: Any, x: Tensor) -> Any:
        y = x * 2
        z = F.pad(y, (0, 0))
        return z.relu_() + y

    def other(m: Any, x: Tensor) -> Any:
        y = x * 2
        z = F.pad(y, (0, 0))
        return y.relu_() + z

    def neither(m: Any, x: Tensor) -> Any:
        return F.pad(x * 2, (0, 0)).relu() + x

    for function, stays in ((later, True), (other, True), (neither, False)):
        module = does(function)
        work = work_of(module, X)
        drop(work)
        made = work.finish()
        check_same(module, made, X)
        assert any("pad" in node.name for node in made.graph.nodes) == stays
