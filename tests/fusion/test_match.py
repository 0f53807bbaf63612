"""The hot path is found by what is computed, and its parts give its value again."""

from __future__ import annotations

import operator
from collections.abc import Callable
from itertools import permutations
from typing import Any

import pytest
import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F

from nestgen.fusion.drop import drop
from nestgen.fusion.fold import fold
from nestgen.fusion.match import HotPath, match
from nestgen.fusion.work import Work
from nestgen.fusion.writes import writes

Lived = Callable[[nn.Module], nn.Module]
MakeWork = Callable[..., Work]
Does = type[nn.Module]
X = torch.randn(2, 3, 8, 12, dtype=torch.float64, generator=torch.Generator())


class Recomputes(fx.Interpreter):
    """Runs a graph, and each hot path from its parts, where its last node stands."""

    def __init__(self, work: Work, paths: list[HotPath]) -> None:
        super().__init__(work.traced, garbage_collect_values=False)
        self.paths = {path.last: path for path in paths}
        self.compared = 0

    def run_node(self, n: fx.Node) -> Any:
        path = self.paths.get(n)
        # what an activation in place reads is no longer there afterwards
        ours = None if path is None else self.value(path)
        result = super().run_node(n)
        if ours is not None:
            assert (ours - result).abs().max() <= 1e-12 * result.abs().max()
            self.compared += 1
        return result

    def value(self, path: HotPath) -> Tensor:
        """act(sum of the convolutions of each part by its own columns + bias)."""
        images = [self.env[skip] for skip in path.skips]
        weights = [path.own]
        if path.low is not None:
            assert path.of_up is not None
            images.append(up(self.env[path.low], path))
            weights.append(path.of_up)
        y = F.conv2d(
            torch.cat(images, 1), torch.cat(weights, 1), path.convolution.bias,
            padding=1,
        )  # fmt: skip
        return torch.where(y > 0, y, y * path.slope)


def up(low: Tensor, path: HotPath) -> Tensor:
    if path.up == "transpose":
        assert path.up_weight is not None
        return F.conv_transpose2d(low, path.up_weight, path.up_bias, stride=2)
    mode, _, aligned = path.up.partition("-")
    options = {"align_corners": True} if aligned else {}
    return F.interpolate(low, scale_factor=2, mode=mode, **options)


def paths_of(
    work_of: MakeWork, module: nn.Module, way: str = "torch.fx"
) -> tuple[Work, list[HotPath]]:
    """What is found after the passes before, each shown to be what is computed."""
    work = work_of(module.double(), X, way)
    drop(work)
    fold(work)
    paths = list(match(work))
    work.graph.lint()
    checks = Recomputes(work, paths)
    with torch.no_grad():
        checks.run(X.clone())
    assert checks.compared == len(paths)
    return work, paths


def left(work: Work) -> dict[str, list[str]]:
    return {row.name: row.left for row in work.report if row.left}


def shown(path: HotPath) -> tuple[str, int, float]:
    """How it goes up, how many skips it has, the slope of what is negative."""
    return path.up, len(path.skips), path.slope


UPS: dict[str, Callable[[], nn.Module]] = {
    "transpose": lambda: nn.ConvTranspose2d(4, 5, 2, 2),
    "nearest": lambda: nn.Upsample(scale_factor=2),
    "bilinear": lambda: nn.Upsample(scale_factor=2, mode="bilinear"),
    "bilinear-aligned": lambda: nn.UpsamplingBilinear2d(scale_factor=2),
}


class Joins(nn.Module):
    """One join: `order` of three skips, 0 to 2, and of what comes up, 3."""

    def __init__(self, order: tuple[int, ...], up: str, norm: bool = True) -> None:
        super().__init__()
        widths = (1, 2, 3, 5 if up == "transpose" else 4)
        self.order = order
        self.q = nn.ModuleList(nn.Conv2d(3, width, 1) for width in widths[:3])
        self.z = nn.Conv2d(3, 4, 1)
        self.y = UPS[up]()
        self.a = nn.Conv2d(sum(widths[n] for n in order), 6, 3, 1, 1, bias=not norm)
        self.b = nn.BatchNorm2d(6) if norm else nn.Identity()
        self.c = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        parts = [q(x) for q in self.q] + [self.y(self.z(F.avg_pool2d(x, 2)))]
        joined = torch.cat([parts[n] for n in self.order], 1)
        result: Tensor = self.c(self.b(self.a(joined)))
        return result


ORDERS = [(3,), (0, 3), (3, 0), *permutations((0, 1, 3)), (2, 1, 3, 0), (2, 0, 1, 3)]


