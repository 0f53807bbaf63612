"""However an operation is written, it reads the same; what differs is not read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations

from nestgen.fusion.operations import Operation
from nestgen.fusion.work import Work
from nestgen.surgery.cut_any import WAYS

Does = type[nn.Module]
Make = Callable[[Does], nn.Module]
EXAMPLES = {
    1: torch.ones(2, 4, 12),
    2: torch.ones(2, 4, 8, 12),
    3: torch.ones(2, 4, 4, 6, 8),
}
CONV: dict[int, Any] = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
NUMPY_CAT: Any = torch.concatenate
UP_CONV: dict[int, Any] = {
    1: F.conv_transpose1d,
    2: F.conv_transpose2d,
    3: F.conv_transpose3d,
}
POOL = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}
TORCH_POOL = {1: torch.max_pool1d, 2: torch.max_pool2d, 3: torch.max_pool3d}


def drawn(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


def layer(name: str, dims: int, *arguments: Any, **own: Any) -> nn.Module:
    """A layer of torch's for so many axes, with these tensors."""
    options = {k: own.pop(k) for k in list(own) if not isinstance(own[k], Tensor)}
    made: nn.Module = getattr(nn, f"{name}{dims}d")(*arguments, **options)
    for key, tensor in own.items():
        getattr(made, key).data.copy_(tensor)
    return made.eval()


def told(operation: Operation) -> tuple[str, dict[str, Any]]:
    """All that is said of an operation; nodes are "x", tensors are lists."""

    def plain(value: Any) -> Any:
        if isinstance(value, fx.Node):
            return "x"
        if isinstance(value, tuple):
            return tuple(map(plain, value))
        return value.tolist() if isinstance(value, Tensor) else value

    said = {field.name: getattr(operation, field.name) for field in fields(operation)}
    return type(operation).__name__, {k: plain(value) for k, value in said.items()}


def found(work: Work) -> list[tuple[str, dict[str, Any]]]:
    return [told(one) for _, one in work.operations() if one is not None]


def conv_spellings(dims: int) -> list[Make]:
    weight, bias = drawn(6, 2, *(3,) * dims), drawn(6)
    conv = CONV[dims]
    own = {"weight": nn.Parameter(weight), "bias": nn.Parameter(bias)}
    stride = (2, *(1,) * (dims - 1))
    options = {"stride": stride, "padding": 1, "dilation": 2, "groups": 2}
    return [
        lambda does: layer(
            "Conv", dims, 4, 6, 3, **options, weight=weight, bias=bias
        ),
        lambda does: does(
            lambda m, x: conv(x, m.weight, m.bias, stride, 1, 2, 2), **own
        ),
        lambda does: does(
            lambda m, x: conv(
                x, groups=2, bias=m.bias, dilation=[2], padding=(1,) * dims,
                stride=stride, weight=m.weight,
            ),
            **own,
        ),
        lambda does: does(
            lambda m, x: conv(input=x, weight=m.weight, bias=m.bias, **options),
            weight=weight,
            bias=bias,
        ),
    ]  # fmt: skip


def padded_spellings(dims: int, padding: Any, dilation: int) -> list[Make]:
    weight, conv, how = drawn(6, 4, *(3,) * dims), CONV[dims], {"dilation": dilation}
    options = {"bias": False, "weight": weight, **how}
    number = dilation if padding == "same" else 0
    return [
        lambda does: layer("Conv", dims, 4, 6, 3, padding=number, **options),
        lambda does: layer("Conv", dims, 4, 6, 3, padding=padding, **options),
        lambda does: does(
            lambda m, x: conv(x, m.weight, padding=padding, **how), weight=weight
        ),
    ]


def up_conv_spellings(dims: int) -> list[Make]:
    weight, bias = drawn(4, 3, *(3,) * dims), drawn(6)
    conv = UP_CONV[dims]
    own = {"weight": nn.Parameter(weight), "bias": nn.Parameter(bias)}
    return [
        lambda does: layer(
            "ConvTranspose", dims, 4, 6, 3, stride=2, padding=1, output_padding=1,
            groups=2, weight=weight, bias=bias,
        ),
        lambda does: does(lambda m, x: conv(x, m.weight, m.bias, 2, 1, 1, 2, 1), **own),
        lambda does: does(
            lambda m, x: conv(
                x, m.weight, groups=2, output_padding=1, padding=1, bias=m.bias,
                stride=(2,) * dims,
            ),
            **own,
        ),
    ]  # fmt: skip


