"""A fused network is the network, whatever it is; what cannot be is refused."""

from __future__ import annotations

import copy
import importlib.util
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils._pytree import tree_flatten

from nestgen.arch.spec import NestSpec
from nestgen.codegen.load import build
from nestgen.errors import ModuleError
from nestgen.fusion import fuse as fusing
from nestgen.fusion.fuse import fuse
from nestgen.fusion.fused import Fused
from nestgen.surgery.cut import prune
from nestgen.surgery.outside import load_class

Lived = Callable[[nn.Module], nn.Module]
Does = type[nn.Module]
TESTS = Path(__file__).parents[1]
PORTS: dict[str, Any] = load_class(f"{TESTS / 'surgery' / 'ports.py'}:PORTS")
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
SMALL: dict[str, Any] = {"depth": 2, "widths": 2, "in_channels": 2}


def noise(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def both(module: nn.Module, fused: nn.Module, x: Tensor) -> Iterator[tuple[Any, Any]]:
    """What both give, leaf by leaf, in structures that are the same."""
    before = x.clone()
    with torch.no_grad():
        theirs, how = tree_flatten(module(x.clone()))
        ours, same = tree_flatten(fused(x))
    assert torch.equal(before, x), "the input stays as it is"
    assert same == how
    for one, other in zip(theirs, ours, strict=True):
        assert type(one) is type(other)
        if isinstance(one, Tensor):
            assert (one.shape, one.dtype) == (other.shape, other.dtype)
        yield one, other


def check_same(
    module: nn.Module, fused: nn.Module, x: Tensor, within: float = 1e-10
) -> None:
    for one, other in both(module, fused, x):
        if isinstance(one, Tensor):
            assert one.isfinite().all()
            assert (other - one).norm() <= within * one.norm()
        else:
            assert one == other


def check_rounds_alike(module: nn.Module, fused: nn.Module, x: Tensor) -> None:
    """In a low precision: at most twice as far from float64 as the network itself."""
    exact, _ = tree_flatten(copy.deepcopy(module).double()(x.double()))
    for (one, other), wanted in zip(both(module, fused, x), exact, strict=True):
        own = (one.double() - wanted).norm()
        least = torch.finfo(one.dtype).eps * wanted.norm() / 2
        assert (other.double() - wanted).norm() <= 2 * max(own, least)


def norms(module: nn.Module) -> int:
    return sum(isinstance(inside, NORMS) for inside in module.modules())


def folds(fused: Fused) -> int:
    return sum(row.done.count("norm folded") for row in fused.report.rows)


SPECS: dict[str, dict[str, Any]] = {
    "unet++": {"concat": "up-last", "heads": [1, 2]},
    "unet++, newest first": {"concat": "up-first-newest", "depth": 3, "heads": [3]},
    "unet": {"family": "unet", "up": "nearest", "classes": 2},
    "unet-e": {"family": "unet-e", "up": "bilinear", "block": {"bias": True}},
    "unet+": {"family": "unet+", "up": "bilinear-aligned", "trim": True},
    "unet3+": {"family": "unet3+", "up": "bilinear"},
    "residual": {"block": {"kind": "residual", "activation": "leaky_relu"}},
    "preact": {"block": {"kind": "double-preact"}, "up": "nearest"},
    "separable": {"block": {"kind": "separable", "activation": "silu"}},
    "inverted": {"block": {"kind": "inverted", "activation": "relu6"}},
    "convnext": {"block": {"kind": "convnext", "norm": "layer", "activation": "gelu"}},
    "no norm": {"block": {"norm": "none", "dropout": 0.3}},
    "instance": {"block": {"norm": "instance"}, "pad": False},
    "group": {"block": {"norm": "group", "groups": 2, "standardise": True}},
    "standardised": {"block": {"standardise": True}},
    "gate": {"skip": "gate", "up": "pixel-shuffle-blur"},
    "se": {"skip": "se", "up": "pixel-shuffle"},
    "kernels": {"kernel_sizes": [5, 3, 1], "strides": [3, 2]},
    "signals": {"dims": 1, "up": "nearest"},
    "volumes": {"dims": 3, "block": {"activation": "leaky_relu"}},
    "resnet18": {"encoder": "resnet18"},
}


@pytest.mark.parametrize("name", SPECS)
def test_what_nestgen_writes(name: str, lived: Lived) -> None:
    """In float64, on sizes that it has not seen and that do not fit."""
    spec = NestSpec(**{**SMALL, **SPECS[name]})
    module = lived(build(spec)).double()
    sides = {1: (20,), 2: (12, 20), 3: (4, 8, 12)}[spec.dims]
    fused = fuse(module, noise(2, 2, *sides, dtype=torch.float64))
    odd = [side + 3 if spec.pad else 2 * side for side in sides]
    for shape in ((1, 2, *sides), (3, 2, *odd)):
        check_same(module, fused, noise(*shape, seed=1, dtype=torch.float64))
    expected = 0 if name in ("preact", "standardised") else norms(module)
    assert folds(fused) >= expected
    assert norms(fused) == norms(module) - folds(fused)
    assert fused.report.way == "torch.fx"


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_low_precisions(dtype: torch.dtype, lived: Lived) -> None:
    module = lived(build(NestSpec(**SMALL))).to(dtype)
    fused = fuse(module, noise(2, 2, 12, 20, dtype=dtype))
    assert {tensor.dtype for tensor in fused.state_dict().values()} == {dtype}
    check_rounds_alike(module, fused, noise(3, 2, 24, 24, seed=1, dtype=dtype))


def test_a_trimmed_cut(lived: Lived) -> None:
    module = prune(lived(build(NestSpec(**{**SMALL, "depth": 3}))), 2).eval().double()
    fused = fuse(module, noise(2, 2, 8, 8, dtype=torch.float64))
    check_same(module, fused, noise(3, 2, 12, 9, seed=1, dtype=torch.float64))
    assert folds(fused) == norms(module) > 0


def test_an_encoder_of_timm(lived: Lived) -> None:
    pytest.importorskip("timm")
    spec = NestSpec(**{**SMALL, "depth": 1}, encoder="timm:resnet18")
    module = lived(build(spec)).double()
    fused = fuse(module, noise(1, 2, 16, 16, dtype=torch.float64))
    check_same(module, fused, noise(2, 2, 15, 20, seed=1, dtype=torch.float64))
    assert norms(fused) == 0


def original(name: str) -> tuple[nn.Module, tuple[int, ...]]:
    if name == "monai":
        nets = pytest.importorskip("monai.networks.nets")
        made = nets.BasicUNetPlusPlus(
            spatial_dims=2,
            in_channels=1,
            out_channels=1,
            features=(2, 2, 4, 4, 8, 2),
            deep_supervision=True,
            norm="batch",
        )
        return made, (1, 1, 32, 48)
    if name == "4uiiurz1":
        style = TESTS / "foreign" / "nested_unet_style.py"
        made = load_class(f"{style}:SmallNestedUNet")(1, 3, True)
        return made, (1, 3, 16, 32)
    make, shape = PORTS[name]
    return make(), shape


WAY = {"monai": "torch.export", "pads-odd": "torch.export", "by-name": "torch.export"}


@pytest.mark.parametrize("name", ["monai", "4uiiurz1", *PORTS])
def test_networks_of_others(name: str, lived: Lived) -> None:
    module, shape = original(name)
    module = lived(module).double()
    before = {key: tensor.clone() for key, tensor in module.state_dict().items()}
    fused = fuse(module, noise(*shape, dtype=torch.float64))
    unlike = (shape[0] + 1, *shape[1:-1], 2 * shape[-1])
    for size in (shape, unlike):
        check_same(module, fused, noise(*size, seed=1, dtype=torch.float64))
    assert folds(fused) == norms(module)
    assert fused.report.way == WAY.get(name, "torch.fx")
    assert all(torch.equal(before[key], x) for key, x in module.state_dict().items())


def test_what_remains_keeps_its_name(lived: Lived) -> None:
    """Convolutions have a bias for their norm, which is gone; all else is there."""
    module = lived(build(NestSpec(**SMALL)))
    fused = fuse(module, noise(1, 2, 8, 8))
    names = {
        name.removeprefix("inside.")
        for name in fused.state_dict()
        if "fused" not in name
    }
    convolutions = {
        f"{path}.{tensor}"
        for path, inside in module.named_modules()
        if isinstance(inside, (nn.Conv2d, nn.ConvTranspose2d))
        for tensor in ("weight", "bias")
    }
    composed = {
        f"x{name.removeprefix('up').split('.')[0]}.conv1_low.{tensor}"
        for name in convolutions
        if name.startswith("up")
        for tensor in ("weight", "plane")
    }
    assert names == {n for n in convolutions if not n.startswith("up")} | composed
    assert {row.name for row in fused.report.rows if row.done} == {
        path
        for path, inside in module.named_modules()
        if path.endswith(("conv1", "conv2")) or re.fullmatch(r"up\d_\d", path)
    }


def test_any_name_may_be_taken(does: Does, lived: Lived) -> None:
    """Also those of the passes' own."""
    names = ("fused", "fused_0", "fused_1", "fused_2")
    layers: dict[str, nn.Module] = {name: nn.Conv2d(2, 2, 1) for name in names}
    layers["conv"] = nn.Sequential(nn.Conv2d(2, 2, 3), nn.BatchNorm2d(2))

    def calls(m: Any, x: Tensor) -> Any:
        x = m.conv(x)
        return [getattr(m, name)(x) for name in names]

    module = lived(does(calls, **layers)).double()
    fused = fuse(module, noise(1, 2, 8, 8, dtype=torch.float64))
    check_same(module, fused, noise(2, 2, 8, 8, seed=1, dtype=torch.float64))
    assert folds(fused) == 1


def test_the_original_stays_as_it_is(does: Does, lived: Lived) -> None:
    """Bits, flags and hooks; the fused network shares no memory with it."""
    module = lived(build(NestSpec(**SMALL)))
    seen: list[str] = []
    module.register_forward_hook(lambda *given: seen.append("whole"))
    hooks = copy.copy(module._forward_hooks)
    before = {key: tensor.clone() for key, tensor in module.state_dict().items()}
    asked = [tensor.requires_grad for tensor in module.parameters()]
    fused = fuse(module, noise(1, 2, 8, 8))
    assert module._forward_hooks == hooks
    assert [tensor.requires_grad for tensor in module.parameters()] == asked
    assert not any(inside.training for inside in (*module.modules(), *fused.modules()))
    theirs = {x.data_ptr() for x in module.state_dict().values()}
    for key, tensor in module.state_dict().items():
        assert torch.equal(before[key], tensor)
    assert not theirs & {x.data_ptr() for x in fused.state_dict().values()}


STRUCTURES: dict[str, Callable[[Any, Tensor], Any]] = {
    "a tensor": lambda m, x: m.conv(x),
    "a list": lambda m, x: [m.conv(x), x],
    "a tuple": lambda m, x: (m.conv(x),),
    "a dict": lambda m, x: {"b": m.conv(x), "a": x + 1},
    "nested": lambda m, x: {"out": m.conv(x), "aux": [(x.sum(), x), None, "name", 3]},
    "whole numbers": lambda m, x: {"mask": m.conv(x).argmax(1), "any": m.conv(x) > 0},
    "a view": lambda m, x: (m.conv(x)[:, 0], m.conv(x).flatten(1)),
    "nothing but the input": lambda m, x: x,
    "zero": lambda m, x: m.conv(x) * 0,
    "not finite": lambda m, x: m.conv(x).log(),
    "written over": lambda m, x: m.act(m.conv(m.act(x))),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", STRUCTURES)
def test_outputs_come_as_they_came(
    name: str, dtype: torch.dtype, does: Does, lived: Lived
) -> None:
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3))
    act = nn.ReLU(inplace=name == "written over")
    module = lived(does(STRUCTURES[name], conv=layers, act=act)).to(dtype)
    fused = fuse(module, noise(1, 2, 8, 9, dtype=dtype))
    x = noise(3, 2, 10, 7, seed=1, dtype=dtype)
    with torch.no_grad():
        theirs, how = tree_flatten(module(x.clone()))
        ours, same = tree_flatten(fused(x.clone()))
    assert same == how
    for one, other in zip(theirs, ours, strict=True):
        if isinstance(one, Tensor):
            torch.testing.assert_close(other, one, equal_nan=True)
        else:
            assert one == other
    kept = name != "nothing but the input"
    assert [row.done for row in fused.report.rows][:1] == [["norm folded"]] * kept


