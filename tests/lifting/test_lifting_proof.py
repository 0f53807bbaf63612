"""What is said of a spec holds beyond the example; no operation is left over."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from monai.networks import nets
from torch import Tensor, nn
from torch.nn import functional as F

from nestgen.lifting.lift import Lifted, lift

Step = Callable[[Tensor], Tensor]


def same(x: Tensor) -> Tensor:
    return x


class Small(nn.Module):
    """A U-Net of depth 1, with something before it and something after."""

    def __init__(
        self,
        norm: Callable[[int], nn.Module] = nn.BatchNorm2d,
        activation: Callable[[], nn.Module] = nn.ReLU,
        before: Step = same,
        after: Step = same,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()

        def block(inside: int, width: int) -> nn.Sequential:
            once = [nn.Conv2d(inside, width, 3, padding=1), norm(width), activation()]
            again = [nn.Conv2d(width, width, 3, padding=1), norm(width), activation()]
            return nn.Sequential(*once, *again, nn.Dropout2d(dropout))

        self.before, self.after = before, after
        self.fine, self.coarse, self.join = block(3, 4), block(4, 8), block(12, 4)
        self.out = nn.Conv2d(4, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        fine = self.fine(self.before(x))
        below = F.interpolate(self.coarse(F.max_pool2d(fine, 2)), scale_factor=2.0)
        return self.after(self.out(self.join(torch.cat([fine, below], 1))))


class Bounded(nn.Module):
    def __init__(self, low: float | None, high: float | None = None) -> None:
        super().__init__()
        self.low, self.high = low, high

    def forward(self, x: Tensor) -> Tensor:
        return x.clamp(self.low, self.high)


def lifted_from(network: nn.Module, batch: int = 1) -> Lifted:
    torch.manual_seed(1)
    lifted = lift(network, torch.randn(batch, 3, 16, 16))
    assert lifted.graph is not None, lifted.why
    return lifted


@pytest.mark.parametrize("batch", [1, 2])
def test_a_batch_is_not_normalised_as_each_image(batch: int) -> None:
    """Of one image, batch norm without statistics is instance norm."""
    network = Small(norm=lambda width: nn.BatchNorm2d(width, track_running_stats=False))
    lifted = lifted_from(network, batch)
    assert lifted.spec is None
    assert lifted.why.startswith("no spec: L1 differs by")


def test_small_constants_of_norms_count() -> None:
    """1e-8 more in the root of a variance shows where the image is all but black."""
    lifted = lifted_from(Small(norm=lambda width: nn.InstanceNorm2d(width, 1.001e-5)))
    assert lifted.why.startswith("no spec: L1 differs by")


DECIDED: dict[str, Step] = {
    "by the size": lambda x: x if x.shape[-1] == 16 else 2 * x,
    "by the batch": lambda x: x if len(x) == 1 else 2 * x,
    "by the largest": lambda x: x if x.abs().max() < 9 else 2 * x,
    "by the very largest": lambda x: x if x.abs().max() < 99 else 2 * x,
    "by one that is larger": lambda x: x if not 20 < x.abs().max() < 99 else 2 * x,
    "by the smallest": lambda x: x if x.abs().max() > 0.1 else 1 + x,
    "where all are above": lambda x: x if x.min() < 0 else 2 * x,
    "where all are below": lambda x: x if x.max() > 0 else 2 * x,
}


@pytest.mark.parametrize("name", DECIDED)
def test_what_python_decides_is_seen_on_other_images(name: str) -> None:
    lifted = lifted_from(Small(before=DECIDED[name]))
    assert lifted.spec is None
    assert lifted.why.startswith("no spec: L1 differs by")


def one_size(x: Tensor) -> Tensor:
    return x.view(-1, 3, 16, 16)


def one_image(x: Tensor) -> Tensor:
    return x.view(1, 3, 16, 16)


@pytest.mark.parametrize("before", [one_size, one_image])
def test_what_takes_no_other_size_is_seen_on_its_own(before: Step) -> None:
    assert lifted_from(Small(before=before)).difference == 0.0
    small = Small(before=lambda x: before(x if x.abs().max() < 99 else 2 * x))
    assert lifted_from(small).why.startswith("no spec: L1 differs by")


@pytest.mark.parametrize(
    ("activation", "found"),
    [
        (nn.ReLU6, "relu6"),
        (lambda: nn.ReLU6(inplace=True), "relu6"),
        (lambda: nn.Hardtanh(0.0, 6.0), "relu6"),
        (lambda: Bounded(0, 6), "relu6"),
        (lambda: Bounded(0), "relu"),
        (lambda: nn.ReLU(inplace=True), "relu"),
    ],
)
def test_bounds_say_which_activation_it_is(
    activation: Callable[[], nn.Module], found: str
) -> None:
    lifted = lifted_from(Small(activation=activation))
    assert lifted.spec is not None, lifted.why
    assert lifted.spec.block.activation == found
    assert lifted.difference == 0.0


@pytest.mark.parametrize(
    ("activation", "told"),
    [
        (lambda: nn.Hardtanh(0.0, 20.0), "clamp(0, 20)"),
        (lambda: nn.Hardtanh(-900.0), "clamp(-900, 1)"),
        (nn.Hardtanh, "clamp(-1, 1)"),
        (lambda: Bounded(None, 6), "clamp(-inf, 6)"),
        (lambda: nn.Threshold(-1e9, 0.0), "threshold"),
    ],
)
def test_other_bounds_are_no_activation(
    activation: Callable[[], nn.Module], told: str
) -> None:
    lifted = lifted_from(Small(activation=activation))
    assert lifted.spec is None
    assert lifted.why.startswith(f"no spec: {told} is left over")


def in_place(x: Tensor) -> Tensor:
    return x.clamp_(-1e9, 1e9)


def in_a_view(x: Tensor) -> Tensor:
    x[:, :1].clamp_(-1e9, 1e9)
    return x


def into_a_view(x: Tensor) -> Tensor:
    x[:, 0] = x[:, 0].clone()
    return x


UNSEEN: dict[str, tuple[Step, str]] = {
    "clamp": (lambda x: x.clamp(-1e9, 1e9), "clamp(-1e+09, 1e+09)"),
    "hardtanh": (lambda x: F.hardtanh(x, -1e9, 1e9), "clamp(-1e+09, 1e+09)"),
    "in place": (in_place, "clamp(-1e+09, 1e+09)"),
    "in a view": (in_a_view, "clamp(-1e+09, 1e+09)"),
    "into a view": (into_a_view, "copy"),
    "not a number": (torch.nan_to_num, "nan_to_num"),
    "where": (lambda x: torch.where(x < 1e9, x, 0), "where"),
}
"""What no value that is tried shows."""


@pytest.mark.parametrize("place", ["before", "after"])
@pytest.mark.parametrize("name", UNSEEN)
def test_what_no_value_shows_is_left_over(name: str, place: str) -> None:
    step, told = UNSEEN[name]
    network = Small(before=step) if place == "before" else Small(after=step)
    lifted = lifted_from(network)
    assert lifted.spec is None
    assert lifted.why.startswith("no spec: ")
    assert lifted.why.endswith("is left over, what nestgen would write has no such")
    assert told in lifted.why or name == "where"


@pytest.mark.parametrize(
    "step", [torch.clone, torch.detach, Tensor.contiguous, lambda x: x[:, :, :], same]
)
def test_what_does_nothing_is_not_left_over(step: Step) -> None:
    assert lifted_from(Small(before=step, after=step)).difference == 0.0


def test_activations_that_are_lacking_are_told() -> None:
    """All that such blocks get is positive, but for images that were not tried."""
    torch.manual_seed(0)
    network = Small(norm=lambda _: nn.Identity(), activation=nn.Identity)
    with torch.no_grad():
        for name, tensor in network.named_parameters():
            tensor.fill_(1e6 if name.endswith("bias") else 1e-6)
    assert lifted_from(network).why == (
        "no spec: clamp(0, inf) is lacking, what nestgen would write has it"
    )


@pytest.mark.parametrize("step", [lambda x: x.clamp_(0, 1), lambda x: x.add_(1)])
def test_the_example_stays_as_it_is(step: Step) -> None:
    x = torch.randn(1, 3, 16, 16)
    before = x.clone()
    lift(Small(before=step), x)
    assert torch.equal(x, before)


def test_what_writes_into_its_input_gets_the_same_as_ours() -> None:
    x = torch.zeros(1, 3, 16, 16)
    assert lift(Small(before=lambda x: x.mul_(1)), x).difference == 0.0
    assert lift(Small(before=lambda x: x.add_(1)), x).spec is None


@pytest.mark.parametrize(
    ("norm", "found"),
    [
        (nn.InstanceNorm2d, "instance"),
        (lambda width: nn.BatchNorm2d(width, affine=False), "batch"),
    ],
)
def test_norms_without_weights_are_found(
    norm: Callable[[int], nn.Module], found: str
) -> None:
    lifted = lifted_from(Small(norm=norm))
    assert lifted.spec is not None, lifted.why
    assert lifted.spec.block.norm == found
    assert lifted.difference == 0.0


def test_instance_norm_of_monai_is_found() -> None:
    network = nets.BasicUNet(2, 3, 2, (2, 2, 4, 4, 8, 2), norm="instance")
    torch.manual_seed(0)
    lifted = lift(network, torch.randn(1, 3, 32, 32))
    assert lifted.spec is not None, lifted.why
    assert lifted.spec.block.norm == "instance"
    assert lifted.difference == 0.0


def test_dropout_is_not_told() -> None:
    lifted = lifted_from(Small(dropout=0.5))
    assert lifted.difference == 0.0
    assert lifted.spec is not None
    assert lifted.spec.block.dropout == 0.0