def norm_spellings(dims: int) -> list[Make]:
    mean, var, weight, bias = drawn(4), drawn(4) ** 2 + 1, drawn(4), drawn(5)[:4]
    own = {"mean": mean, "var": var, "weight": weight, "bias": bias}
    return [
        lambda does: layer(
            "BatchNorm", dims, 4, eps=0.25, running_mean=mean, running_var=var,
            weight=weight, bias=bias,
        ),
        lambda does: does(
            lambda m, x: F.batch_norm(
                x, m.mean, m.var, m.weight, m.bias, m.training, 0.1, 0.25
            ),
            **own,
        ),
        lambda does: does(
            lambda m, x: F.batch_norm(
                x, eps=0.25, bias=m.bias, weight=m.weight, running_var=m.var,
                running_mean=m.mean,
            ),
            **own,
        ),
    ]  # fmt: skip


def pool_spellings(dims: int) -> list[Make]:
    pool, twos = POOL[dims], (2,) * dims
    return [
        lambda does: layer("MaxPool", dims, 2),
        lambda does: layer("MaxPool", dims, twos, stride=2, padding=(0,) * dims),
        lambda does: does(lambda m, x: pool(x, 2)),
        lambda does: does(lambda m, x: pool(x, kernel_size=twos, stride=twos)),
        lambda does: does(lambda m, x: TORCH_POOL[dims](x, 2)),
    ]


def each(*functions: Callable[[Any, Tensor], Any]) -> list[Make]:
    """Modules that call one each on a tensor of their own."""
    return [
        partial(lambda does, f: does(lambda m, x: f(m, x + 1)), f=f) for f in functions
    ]


def up_spellings(mode: str, aligned: bool | None) -> list[Make]:
    how: dict[str, Any] = {"mode": mode, "align_corners": aligned}
    made: list[Make] = [
        lambda does: nn.Upsample(scale_factor=2, **how),
        lambda does: nn.Upsample(scale_factor=(2.0, 2.0), **how),
        *each(
            lambda m, x: F.interpolate(x, scale_factor=2, **how),
            lambda m, x: F.interpolate(x, None, 2.0, mode, aligned),
            lambda m, x: F.interpolate(**how, scale_factor=(2, 2), input=x),
        ),
    ]
    if mode == "nearest":
        made += [lambda does: nn.UpsamplingNearest2d(scale_factor=2)]
        made += each(lambda m, x: F.interpolate(x, scale_factor=2.0))
    elif aligned:
        made += [lambda does: nn.UpsamplingBilinear2d(scale_factor=2)]
    else:
        made += each(lambda m, x: F.interpolate(x, None, 2, mode))
    return made