def hooked(module: nn.Module) -> nn.Module:
    module.register_forward_hook(lambda module, inputs, output: output * 2)
    module.register_forward_pre_hook(lambda module, inputs: (inputs[0] + 1,))
    return module


def size_of(m: Any, x: Tensor) -> Any:
    return {"out": m.conv(x), "size": x.shape[-1]}


def test_hooks_and_odd_layers_stay(does: Does, lived: Lived) -> None:
    """What is not read is called as it was."""
    parts = [
        hooked(nn.Conv2d(2, 4, 3)),
        nn.BatchNorm2d(4),
        nn.utils.parametrizations.weight_norm(nn.Conv2d(4, 4, 3, padding=1)),
        nn.BatchNorm2d(4),
        nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect"),
        hooked(nn.BatchNorm2d(4)),
        nn.Conv2d(4, 4, 1),
        nn.BatchNorm2d(4, track_running_stats=False),
    ]
    module = lived(nn.Sequential(*parts)).double()
    fused = fuse(module, noise(2, 2, 8, 8, dtype=torch.float64))
    check_same(module, fused, noise(2, 2, 8, 8, seed=1, dtype=torch.float64))


def test_what_cannot_be_fused_is_told_in_a_line(does: Does, lived: Lived) -> None:
    x, conv = noise(1, 2, 8, 8), nn.Conv2d(2, 3, 3)

    def counts(m: Any, x: Tensor) -> Any:
        m.calls.add_(1)
        return m.conv(x)

    def looks(m: Any, x: Tensor) -> Any:
        return m.conv(x) if bool(x.sum() > 0) else m.conv(x * 2)

    def single(m: Any, x: Tensor) -> Any:
        return F.conv2d(x, torch.ones(1, 2, 1, 1, dtype=torch.float32))

    dropout = nn.Sequential(nn.Conv2d(2, 3, 3), nn.Dropout()).eval()
    dropout[1].train()
    refused: list[tuple[nn.Module, Any, str]] = [
        (nn.Sequential(conv).train(), x, "module: Sequential is in training mode"),
        (dropout, x, "module: 1 is in training mode, call eval"),
        (does(lambda m, x: m.conv(x) + torch.rand(1), conv=conv), x, "each time"),
        (does(counts, conv=conv, calls=torch.zeros(1)), x, "changes calls"),
        (does(looks, conv=conv), x, "Does cannot be fused: torch.fx: "),
        (does(size_of, conv=conv), x, "what depends on its input"),
        (does(single), x, "does not run in torch.float64"),
        (conv, noise(1, 3, 8, 8), "does not run on the example"),
        (conv, [x], "example: a list is not allowed"),
        (conv, "x", "example: a str is not allowed"),
        (conv, (), "does not run on the example"),
        (does(lambda m, x: 1), x, "module: Does gives no tensor"),
    ]
    for module, example, reason in refused:
        module = module if "training" in reason else module.eval()
        with pytest.raises(ModuleError) as error:
            fuse(module, example)
        assert reason in str(error.value)
        assert "\n" not in str(error.value)
    assert float(refused[3][0].calls) == 0  # type: ignore[arg-type]


