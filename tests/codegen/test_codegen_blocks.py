"""Each block, skip and up-sampling against its equation, written once more by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as fn

from nestgen.arch.spec import NestSpec
from nestgen.codegen.load import build, spec_of

State = dict[str, Tensor]


def network(**fields: Any) -> nn.Module:
    """A network of double precision in eval mode, whose norms have seen something."""
    torch.manual_seed(0)
    model = build(NestSpec(depth=1, widths=[4, 6], **fields)).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn_like(parameter))
        model.train()(image(model))
    return model.eval()


def image(model: nn.Module, side: int = 8) -> Tensor:
    return torch.randn(4, 3, *[side] * spec_of(model).dims).double()


def part(model: nn.Module, name: str) -> tuple[nn.Module, State]:
    module = model.get_submodule(name)
    return module, dict(module.state_dict())


def conv(s: State, name: str, x: Tensor, depthwise: bool = False) -> Tensor:
    weight = s[f"{name}.weight"]
    side = weight.shape[-1]
    groups = len(weight) if depthwise else 1
    return fn.conv2d(x, weight, s.get(f"{name}.bias"), padding=side // 2, groups=groups)


def norm(s: State, name: str, x: Tensor) -> Tensor:
    mean, variance = s[f"{name}.running_mean"], s[f"{name}.running_var"]
    return fn.batch_norm(x, mean, variance, s[f"{name}.weight"], s[f"{name}.bias"])


def double(s: State, x: Tensor) -> Tensor:
    x = norm(s, "norm1", conv(s, "conv1", x)).relu()
    return norm(s, "norm2", conv(s, "conv2", x)).relu()


def double_preact(s: State, x: Tensor) -> Tensor:
    x = conv(s, "conv1", norm(s, "norm1", x).relu())
    return conv(s, "conv2", norm(s, "norm2", x).relu())


def residual(s: State, x: Tensor) -> Tensor:
    y = norm(s, "norm1", conv(s, "conv1", x)).relu()
    y = norm(s, "norm2", conv(s, "conv2", y))
    return (norm(s, "norm3", conv(s, "shortcut", x)) + y).relu()


def separable(s: State, x: Tensor) -> Tensor:
    for n in "12":
        x = conv(s, f"pointwise{n}", conv(s, f"depthwise{n}", x, depthwise=True))
        x = norm(s, f"norm{n}", x).relu()
    return x


def inverted(s: State, x: Tensor) -> Tensor:
    def bottleneck(x: Tensor, n: int, first: int) -> Tensor:
        y = norm(s, f"norm{first}", conv(s, f"expand{n}", x)).relu()
        y = norm(s, f"norm{first + 1}", conv(s, f"depthwise{n}", y, True)).relu()
        return norm(s, f"norm{first + 2}", conv(s, f"project{n}", y))

    x = bottleneck(x, 1, 1)
    return x + bottleneck(x, 2, 4)


def convnext(s: State, x: Tensor) -> Tensor:
    x = conv(s, "enter", x)
    y = norm(s, "norm", conv(s, "depthwise", x, depthwise=True))
    y = conv(s, "project", conv(s, "expand", y).relu())
    return x + s["gain"] * y


EQUATIONS: dict[str, Callable[[State, Tensor], Tensor]] = {
    "double": double,
    "double-preact": double_preact,
    "residual": residual,
    "separable": separable,
    "inverted": inverted,
    "convnext": convnext,
}


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("kind", EQUATIONS)
def test_a_block_is_its_equation(kind: str, bias: bool) -> None:
    model = network(block={"kind": kind, "bias": bias})
    node, state = part(model, "x0_0")
    x = image(model)
    torch.testing.assert_close(node(x), EQUATIONS[kind](state, x))


def test_another_equation_is_seen() -> None:
    model = network(block={"kind": "residual"})
    node, state = part(model, "x0_0")
    x = image(model)
    assert not torch.allclose(node(x), double(state, x))


@pytest.mark.parametrize("kind", ["residual", "inverted", "convnext"])
def test_stochastic_depth(kind: str) -> None:
    """In training a path is left out for a whole image, or grows by 1 / (1 - p)."""
    block = {"kind": kind, "drop_path": 0.75, "norm": "none", "bias": True}
    node, state = part(network(block=block), "x0_0")
    plain, _ = part(network(block={**block, "drop_path": 0.0}), "x0_0")
    plain.load_state_dict(state)
    x = torch.randn(64, 3, 8, 8).double()
    torch.testing.assert_close(node(x), plain(x))
    node.act = plain.act = nn.Identity()  # so that what is added can be told
    whole = plain(x)
    node.train()
    varied = node(x)
    path = plain(x) - rest_of(plain, kind, x)
    factors = (varied - (whole - path)).flatten(1).norm(dim=1) / path.flatten(1).norm(
        dim=1
    )
    kept = factors > 1
    torch.testing.assert_close(factors[kept], torch.full_like(factors[kept], 4.0))
    torch.testing.assert_close(factors[~kept], torch.zeros_like(factors[~kept]))
    assert 0 < kept.sum() < 64


def rest_of(node: nn.Module, kind: str, x: Tensor) -> Tensor:
    """What a block adds its path to."""
    if kind == "residual":
        return node.get_submodule("shortcut")(x)  # type: ignore[no-any-return]
    names = {
        "inverted": ["expand1", "act", "depthwise1", "act", "project1"],
        "convnext": ["enter"],
    }[kind]
    for name in names:
        x = node.get_submodule(name)(x)
    return x


def test_standardised_filters() -> None:
    model = network(block={"standardise": True, "norm": "group", "groups": 2})
    node, state = part(model, "x0_0.conv1")
    x = image(model)
    weight = state["weight"]
    flat = weight.reshape(4, -1)
    mean, deviation = flat.mean(1), flat.std(1, unbiased=False)
    standard = (weight - mean[:, None, None, None]) / (
        deviation[:, None, None, None] + 1e-5
    )
    torch.testing.assert_close(node(x), fn.conv2d(x, standard, padding=1))


def test_layer_norm_is_over_channels() -> None:
    model = network(block={"norm": "layer"})
    node, state = part(model, "x0_0.norm1")
    x = torch.randn(2, 4, 5, 7).double()
    moved = fn.layer_norm(
        x.permute(0, 2, 3, 1), (4,), state["weight"], state["bias"]
    ).permute(0, 3, 1, 2)
    torch.testing.assert_close(node(x), moved)


def test_squeeze_and_excite() -> None:
    model = network(skip="se")
    node, state = part(model, "skip0_0_1")
    x = torch.randn(2, 4, 6, 6).double()
    mean = x.mean((2, 3), keepdim=True)
    weight = conv(state, "excite", conv(state, "squeeze", mean).relu()).sigmoid()
    torch.testing.assert_close(node(x), x * weight)


def test_attention_gate() -> None:
    model = network(skip="gate")
    node, state = part(model, "skip0_0_1")
    x, below = torch.randn(2, 4, 6, 6).double(), torch.randn(2, 6, 3, 3).double()
    theta = fn.conv2d(x, state["theta.weight"], stride=2)
    asked = (theta + conv(state, "phi", below)).relu()
    weight = conv(state, "psi", asked).sigmoid()
    large = fn.interpolate(weight, scale_factor=2, mode="bilinear")
    torch.testing.assert_close(node(x, below), x * large)


def test_pixel_shuffle_is_that_of_torch() -> None:
    model = network(up="pixel-shuffle")
    node, state = part(model, "up0_1")
    x = torch.randn(2, 6, 3, 4).double()
    torch.testing.assert_close(node(x), fn.pixel_shuffle(conv(state, "conv", x), 2))


@pytest.mark.parametrize(("dims", "scale"), [(1, [3]), (2, [2, 3]), (3, [1, 2, 4])])
def test_pixel_shuffle_puts_channels_side_by_side(dims: int, scale: list[int]) -> None:
    """Channel (c, r...) at pixel p becomes channel c at pixel p * scale + r."""
    model = network(dims=dims, up="pixel-shuffle", strides=[scale], kernel_sizes=1)
    node = model.get_submodule("up0_1")
    x = torch.randn(1, 6, *[2] * dims).double()
    low = node.get_submodule("conv")(x)
    high = node(x)
    at = [torch.arange(side) for side in high.shape[2:]]
    for place in torch.cartesian_prod(*at).reshape(-1, dims).tolist():
        pixel = [p // s for p, s in zip(place, scale, strict=True)]
        offset = 0
        for p, s in zip(place, scale, strict=True):
            offset = offset * s + p % s
        times = low.shape[1] // high.shape[1]
        for channel in range(high.shape[1]):
            expected = low[0, channel * times + offset][tuple(pixel)]
            assert high[0, channel][tuple(place)] == expected


def test_a_smoothed_shuffle_is_a_mean_of_neighbours() -> None:
    model = network(up="pixel-shuffle-blur")
    node, state = part(model, "up0_1")
    x = torch.randn(2, 6, 3, 4).double()
    sharp = fn.pad(fn.pixel_shuffle(conv(state, "conv", x), 2), (1, 0, 1, 0))
    neighbours = [sharp[:, :, a : a + 6, b : b + 8] for a in (0, 1) for b in (0, 1)]
    torch.testing.assert_close(node(x), torch.stack(neighbours).mean(0))


def test_the_pooling_of_signals() -> None:
    model = network(dims=1)
    x = torch.randn(2, 4, 9).double()
    assert torch.equal(model.get_submodule("down")(x), fn.max_pool1d(x, 2))


def test_unet3plus_is_its_equation() -> None:
    """Huang et al., 2020, eq. 1 at depth 2, where heads look at their own scales."""
    torch.manual_seed(0)
    model = build(NestSpec(family="unet3+", depth=2, widths=4)).double().eval()
    s = model.state_dict()

    def single(name: str, x: Tensor) -> Tensor:
        inner = {k.removeprefix(f"{name}."): t for k, t in s.items()}
        return norm(inner, "norm", conv(inner, "conv", x)).relu()

    def up(x: Tensor, by: int) -> Tensor:
        return fn.interpolate(x, scale_factor=by, mode="bilinear")

    x = torch.randn(1, 3, 8, 8).double()
    encoder = [x]
    for row in range(3):
        inner = {k.removeprefix(f"x{row}_0."): t for k, t in s.items()}
        pooled = encoder[-1] if row == 0 else fn.max_pool2d(encoder[-1], 2)
        encoder.append(double(inner, pooled))
    x0, x1, x2 = encoder[1:]
    middle = [
        single("from0_0_to1_1", fn.max_pool2d(x0, 2)),
        single("from1_0_to1_1", x1),
        single("from2_0_to1_1", up(x2, 2)),
    ]
    x1_1 = single("x1_1", torch.cat(middle, 1))
    top = [
        single("from0_0_to0_2", x0),
        single("from1_1_to0_2", up(x1_1, 2)),
        single("from2_0_to0_2", up(x2, 4)),
    ]
    x0_2 = single("x0_2", torch.cat(top, 1))
    found = model(x)
    torch.testing.assert_close(found["L2"], conv(s, "head_L2", x0_2))
    torch.testing.assert_close(found["L1"], up(conv(s, "head_L1", x1_1), 2))