ACT: list[Make] = [
    lambda does: nn.ReLU(),
    lambda does: does(lambda m, x: m.act(x + 1), act=nn.ReLU(inplace=True)),
    *each(
        lambda m, x: F.relu(x),
        lambda m, x: F.relu(x, True),
        lambda m, x: F.relu(input=x, inplace=True),
        lambda m, x: F.relu_(x),
        lambda m, x: torch.relu(x),
        lambda m, x: torch.relu_(x),
        lambda m, x: x.relu(),
        lambda m, x: x.relu_(),
    ),
]
LEAKY: list[Make] = [
    lambda does: nn.LeakyReLU(0.25),
    lambda does: does(lambda m, x: m.act(x + 1), act=nn.LeakyReLU(0.25, inplace=True)),
    *each(
        lambda m, x: F.leaky_relu(x, 0.25),
        lambda m, x: F.leaky_relu(x, negative_slope=0.25, inplace=True),
        lambda m, x: F.leaky_relu_(x, 0.25),
        lambda m, x: F.leaky_relu(inplace=False, negative_slope=0.25, input=x),
    ),
]
LEAKY_AS_IS = [
    lambda does: nn.LeakyReLU(),
    *each(lambda m, x: F.leaky_relu(x), lambda m, x: F.leaky_relu(x, inplace=True)),
]
CAT = each(
    lambda m, x: torch.cat([x, x, x], 1),
    lambda m, x: torch.cat((x, x, x), dim=1),
    lambda m, x: torch.cat(dim=1, tensors=[x, x, x]),
    lambda m, x: torch.concat([x, x, x], 1),
    lambda m, x: NUMPY_CAT([x, x, x], axis=1),
)
ALL: dict[str, tuple[str, dict[str, Any], int, list[Make]]] = {
    "relu": ("Act", {"slope": 0.0}, 2, ACT),
    "leaky relu": ("Act", {"slope": 0.25}, 2, LEAKY),
    "leaky relu as it is": ("Act", {"slope": 0.01}, 2, LEAKY_AS_IS),
    "cat": ("Concatenation", {"parts": ("x", "x", "x")}, 2, CAT),
    "nearest": ("Up", {"mode": "nearest"}, 2, up_spellings("nearest", None)),
    "bilinear": ("Up", {"mode": "bilinear"}, 2, up_spellings("bilinear", False)),
    "aligned": ("Up", {"mode": "bilinear-aligned"}, 2, up_spellings("bilinear", True)),
    "nearest-1": ("Up", {"mode": "nearest"}, 1, [lambda does: nn.Upsample(None, 2)]),
    "nearest-3": ("Up", {"mode": "nearest"}, 3, [lambda does: nn.Upsample(None, 2)]),
}
for axes in (1, 2, 3):
    for padding, dilation in (("same", 2), ("valid", 1)):
        ALL[f"{padding}-{axes}"] = (
            "Convolution",
            {
                "stride": (1,) * axes,
                "padding": (2 if padding == "same" else 0,) * axes,
                "dilation": (dilation,) * axes,
                "groups": 1,
                "transposed": False,
                "output_padding": (),
                "weight": drawn(6, 4, *(3,) * axes).tolist(),
                "bias": None,
            },
            axes,
            padded_spellings(axes, padding, dilation),
        )
    ALL[f"conv-{axes}"] = (
        "Convolution",
        {
            "stride": (2, *(1,) * (axes - 1)),
            "padding": (1,) * axes,
            "dilation": (2,) * axes,
            "groups": 2,
            "transposed": False,
            "output_padding": (),
            "weight": drawn(6, 2, *(3,) * axes).tolist(),
            "bias": drawn(6).tolist(),
        },
        axes,
        conv_spellings(axes),
    )
    ALL[f"transposed-{axes}"] = (
        "Convolution",
        {
            "stride": (2,) * axes,
            "padding": (1,) * axes,
            "dilation": (1,) * axes,
            "groups": 2,
            "transposed": True,
            "output_padding": (1,) * axes,
            "weight": drawn(4, 3, *(3,) * axes).tolist(),
            "bias": drawn(6).tolist(),
        },
        axes,
        up_conv_spellings(axes),
    )
    ALL[f"norm-{axes}"] = (
        "Norm",
        {
            "mean": drawn(4).tolist(),
            "var": (drawn(4) ** 2 + 1).tolist(),
            "weight": drawn(4).tolist(),
            "bias": drawn(5)[:4].tolist(),
            "eps": 0.25,
            "training": False,
        },
        axes,
        norm_spellings(axes),
    )
    ALL[f"pool-{axes}"] = ("Pool", {}, axes, pool_spellings(axes))


def wanted(name: str) -> tuple[str, dict[str, Any]]:
    kind, says, _, _ = ALL[name]
    return kind, says if kind == "Concatenation" else {"x": "x", **says}


@pytest.mark.parametrize("name", ALL)
def test_every_spelling_reads_the_same(
    name: str, does: Does, work_of: Callable[..., Work]
) -> None:
    _, _, dims, spellings = ALL[name]
    for make in spellings:
        module = nn.Sequential(make(does)).eval()
        assert found(work_of(module, EXAMPLES[dims])) == [wanted(name)]