def test_sizes_that_the_trace_does_not_know(does: Does, lived: Lived) -> None:
    """They raise, and are not computed by what is true of others."""

    def by_size(m: Any, x: Tensor) -> Any:
        return m.conv(x) if x.shape[2] % 4 == 0 else m.conv(x) * 2

    layers = nn.Sequential(nn.Conv2d(2, 3, 3, padding=1), nn.BatchNorm2d(3))
    module = lived(does(by_size, conv=layers)).double()
    fused = fuse(module, noise(2, 2, 8, 8, dtype=torch.float64))
    assert fused.report.way == "torch.export"
    assert all(shape[2] % 4 == 0 for shape in fused.report.inputs)
    check_same(module, fused, noise(1, 2, 12, 9, seed=1, dtype=torch.float64))
    for shape in ((2, 2, 9, 8), (2, 3, 8, 8), (2, 2, 1, 8)):
        with pytest.raises(ValueError, match="only where "):
            fused(noise(*shape, dtype=torch.float64))


def test_two_inputs(lived: Lived) -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = nn.Sequential(nn.Conv2d(2, 3, 1), nn.BatchNorm2d(3))

        def forward(self, x: Tensor, y: Tensor) -> Tensor:
            z: Tensor = self.a(x) - self.a(y)
            return z

    module, x = lived(Two()).double(), noise(2, 2, 4, 6, dtype=torch.float64)
    fused = fuse(module, (x, x + 1))
    with torch.no_grad():
        torch.testing.assert_close(fused(x, x * 3), module(x, x * 3))


