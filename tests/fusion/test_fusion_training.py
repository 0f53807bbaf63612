"""A network that trains with less memory is the network, in values and gradients."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.saved import saved_bytes_at
from nestgen.arch.spec import NestSpec
from nestgen.codegen.load import build
from nestgen.errors import ModuleError
from nestgen.fusion.training import FusedTraining, fuse_training
from nestgen.surgery.kept import output_tensors

SPECS: dict[str, dict[str, Any]] = {
    "default": {},
    "nearest": {"up": "nearest", "concat": "up-last"},
    "bilinear": {"up": "bilinear"},
    "aligned": {"up": "bilinear-aligned"},
    "leaky": {"block": {"norm": "batch", "activation": "leaky_relu"}},
    "no norm": {"block": {"norm": "none"}},
    "group norm": {"block": {"norm": "group", "groups": 2}},
    "dropout": {"block": {"norm": "batch", "dropout": 0.5}},
    "residual": {"block": {"norm": "batch", "kind": "residual"}},
    "gates": {"skip": "gate"},
    "squeeze": {"skip": "se"},
}


def network(**fields: Any) -> nn.Module:
    torch.manual_seed(0)
    return build(NestSpec(**{"depth": 2, "widths": 4, **fields})).train()


def step(module: nn.Module, own: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """Outputs, gradients and buffers of `own` after a step of `module`."""
    torch.manual_seed(1)
    own.zero_grad()
    outputs = output_tensors(module(x))
    torch.autograd.backward(sum(y.float().square().sum() for y in outputs.values()))
    gradients = {f"grad {n}": p.grad for n, p in own.named_parameters()}
    found = {**outputs, **gradients, **dict(own.named_buffers())}
    return {name: x.detach().clone() for name, x in found.items() if x is not None}


@pytest.mark.parametrize("name", SPECS)
def test_outputs_gradients_and_statistics_are_the_networks(name: str) -> None:
    # dropout draws in the order of memory
    plain: Any = network(**SPECS[name]).double()
    plain = plain.to(memory_format=torch.channels_last)
    x = torch.randn(2, 3, 9, 14, dtype=torch.float64)
    x = x.contiguous(memory_format=torch.channels_last)
    own = copy.deepcopy(plain)
    fused = fuse_training(own, torch.randn(2, 3, 8, 8))
    for _ in range(2):
        expected, ours = step(plain, plain, x), step(fused, own, x)
        assert expected.keys() == ours.keys()
        for key, value in expected.items():
            torch.testing.assert_close(ours[key], value, rtol=1e-7, atol=1e-9, msg=key)


@pytest.mark.parametrize("up", ["transpose", "nearest", "bilinear"])
def test_keeps_a_third_of_the_bytes_at_most(up: str) -> None:
    """Of L1 to L4 under deep supervision."""
    whole = network(depth=4, widths=[8, 16, 32, 64, 128], up=up)
    fused = fuse_training(whole, torch.randn(2, 3, 32, 32))
    assert len(whole(torch.randn(2, 3, 64, 64))) == 4
    for shape, dtype in [
        ((2, 3, 64, 64), torch.float32),
        ((8, 3, 512, 512), torch.float32),
        ((8, 3, 512, 512), torch.bfloat16),
    ]:
        kept = [saved_bytes_at(one, shape, dtype) for one in (fused, whole)]
        assert 3 * kept[0] <= kept[1]


def test_keeps_each_output_of_a_convolution_once_and_no_more() -> None:
    """y1 and y2 of each node and the image; vectors by channels beside them."""
    whole = network(depth=2, widths=[4, 8, 16])
    fused = fuse_training(whole, torch.randn(2, 3, 16, 16))
    pixels = [2 * 64 * 64 // 4**row for row in range(3)]
    channels = [3 + 3 * 2 * 4, 2 * 2 * 8, 2 * 16]
    images = 4 * sum(p * c for p, c in zip(pixels, channels, strict=True))
    vectors = saved_bytes_at(fused, (2, 3, 64, 64)) - images
    assert 0 < vectors < images / 50


def test_rounds_at_most_twice_as_much_in_bfloat16() -> None:
    own = network(depth=3, widths=8)
    exact = copy.deepcopy(own).double()
    fused = fuse_training(own, torch.randn(2, 3, 16, 16))
    x = torch.randn(4, 3, 32, 32)
    right = step(exact, exact, x.double())
    with torch.autocast("cpu", torch.bfloat16):
        plain = copy.deepcopy(own)
        theirs, ours = step(plain, plain, x), step(fused, own, x)
    for kind in ("grad", "L", "running"):
        errors = [
            sum(
                (found[key].double() - value.double()).square().sum()
                / value.double().square().sum()
                for key, value in right.items()
                if kind in key
            )
            for found in (ours, theirs)
        ]
        assert errors[0] <= 4 * errors[1], kind


def test_torch_compile_gives_the_same() -> None:
    own = network(depth=1)
    fused = fuse_training(own, torch.randn(2, 3, 8, 8))
    x = torch.randn(2, 3, 8, 8)
    expected = step(fused, own, x)
    compiled: Any = torch.compile(fused, backend="aot_eager")
    ours = step(compiled, own, x)
    for key, value in expected.items():
        if "grad" in key or key.startswith("L"):
            torch.testing.assert_close(ours[key], value)


def test_is_the_network_itself_in_eval_mode() -> None:
    own = network()
    fused = fuse_training(own, torch.randn(2, 3, 8, 8)).eval()
    assert not own.training
    x = torch.randn(1, 3, 8, 8)
    assert all(torch.equal(y, own(x)[level]) for level, y in fused(x).items())
    assert {*map(id, fused.parameters())} == {*map(id, own.parameters())}


def test_follows_what_becomes_of_the_network() -> None:
    own = network()
    fused = fuse_training(own, torch.randn(2, 3, 8, 8))
    own.double()
    own.load_state_dict(network(depth=2).state_dict())
    plain = copy.deepcopy(own)
    x = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    expected, ours = step(plain, plain, x), step(fused, own, x)
    for key, value in expected.items():
        torch.testing.assert_close(ours[key], value)
    before = copy.deepcopy(own.state_dict())
    twin = copy.deepcopy(fused)
    twin(x)
    moved = twin.network.state_dict()
    assert all(torch.equal(x, before[name]) for name, x in own.state_dict().items())
    assert not all(torch.equal(x, before[name]) for name, x in moved.items())


@pytest.mark.parametrize("how", ["frozen", "cumulative", "plain", "untracked"])
def test_takes_batch_norms_as_they_are(how: str) -> None:
    plain = network()
    for module in plain.modules():
        if isinstance(module, nn.BatchNorm2d):
            if how == "frozen":
                module.eval()
            if how == "cumulative":
                module.momentum = None
            if how == "plain":
                module.affine = False
                module.register_parameter("weight", None)
                module.register_parameter("bias", None)
            if how == "untracked":
                module.running_mean = module.running_var = None
                module.track_running_stats = False
    own = copy.deepcopy(plain)
    fused = fuse_training(own, torch.randn(2, 3, 8, 8))
    x = torch.randn(2, 3, 8, 8)
    for _ in range(2):
        expected, ours = step(plain, plain, x), step(fused, own, x)
        for key, value in expected.items():
            torch.testing.assert_close(ours[key], value, rtol=1e-4, atol=1e-4, msg=key)


@pytest.mark.parametrize("on", [True, False])
def test_dropout_is_asked_for_its_mode_when_it_runs(on: bool) -> None:
    own: Any = network(**SPECS["dropout"]).double()
    own = own.to(memory_format=torch.channels_last)
    dropouts = [module for module in own.modules() if isinstance(module, nn.Dropout)]
    for module in dropouts:
        module.train(not on)
    fused = fuse_training(own, torch.randn(2, 3, 8, 8))
    for module in dropouts:
        module.train(on)
    plain, x = copy.deepcopy(own), torch.randn(2, 3, 8, 8, dtype=torch.float64)
    x = x.contiguous(memory_format=torch.channels_last)
    expected, ours = step(plain, plain, x), step(fused, own, x)
    for key, value in expected.items():
        torch.testing.assert_close(ours[key], value, rtol=1e-7, atol=1e-9, msg=key)
    first, second = output_tensors(fused(x)), output_tensors(fused(x))
    assert any(not torch.equal(y, second[name]) for name, y in first.items()) == on


def test_tells_what_is_fused_and_why_not_elsewhere() -> None:
    rows = fuse_training(Others(), torch.randn(2, 3, 8, 8)).rows
    left = {row.name: row.left for row in rows if row.left}
    assert [*left] == ["stem", "norm", "group.0"]
    assert left["stem"][0].startswith("its kernel is 7x7, its stride 1")
    assert left["norm"] == ["it reads no fused convolution"]
    assert {row.name for row in rows if row.done} == {"conv", "head", "group.1"}


class Others(nn.Module):
    """Layers of which not all can be fused, and functions."""

    offset: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 7, padding=3)
        self.norm = nn.BatchNorm2d(4)
        self.conv = nn.Conv2d(8, 4, 3, padding=1)
        self.group = nn.Sequential(
            nn.Conv2d(4, 4, 3, padding=1, groups=2), nn.Conv2d(4, 4, 1)
        )
        self.head = nn.Conv2d(4, 1, 1)
        self.scale = nn.Parameter(torch.ones(1))
        self.register_buffer("offset", torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        x = F.leaky_relu(self.norm(self.stem(x)), 0.2)
        pooled = F.interpolate(F.max_pool2d(x, 2), scale_factor=2)
        y = self.conv(torch.cat([x, F.relu(pooled)], 1)).relu()
        z: Tensor = self.head(self.group(y) + y)
        return z * self.scale + self.offset


class Changing(Others):
    """It decides in Python, by what is no tensor."""

    calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return super().forward(x) * self.calls


class WritingOver(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        z: Tensor = self.head(y)
        return z + F.relu(y, inplace=True)


class Dropping(nn.Module):
    """Does what torch.fx leaves out, since what it traces with is no tensor."""

    def __init__(self, twice: bool) -> None:
        super().__init__()
        self.twice = twice
        self.conv = nn.Conv2d(6 if twice else 3, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        known = isinstance(x, Tensor)
        y: Tensor = self.conv(torch.cat([x, x], 1) if known and self.twice else x)
        return y + 1 if known else y


class Deciding(nn.Conv2d):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) if x.sum() > 0 else x


class Frozen(nn.Module):
    """Of its convolution no gradient is taken, whoever trains it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 3, 3, padding=1), nn.Conv2d(3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            y = self.conv(x)
        z: Tensor = self.head(y.relu())
        return z


def hooked() -> nn.Module:
    own = network()
    own.get_submodule("x0_0").register_forward_hook(lambda *_: None)
    return own


@pytest.mark.parametrize(
    ("own", "words"),
    [
        (Others().eval(), "is in eval mode, call train"),
        (Changing(), "another once the network is fused"),
        (WritingOver(), "relu: writes over conv, which is read elsewhere too"),
        (Frozen(), "the gradient of conv.weight is another once the network is fused"),
        (Deciding(3, 3, 1), "torch.fx cannot follow Deciding: TraceError"),
        (Dropping(True), "torch.fx does not follow Dropping .RuntimeError: Given"),
        (Dropping(False), "torch.fx does not follow Dropping: its trace gives others"),
        (hooked(), "x0_0 has hooks, and is not followed"),
        (nn.Sequential(nn.Conv2d(3, 3, 5)), "can be fused for training, its kernel is"),
        (nn.Sequential(nn.ReLU()), "it has no convolution"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_refuses_in_a_line(own: nn.Module, words: str) -> None:
    with pytest.raises(ModuleError, match=words):
        fuse_training(own, torch.randn(2, 3, 8, 8))


@pytest.mark.parametrize(
    ("example", "words"),
    [
        (None, "example: a NoneType is not allowed, a tensor or a tuple of tensors"),
        ([torch.randn(2, 3, 8, 8)], "example: a list is not allowed"),
        (torch.randn(2, 5, 8, 8), "does not train on the example .RuntimeError: Given"),
        (torch.randn(3, 8), "does not train on the example .*Error"),
    ],
    ids=str,
)
def test_refuses_an_example_in_a_line(example: Any, words: str) -> None:
    with pytest.raises(ModuleError, match=words) as raised:
        fuse_training(network(depth=1), example)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("kind", ["backward", "backward_pre"])
def test_hooks_of_gradients_are_called(kind: str) -> None:
    own = network(depth=1)
    seen: list[Any] = []
    layer = own.get_submodule("x0_1.conv1")
    getattr(layer, f"register_full_{kind}_hook")(lambda *given: seen.append(given))
    fused = fuse_training(own, torch.randn(2, 3, 8, 8))
    seen.clear()
    step(fused, own, torch.randn(2, 3, 8, 8))
    assert len(seen) == 1
    assert [row.name for row in fused.rows if row.left] == ["x0_1.norm1"]


class Normalizing(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        z: Tensor = self.head(y.relu())
        return z * F.normalize(y)  # which is called with out=None


def test_what_may_write_over_something_and_does_not() -> None:
    fused = fuse_training(Normalizing(), torch.randn(2, 3, 8, 8))
    assert [row.left for row in fused.rows] == [[], []]


class Viewing(nn.Module):
    """It views in one way what it convolves, as the layout of its weights allows."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.linear = nn.Conv2d(3, 4, 3, padding=1), nn.Linear(4 * 64, 2)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        z: Tensor = self.linear(y.relu().view(x.shape[0], -1))
        return z


def test_views_what_is_laid_out_in_another_way() -> None:
    own, x = Viewing(), torch.randn(2, 3, 8, 8)
    fused = fuse_training(own, x)
    plain = copy.deepcopy(own)
    expected, ours = step(plain, plain, x), step(fused, own, x)
    for key, value in expected.items():
        torch.testing.assert_close(ours[key], value, rtol=1e-5, atol=1e-5, msg=key)


def test_views_of_a_network_that_is_channels_last() -> None:
    own: Any = Viewing()
    own = own.to(memory_format=torch.channels_last)
    x = torch.randn(2, 3, 8, 8)
    contiguous = copy.deepcopy(own).to(memory_format=torch.contiguous_format)
    torch.testing.assert_close(fuse_training(own, x)(x), contiguous(x))


def test_an_empty_batch_is_the_networks() -> None:
    own = network(depth=1)
    fused = fuse_training(own, torch.randn(2, 3, 8, 8))
    plain, x = copy.deepcopy(own), torch.randn(0, 3, 8, 8)
    expected, ours = step(plain, plain, x), step(fused, own, x)
    assert expected.keys() == ours.keys()
    for key, value in expected.items():
        torch.testing.assert_close(ours[key], value, msg=key)


def test_volumes_are_not_fused() -> None:
    with pytest.raises(
        ModuleError, match="can be fused for training, its kernel is 3x3x"
    ):
        fuse_training(network(dims=3, depth=1), torch.randn(2, 3, 8, 8, 8))


def test_says_that_one_value_has_no_variance() -> None:
    fused = FusedTraining(network(depth=1))
    with pytest.raises(ValueError, match="more than one value in a channel"):
        fused(torch.randn(1, 3, 2, 2))