@pytest.mark.parametrize("dims", EXAMPLES)
def test_every_spelling_reads_the_same_as_operators(
    dims: int, does: Does, work_of: Callable[..., Work]
) -> None:
    """All of them in one network, since torch.export takes its time."""
    names = [name for name, (_, _, axes, _) in ALL.items() if axes == dims]
    made = [make(does) for name in names for make in ALL[name][3]]
    module = does(lambda m, x: [one(x) for one in m.made], made=nn.ModuleList(made))
    assert found(work_of(module.eval(), EXAMPLES[dims], "torch.export")) == [
        wanted(name) for name in names for _ in ALL[name][3]
    ]


NOTHING = each(
    lambda m, x: F.dropout(x, 0.5, m.training),
    lambda m, x: F.dropout(x, p=0.5, inplace=True, training=False),
    lambda m, x: F.dropout2d(x, 0.5, m.training),
)
NOTHING += [
    partial(lambda does, one: one, one=one)
    for one in (nn.Identity(), nn.Dropout(), nn.Dropout2d(0.5, inplace=True))
]


def test_what_does_nothing(does: Does, work_of: Callable[..., Work]) -> None:
    for make in NOTHING:
        assert found(work_of(nn.Sequential(make(does)).eval(), EXAMPLES[2])) == [
            ("Same", {"x": "x", "copied": False})
        ]
    pads = does(lambda m, x: F.pad(x, (0, 0, 0, 0)))
    for way in WAYS:
        assert found(work_of(pads, EXAMPLES[2], way)) == [
            ("Same", {"x": "x", "copied": True})
        ]


def hooked(module: nn.Module, before: bool) -> nn.Module:
    if before:
        module.register_forward_pre_hook(lambda module, inputs: (inputs[0] * 2,))
    else:
        module.register_forward_hook(lambda module, inputs, output: output * 2)
    return module


def hooked_backward(module: nn.Module, before: bool) -> nn.Module:
    if before:
        module.register_full_backward_pre_hook(lambda module, gradients: None)
    else:
        module.register_full_backward_hook(lambda module, into, out: None)
    return module


def patched(module: nn.Module) -> nn.Module:
    module.forward = lambda x: x * 3
    return module


def computed(does: Does) -> nn.Module:
    weight = nn.Parameter(drawn(4, 4, 1, 1))
    return does(lambda m, x: F.conv2d(x, m.weight * 2), weight=weight)