@pytest.fixture(scope="module")
def small(lived: Lived) -> tuple[nn.Module, Fused, Tensor]:
    """A network, fused, and an input of another size than its example's."""
    module = lived(build(NestSpec(**SMALL)))
    return module, fuse(module, noise(2, 2, 8, 12)), noise(2, 2, 12, 8, seed=1)


def test_copies_and_state_dicts(small: tuple[nn.Module, Fused, Tensor]) -> None:
    _, fused, x = small
    twin = copy.deepcopy(fused)
    assert twin.report == fused.report
    with torch.no_grad():
        wanted = fused(x)
        for tensor in twin.state_dict().values():
            tensor.zero_()
        assert twin(x)["L2"].abs().max() == 0
        assert torch.equal(fused(x)["L2"], wanted["L2"]), "a copy shares nothing"
        twin.load_state_dict(fused.state_dict())
        assert torch.equal(twin(x)["L2"], wanted["L2"])


def test_the_report_is_plain_data(small: tuple[nn.Module, Fused, Tensor]) -> None:
    report = small[1].report
    plain = report.to_plain()
    assert [row["name"] for row in plain["rows"]] == [row.name for row in report.rows]
    assert plain["error"] == report.error <= 2
    assert f"on {len(report.inputs)} inputs" in plain["statement"]
    assert report.inputs[0] == (2, 2, 8, 12)