@pytest.mark.parametrize("up", UPS)
def test_any_number_and_order_of_skips(
    up: str, lived: Lived, work_of: MakeWork
) -> None:
    for order in ORDERS:
        module = lived(Joins(order, up, norm=len(order) < 4))
        work, (path,) = paths_of(work_of, module)
        assert shown(path) == (up, len(order) - 1, 0.0)
        assert [str(skip.target) for skip in path.skips] == [
            f"q.{n}" for n in order if n < 3
        ]
        assert left(work) == {}


def test_operators_too(does: Does, lived: Lived, work_of: MakeWork) -> None:
    """All ways up in one network, since torch.export takes its time."""
    joins = nn.ModuleList(Joins((1, 3, 0), up) for up in UPS)
    module = does(lambda m, x: [join(x) for join in m.joins], joins=joins)
    _, paths = paths_of(work_of, lived(module), "torch.export")
    assert [shown(path) for path in paths] == [(up, 2, 0.0) for up in UPS]


def test_a_convolution_of_skips_alone(lived: Lived, work_of: MakeWork) -> None:
    _, (path,) = paths_of(work_of, lived(Joins((1, 2, 1), "nearest")))
    assert shown(path) == ("none", 3, 0.0)


def join(m: Any, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    return m.a(x), m.b(x), m.up(m.low(F.avg_pool2d(x, 2)))


def nested(m: Any, x: Tensor) -> Any:
    a, b, c = join(m, x)
    return torch.relu(m.conv(torch.cat([torch.cat([a, c], 1), b], 1)))


def one_by_one(m: Any, x: Tensor) -> Any:
    y, b, c = join(m, x)
    for part in (b, c):
        y = torch.cat([y, part], 1)
    return torch.relu(m.conv(y))


def read_elsewhere(m: Any, x: Tensor) -> Any:
    joined = torch.cat(join(m, x), 1)
    return torch.relu(m.conv(joined)) + joined.mean()


def inner_read_elsewhere(m: Any, x: Tensor) -> Any:
    a, b, c = join(m, x)
    inner = torch.cat([a, b], 1)
    return torch.relu(m.conv(torch.cat([inner, c], 1))) * inner.mean()


def up_read_elsewhere(m: Any, x: Tensor) -> Any:
    a, b, c = join(m, x)
    return torch.relu(m.conv(torch.cat([a, b, c], 1))) + c[:, :1]


def up_twice(m: Any, x: Tensor) -> Any:
    """The same twice in one concatenation: one of both is read as it is."""
    a, _, c = join(m, x)
    return m.wide(torch.cat([c, a, c], 1))


def two_ups(m: Any, x: Tensor) -> Any:
    a, _, c = join(m, x)
    d = F.interpolate(F.avg_pool2d(m.b(x), 2), scale_factor=2)
    return F.leaky_relu(m.conv(torch.cat([a, c, d], 1)), 0.2)


def act_before(m: Any, x: Tensor) -> Any:
    return m.conv(torch.relu(torch.cat(join(m, x), 1)))


def norm_before(m: Any, x: Tensor) -> Any:
    return torch.relu(m.conv(torch.relu(m.norm(torch.cat(join(m, x), 1)))))


def no_activation(m: Any, x: Tensor) -> Any:
    return m.conv(torch.cat(join(m, x), 1)).sigmoid()


def read_before_activation(m: Any, x: Tensor) -> Any:
    y = m.conv(torch.cat(join(m, x), 1))
    return torch.relu(y) + y


def read_by_several(m: Any, x: Tensor) -> Any:
    y = torch.relu(m.conv(torch.cat(join(m, x), 1)))
    return y + F.max_pool2d(y, 1), m.end(y)


def residual(m: Any, x: Tensor) -> Any:
    a, b, c = join(m, x)
    y = torch.relu(m.conv(torch.cat([a, b, c], 1)))
    return torch.relu(m.end(y) + m.short(y))


def cropped(m: Any, x: Tensor) -> Any:
    a, b, c = join(m, x)
    return torch.relu(m.conv(torch.cat([a, b, c[..., :8, :12]], 1)))


def cat_of_rows(m: Any, x: Tensor) -> Any:
    a, b, c = join(m, x)
    return torch.relu(m.conv(torch.cat([torch.cat([a, b, c], 1)] * 2, 2)))


ELSEWHERE = "its concatenation is read elsewhere too"
UP_ELSEWHERE = "what it up-samples is read elsewhere too"
END = ("none", 1, 1.0)
SHAPES: dict[str, tuple[Callable[..., Any], list[Any], dict[str, list[str]]]] = {
    "nested": (nested, [("transpose", 2, 0.0)], {}),
    "one by one": (one_by_one, [("transpose", 2, 0.0)], {}),
    "read elsewhere": (read_elsewhere, [("none", 1, 0.0)], {"conv": [ELSEWHERE]}),
    "inner read elsewhere": (inner_read_elsewhere, [("transpose", 1, 0.0)], {}),
    "up read elsewhere": (
        up_read_elsewhere, [("none", 3, 0.0)], {"conv": [UP_ELSEWHERE]},
    ),
    "up twice": (up_twice, [("transpose", 2, 1.0)], {}),
    "two ups": (two_ups, [("transpose", 2, 0.2)], {}),
    "act before": (act_before, [("none", 1, 1.0)], {}),
    "norm before": (norm_before, [("none", 1, 0.0)], {}),
    "no activation": (no_activation, [("transpose", 2, 1.0)], {}),
    "read before activation": (
        read_before_activation, [("transpose", 2, 1.0)], {},
    ),
    "read by several": (read_by_several, [("transpose", 2, 0.0), END], {}),
    "residual": (residual, [("transpose", 2, 0.0), END], {}),
    "cropped": (cropped, [("none", 3, 0.0)], {}),
    "cat of rows": (cat_of_rows, [("none", 1, 0.0)], {}),
}  # fmt: skip


def made(does: Does, function: Callable[..., Any], **others: nn.Module) -> nn.Module:
    layers: dict[str, nn.Module] = {
        "a": nn.Conv2d(3, 2, 1),
        "b": nn.Conv2d(3, 3, 1),
        "low": nn.Conv2d(3, 5, 1),
        "up": nn.ConvTranspose2d(5, 4, 2, 2),
        "norm": nn.BatchNorm2d(9),
        "conv": nn.Conv2d(9, 6, 3, padding=1),
        "wide": nn.Conv2d(10, 6, 3, padding=1),
        "end": nn.Conv2d(6, 6, 3, padding=1),
        "short": nn.Conv2d(6, 6, 1),
        **others,
    }
    module: nn.Module = does(function, **layers)
    return module


@pytest.mark.parametrize("name", SHAPES)
def test_what_stands_around_it(
    name: str, does: Does, lived: Lived, work_of: MakeWork
) -> None:
    function, wanted, reasons = SHAPES[name]
    work, paths = paths_of(work_of, lived(made(does, function)))
    assert [shown(path) for path in paths] == wanted
    assert left(work) == reasons


OTHERS = {
    "stride": (nn.Conv2d(9, 6, 3, 2, 1), "a kernel of 3x3, stride 2"),
    "dilation": (nn.Conv2d(9, 6, 3, 1, 2, 2), "no conv3x3"),
    "groups": (nn.Conv2d(9, 9, 3, 1, 1, groups=3), "3 groups"),
    "no padding": (nn.Conv2d(9, 6, 3), "padding 0"),
    "a kernel of 5": (nn.Conv2d(9, 6, 5, 1, 2), "a kernel of 5x5"),
    "two kernels": (nn.Conv2d(9, 6, (3, 1), 1, (1, 0)), "a kernel of 3x1"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_convolutions_are_left_alone(
    name: str, does: Does, lived: Lived, work_of: MakeWork
) -> None:
    conv, reason = OTHERS[name]
    work, paths = paths_of(work_of, lived(made(does, no_activation, conv=conv)))
    assert paths == []
    (text,) = left(work)["conv"]
    assert reason in text


WAYS_UP = {
    "kernel": nn.ConvTranspose2d(5, 4, 4, 2, 1),
    "groups": nn.ConvTranspose2d(4, 4, 2, 2, groups=2),
    "norm": nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(5, 4, 1)),
    "act": nn.Sequential(nn.ConvTranspose2d(5, 4, 2, 2), nn.ReLU()),
}


@pytest.mark.parametrize("name", WAYS_UP)
def test_other_ways_up_are_read_as_they_are(
    name: str, does: Does, lived: Lived, work_of: MakeWork
) -> None:
    up = WAYS_UP[name]
    low = nn.Conv2d(3, 4 if name == "groups" else 5, 1)
    module = made(does, no_activation, up=up, low=low)
    _, (path,) = paths_of(work_of, lived(module))
    assert shown(path) == ("none", 3, 1.0)


def bicubic(low: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(low, scale_factor=2.0, mode="bicubic")


def to_a_size(low: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(low, like.shape[2:])


def exact(low: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(low, scale_factor=2.0, mode="nearest-exact")


@pytest.mark.parametrize("way", ["torch.fx", "torch.export"])
@pytest.mark.parametrize("raise_", [bicubic, exact, to_a_size])
def test_why_an_interpolation_is_left_alone_is_told(
    raise_: Any, way: str, does: Does, work_of: MakeWork
) -> None:
    def forward(m: Any, x: Tensor) -> Any:
        return m.conv(torch.cat([x, raise_(F.avg_pool2d(x, 2), x)], 1))

    module = does(forward, conv=nn.Conv2d(6, 2, 3, padding=1))
    work, (path,) = paths_of(work_of, module, way)
    assert path.up == "none"
    reason = "what it interpolates is not surely raised by 2, nearest or bilinear"
    assert left(work) == {"conv": [reason]}


def skip_rewritten(m: Any, x: Tensor) -> Any:
    """After it is concatenated: what stands there is no longer what was read."""
    a, b, c = join(m, x)
    joined = torch.cat([a, b, c], 1)
    a = torch.relu_(a)
    return torch.relu(m.conv(joined)) + a[:, :1]


def skip_rewritten_by_another_name(m: Any, x: Tensor) -> Any:
    a, b, c = join(m, x)
    joined = torch.cat([a, b, c], 1)
    changed = a.view(2, -1).mul_(3)
    return torch.relu(m.conv(joined)) + changed.mean()


def low_rewritten(m: Any, x: Tensor) -> Any:
    low = m.low(F.avg_pool2d(x, 2))
    c = m.up(low)
    low = m.act(low)
    return torch.relu(m.conv(torch.cat([m.a(x), m.b(x), c], 1))) + low.mean()


def between_conv_and_act(m: Any, x: Tensor) -> Any:
    a, b, c = join(m, x)
    y = m.conv(torch.cat([a, b, c], 1))
    a = a.add_(1)
    return torch.relu(y) + a[:, :1]


def rewritten_before(m: Any, x: Tensor) -> Any:
    """As is usual: a block's own activation, before anything reads it."""
    a, b, c = join(m, x)
    a = m.act(a)
    return m.act(m.conv(torch.cat([a, b, c], 1))) + a[:, :1]


def rewritten_after(m: Any, x: Tensor) -> Any:
    a, b, c = join(m, x)
    y = torch.relu(m.conv(torch.cat([a, b, c], 1)))
    return y + a.relu_()[:, :1]


REWRITTEN = {
    "a skip": (skip_rewritten, False),
    "a skip, by another name": (skip_rewritten_by_another_name, False),
    "the lower input": (low_rewritten, False),
    "between convolution and activation": (between_conv_and_act, False),
    "before": (rewritten_before, True),
    "after": (rewritten_after, True),
}


@pytest.mark.parametrize("name", REWRITTEN)
def test_what_is_written_over(
    name: str, does: Does, lived: Lived, work_of: MakeWork
) -> None:
    function, found = REWRITTEN[name]
    module = made(does, function, act=nn.ReLU(inplace=True))
    work, paths = paths_of(work_of, lived(module))
    assert len(paths) == found
    assert left(work) == ({} if found else {"conv": ["what it reads is written over"]})


def test_what_is_not_whole_channels(does: Does, work_of: MakeWork) -> None:
    """One image without a batch: what is concatenated along axis 1 is rows."""
    conv = nn.Conv2d(3, 4, 3, padding=1)
    module = does(lambda m, x: m.conv(torch.cat([x, x], 1)), conv=conv).eval()
    work = work_of(module, torch.randn(3, 8, 12))
    assert list(match(work)) == []
    assert work.report == ()


def test_every_way_to_write_over_a_tensor_is_known() -> None:
    """Each is done to a tensor of its own, and changes that or does not."""
    calls: list[tuple[Any, tuple[Any, ...]]] = [
        *((operator.iadd, (1,)), (operator.isub, (1,)), (operator.imul, (2,))),
        *((operator.iand, (0,)), (operator.ior, (1,)), (operator.ixor, (1,))),
        *((operator.ilshift, (1,)), (operator.irshift, (1,)), (operator.imod, (1,))),
        *((operator.ipow, (2,)), (operator.ifloordiv, (3,))),
        *((operator.setitem, (0, 9)), (operator.add, (1,)), (operator.or_, (1,))),
        *((torch.add, (1,)), (torch.neg_, ()), (torch.neg, ())),
        *((torch.ops.aten.add_.Tensor, (torch.ones(1).int(),)),),
    ]
    for function, arguments in calls:
        graph = fx.Graph()
        node = graph.call_function(function, (graph.placeholder("x"), *arguments))
        x = torch.tensor([2, 4, 6], dtype=torch.int32)
        function(x, *arguments)
        changed = x.tolist() != [2, 4, 6]
        assert writes(fx.GraphModule({}, graph), node) == changed, function