def by_size(does: Does) -> nn.Module:
    return does(lambda m, x: F.max_pool2d(x, x.shape[2] // 4))


UNREAD: dict[str, Make] = {
    "padding mode": lambda does: nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect"),
    "more padding on one side": lambda does: nn.Conv2d(4, 4, 4, padding="same"),
    "more padding on one side, called": lambda does: does(
        lambda m, x: F.conv2d(x, m.weight, padding="same"), weight=drawn(4, 4, 3, 2)
    ),
    "a forward hook": lambda does: hooked(nn.Conv2d(4, 4, 3), before=False),
    "a hook before": lambda does: hooked(nn.Conv2d(4, 4, 3), before=True),
    "a backward hook": lambda does: hooked_backward(nn.Conv2d(4, 4, 3), before=False),
    "one before": lambda does: hooked_backward(nn.Conv2d(4, 4, 3), before=True),
    "a hook of a norm": lambda does: hooked(nn.BatchNorm2d(4), before=False),
    "another forward": lambda does: patched(nn.Conv2d(4, 4, 3)),
    "weight norm": lambda does: parametrizations.weight_norm(nn.Conv2d(4, 4, 3)),
    "a computed weight": computed,
    "no running statistics": lambda does: nn.BatchNorm2d(
        4, track_running_stats=False
    ),
    "statistics of the batch": lambda does: does(
        lambda m, x: F.batch_norm(x, None, None, training=True)
    ),
    "a computed statistic": lambda does: does(
        lambda m, x: F.batch_norm(x, x.mean((0, 2, 3)), m.var), var=drawn(4) ** 2
    ),
    "ceil mode": lambda does: nn.MaxPool2d(2, ceil_mode=True),
    "ceil mode, called": lambda does: does(
        lambda m, x: F.max_pool2d(x, 2, ceil_mode=True)
    ),
    "overlapping pools": lambda does: nn.MaxPool2d(3, 2, 1),
    "pools with a stride of 1": lambda does: nn.MaxPool2d(2, 1),
    "dilated pools": lambda does: nn.MaxPool2d(2, dilation=2),
    "padded pools": lambda does: does(lambda m, x: F.max_pool2d(x, 2, 2, 1)),
    "pools by size": by_size,
    "pools by axis": lambda does: nn.MaxPool2d((1, 2)),
    "average": lambda does: nn.AvgPool2d(2),
    "up 3": lambda does: nn.Upsample(scale_factor=3),
    "up by axis": lambda does: nn.Upsample(scale_factor=(1, 2)),
    "up to a size": lambda does: nn.Upsample(size=(16, 24)),
    "up to a size, called": lambda does: does(
        lambda m, x: F.interpolate(x, (16, 24), mode="bilinear")
    ),
    "bicubic": lambda does: nn.Upsample(scale_factor=2, mode="bicubic"),
    "antialias": lambda does: does(
        lambda m, x: F.interpolate(
            x, None, 2, "bilinear", False, antialias=True
        )
    ),
    "a factor anew": lambda does: nn.Upsample(
        scale_factor=2, recompute_scale_factor=True
    ),
    "a factor anew, called": lambda does: does(
        lambda m, x: F.interpolate(x, scale_factor=2, recompute_scale_factor=True)
    ),
    "cat of rows": lambda does: does(lambda m, x: torch.cat([x, x], 2)),
    "cat of images": lambda does: does(lambda m, x: torch.cat([x, x])),
    "cat from behind": lambda does: does(lambda m, x: torch.cat([x, x], dim=-1)),
    "into another": lambda does: does(
        lambda m, x: torch.cat([x, x], 1, out=x.new_empty(0))
    ),
    "dropout in training mode": lambda does: does(lambda m, x: F.dropout(x, 0.0)),
    "padding by something": lambda does: does(lambda m, x: F.pad(x, (0, 0, 0, 1))),
    "padding by size": lambda does: does(
        lambda m, x: F.pad(x, (0, x.shape[2] % 2, 0, 0))
    ),
    "an index of several numbers": lambda does: does(
        lambda m, x: x * m.table[m.index].sum(),
        table=nn.Parameter(drawn(4)),
        index=torch.tensor([2, 0, 1]),
    ),
    "a list": lambda does: does(lambda m, x: m.same([x, x])[1], same=nn.Identity()),
    "a second result": lambda does: does(lambda m, x: torch.std_mean(x, 1)[0]),
    "prelu": lambda does: nn.PReLU(),
    "relu6": lambda does: nn.ReLU6(),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
@pytest.mark.parametrize("name", UNREAD)
def test_what_differs_is_not_read(
    name: str, does: Does, work_of: Callable[..., Work]
) -> None:
    assert found(work_of(nn.Sequential(UNREAD[name](does)).eval(), EXAMPLES[2])) == []


def test_a_module_called_by_keyword_is_not_read(
    does: Does, work_of: Callable[..., Work]
) -> None:
    called = does(lambda m, x: m.conv(input=x), conv=nn.Conv2d(4, 4, 1))
    sized = does(lambda m, x: m.up(x, [17, 25]), up=nn.ConvTranspose2d(4, 4, 2, 2))
    for module in (called, sized):
        assert found(work_of(module, EXAMPLES[2])) == []


def test_a_norm_in_training_mode_says_so(
    does: Does, work_of: Callable[..., Work]
) -> None:
    norm = does(
        lambda m, x: F.batch_norm(x, m.mean, m.var, training=True),
        mean=torch.zeros(4),
        var=torch.ones(4),
    )
    ((kind, says),) = found(work_of(norm, EXAMPLES[2]))
    assert (kind, says["training"]) == ("Norm", True)


def test_one_image_without_a_batch_is_not_read(
    does: Does, work_of: Callable[..., Work]
) -> None:
    """Of [C, H, W] the second axis is no channels, to a norm or a concatenation."""
    conv = nn.Sequential(nn.Conv2d(4, 8, 3, padding=1))
    assert len(found(work_of(conv, EXAMPLES[2]))) == 1
    assert found(work_of(conv, EXAMPLES[2][0])) == []