def test_torch_compile(small: tuple[nn.Module, Fused, Tensor]) -> None:
    _, fused, x = small
    compiled = torch.compile(fused, backend="aot_eager", fullgraph=True)
    with torch.no_grad():
        for key, y in compiled(x).items():
            torch.testing.assert_close(y, fused(x)[key])


def test_torch_export(small: tuple[nn.Module, Fused, Tensor]) -> None:
    _, fused, x = small
    with torch.no_grad():
        program = torch.export.export(fused, (x,))
        for key, y in program.module()(x).items():
            torch.testing.assert_close(y, fused(x)[key])


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_onnx(small: tuple[nn.Module, Fused, Tensor], tmp_path: Path) -> None:
    if any(importlib.util.find_spec(name) is None for name in ("onnxruntime", "onnx")):
        pytest.skip("onnx and onnxruntime are not here")
    import onnxruntime

    _, fused, x = small
    with torch.no_grad():
        torch.onnx.export(
            fused, (x,), tmp_path / "fused.onnx", dynamo=True, verbose=False
        )
        wanted = fused(x)
    session = onnxruntime.InferenceSession(tmp_path / "fused.onnx")
    found = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    for y, key in zip(found, wanted, strict=True):
        torch.testing.assert_close(torch.from_numpy(y), wanted[key])


def test_a_folded_weight_that_overflows_is_left_alone() -> None:
    layers = nn.Sequential(nn.Conv2d(2, 3, 3, bias=False), nn.BatchNorm2d(3, eps=1e-12))
    tensors = layers.state_dict()
    tensors["0.weight"].fill_(1000)
    tensors["1.running_var"].fill_(1e-4)
    module, x = layers.half().eval(), noise(1, 2, 8, 8).mul(0.01).half()
    fused = fuse(module, x)
    assert [row.left[0] for row in fused.report.rows] == [
        "its folded weight overflows float16"
    ]
    with torch.no_grad():
        assert torch.equal(fused(x), module(x))
        assert fused(x).isfinite().all()


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_what_is_not_finite_once_it_is_fused_is_refused(
    value: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ruin(work: Any) -> None:
        next(iter(work.traced.parameters())).data.view(-1)[0] = value

    monkeypatch.setattr("nestgen.fusion.fuse.PASSES", (ruin,))
    with pytest.raises(ModuleError, match="output 0 is not finite once it is fused"):
        fuse(nn.Conv2d(2, 3, 3).eval(), noise(1, 2, 8, 8))


def test_weights_stay_contiguous_where_what_follows_views_them(
    does: Does, lived: Lived, capsys: pytest.CaptureFixture[str]
) -> None:
    def classifies(m: Any, x: Tensor) -> Any:
        y: Any = m.conv(x)
        return m.last(y.view(y.shape[0], -1))

    layers = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.ReLU())
    module = lived(does(classifies, conv=layers, last=nn.Linear(108, 2)))
    fused = fuse(module, noise(2, 2, 8, 8))
    check_same(module, fused, noise(3, 2, 8, 8, seed=1), within=1e-5)
    (row,) = fused.report.rows
    assert row.done == ["norm folded"]
    assert capsys.readouterr().err == ""
    assert row.left[-1].startswith("weights stay contiguous: else Does does not run")


@pytest.mark.parametrize(
    ("passes", "reason"),
    [
        (("compose",), "hot paths stay as written: else output"),
        (("fold", "compose"), "norms and hot paths stay as written: else"),
    ],
)
def test_what_is_not_proven_is_left_as_it_is_written(
    passes: tuple[str, ...], reason: str, lived: Lived, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each pass that is made to be wrong here, where it has anything to do."""
    own = fusing.PASSES

    def ruin(work: Any) -> None:
        done = [step for row in work.report for step in row.done]
        folded = any(step == "norm folded" for step in done)
        composed = any("composed" in step for step in done)
        if (folded and "fold" in passes) or (composed and "compose" in passes):
            for tensor in work.traced.parameters():
                tensor.data.fill_(torch.nan)

    monkeypatch.setattr(fusing, "PASSES", (*own, ruin))
    module = lived(build(NestSpec(**{**SMALL, "depth": 1})))
    fused = fuse(module, noise(1, 2, 8, 8))
    check_same(module, fused, noise(1, 2, 12, 8, seed=1), within=1e-5)
    assert all(row.left[-1].startswith(reason) for row in fused.report.rows)
    assert not any("composed" in step for row in fused.report.rows for step in row.done)
    assert (folds(fused) > 0) == ("fold" not in passes)
    monkeypatch.setattr(fusing, "RETREATS", {"": ()})
    with pytest.raises(ModuleError, match="is not finite once it is fused"):
        fuse(module, noise(1, 2, 8, 8))


def test_every_row_says_something() -> None:
    layers = [nn.Conv2d(2, 2, 3, padding=1), nn.Conv2d(2, 2, 1)]
    layers += [nn.Conv2d(2, 2, 3, padding=2, dilation=2)]
    fused = fuse(nn.Sequential(*layers).eval(), noise(1, 2, 8, 8))
    *plain, dilated = fused.report.rows
    assert [row.left for row in plain] == [["nothing to fold or compose"]] * 2
    assert "dilation 2, 1 groups is no conv3x3" in dilated.left[0]


def test_a_network_is_fused_where_no_gradient_can_follow() -> None:
    model, x = build(NestSpec(**SMALL)).double().eval(), noise(1, 2, 8, 8).double()
    with torch.inference_mode():
        fused = fuse(model, x.clone())
    check_same(model, fused, x)


def test_the_name_of_a_parameter_may_be_the_passes_own() -> None:
    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fused_0 = nn.Parameter(noise(2, 2, 3, 3))
            self.norm = nn.BatchNorm2d(2)

        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = self.norm(F.conv2d(x, self.fused_0))
            return y

    model, x = Own().double().eval(), noise(1, 2, 8, 8).double()
    fused = fuse(model, x)
    check_same(model, fused, x)
    assert folds(fused) == 1


def test_an_example_is_needed() -> None:
    class Alone(nn.Module):
        def forward(self) -> Tensor:
            return torch.zeros(1)

    with pytest.raises(ModuleError, match="example: 0 inputs are not allowed, 1 to 4"):
        fuse(Alone().eval(), ())
