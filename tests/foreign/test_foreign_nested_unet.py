"""Weights in the layout of 4uiiurz1/pytorch-nested-unet come over bit for bit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from nestgen import import_weights, prune
from nestgen.arch.spec import NestSpec
from nestgen.codegen.load import spec_of
from nestgen.errors import NestgenError, WeightsError
from nestgen.foreign.beside import absent, compare
from nestgen.foreign.weights import read_weights

Trained = Callable[..., nn.Module]
LAYOUT = "4uiiurz1"


def parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.fixture
def small(style: ModuleType, trained: Trained) -> dict[str, Tensor]:
    """The state dict of a small network with four heads."""
    model: nn.Module = style.SmallNestedUNet(1, 3, deep_supervision=True)
    return trained(model, 2, 3, 32, 32).state_dict()


@pytest.fixture
def saved(tmp_path: Path) -> Callable[..., Path]:
    def write(content: Any, **how: Any) -> Path:
        torch.save(content, tmp_path / "weights.pth", **how)
        return tmp_path / "weights.pth"

    return write


def refusal(file: Path, **fields: Any) -> str:
    """The one line for which a file is refused."""
    with pytest.raises(NestgenError) as caught:
        import_weights(file, LAYOUT, **fields)
    line = str(caught.value)
    assert line.startswith(f"{file}: ")
    assert "\n" not in line
    return line.removeprefix(f"{file}: ")


def test_the_four_outputs_are_equal(
    style: ModuleType, trained: Trained, saved: Callable[[Any], Path]
) -> None:
    theirs = trained(style.NestedUNet(1, 3, deep_supervision=True), 2, 3, 32, 32)
    ours = import_weights(saved(theirs.state_dict()), LAYOUT)
    assert parameters(ours) == parameters(theirs) == 9_163_428
    for x in (torch.randn(1, 3, 32, 48), torch.randn(2, 3, 16, 16)):
        outputs = ours(x)
        for level, logits in enumerate(theirs(x), start=1):
            assert torch.equal(outputs[f"L{level}"], logits), level
            assert torch.equal(prune(ours, level)(x), logits)


@pytest.mark.parametrize("name", ["SmallNestedUNet", "SmallUNet"])
def test_one_output_is_that_of_the_last_level(
    name: str, style: ModuleType, trained: Trained, saved: Callable[[Any], Path]
) -> None:
    theirs = trained(getattr(style, name)(4, 1), 2, 1, 32, 32)
    file = saved(theirs.state_dict())
    ours, x = import_weights(file, LAYOUT), torch.randn(2, 1, 32, 16)
    assert torch.equal(ours(x), theirs(x))
    assert parameters(ours) == parameters(theirs)
    spec = spec_of(ours)
    assert spec.family == ("unet" if name == "SmallUNet" else "unet++")
    assert (spec.heads, spec.classes, spec.in_channels) == ((4,), 4, 1)
    where = f"{style.__file__}:{name}"
    assert compare(ours, read_weights(file, LAYOUT), where).difference == 0


def test_the_spec_is_read_off_the_tensors(
    small: dict[str, Tensor], saved: Callable[[Any], Path]
) -> None:
    assert spec_of(import_weights(saved(small), LAYOUT)) == NestSpec(
        depth=4,
        widths=2,
        up="bilinear-aligned",
        concat="up-last",
        block={"bias": True},
    )


@pytest.mark.parametrize("prefix", ["", "module.", "module.model."])
@pytest.mark.parametrize("wrapper", [None, "state_dict", "model"])
def test_wrappers_and_prefixes_are_taken_off(
    wrapper: str | None,
    prefix: str,
    small: dict[str, Tensor],
    saved: Callable[[Any], Path],
) -> None:
    inside = {prefix + name: nn.Parameter(t, False) for name, t in small.items()}
    content = {wrapper: inside, "epoch": 3} if wrapper else inside
    assert read_weights(saved(content), LAYOUT).tensors.keys() == small.keys()


def test_safetensors_are_read(small: dict[str, Tensor], tmp_path: Path) -> None:
    file = tmp_path / "weights.safetensors"
    safetensors.torch.save_file(small, file)
    ours = import_weights(file, LAYOUT).state_dict()
    assert torch.equal(ours["x2_1.norm2.weight"], small["conv2_1.bn2.weight"])


def test_fewer_heads_can_be_asked_for(
    small: dict[str, Tensor], saved: Callable[[Any], Path]
) -> None:
    whole = import_weights(saved(small), LAYOUT)
    last, x = import_weights(saved(small), LAYOUT, heads=[4]), torch.randn(1, 3, 16, 16)
    assert torch.equal(last(x), whole(x)["L4"])


def test_halves_become_float32_and_old_norms_count_from_zero(
    small: dict[str, Tensor], saved: Callable[[Any], Path]
) -> None:
    old = {n: t.half() for n, t in small.items() if not n.endswith("batches_tracked")}
    ours = import_weights(saved(old), LAYOUT).state_dict()
    assert torch.equal(ours["x0_0.conv1.weight"], old["conv0_0.conv1.weight"].float())
    assert ours["x0_0.norm1.num_batches_tracked"] == 0


# What is refused.

CHANGES: dict[str, Callable[[dict[str, Tensor]], object]] = {
    "missing conv2_1.bn1.running_var": lambda s: s.pop("conv2_1.bn1.running_var"),
    "missing conv0_0.conv1.weight": lambda s: s.pop("conv0_0.conv1.weight"),
    "missing conv0_0.conv1.bias": lambda s: s.pop("conv0_0.conv1.bias"),
    "missing conv3_0.conv1.weight": lambda s: s.pop("conv3_0.conv1.weight"),
    "missing final2.bias": lambda s: s.pop("final2.bias"),
    "missing final4.weight": lambda s: [s.pop(f"final{k}.weight") for k in range(1, 5)],
    "unknown conv0_5.conv1.weight": lambda s: s.update(
        {"conv0_5.conv1.weight": s["conv0_4.conv1.weight"]}
    ),
    "unknown fc.bias, x0_0.conv1.bias": lambda s: s.update(
        {"fc.bias": torch.zeros(1), "x0_0.conv1.bias": torch.zeros(2)}
    ),
    "twice final4.bias, final.bias": lambda s: s.update({"final.bias": torch.ones(1)}),
    "conv0_2.bn1.bias (torch.float32 [3], not torch.float32 [2])": lambda s: s.update(
        {"conv0_2.bn1.bias": torch.zeros(3)}
    ),
    "conv0_2.bn1.bias (torch.float64 [2], not": lambda s: s.update(
        {"conv0_2.bn1.bias": torch.zeros(2).double()}
    ),
    "conv1_0.conv1.weight is [4]": lambda s: s.update(
        {"conv1_0.conv1.weight": torch.zeros(4)}
    ),
}


@pytest.mark.parametrize("reason", CHANGES)
def test_a_state_dict_that_does_not_fit_is_refused(
    reason: str, small: dict[str, Tensor], saved: Callable[[Any], Path]
) -> None:
    changed = dict(small)
    CHANGES[reason](changed)
    assert reason in refusal(saved(changed))


def test_the_first_names_are_shown_and_the_others_counted(
    small: dict[str, Tensor], saved: Callable[[Any], Path]
) -> None:
    part = {n: t for n, t in small.items() if not n.startswith("conv1_2")}
    names = "conv1_2.conv1.weight, conv1_2.conv1.bias, conv1_2.bn1.weight"
    assert refusal(saved(part)).endswith(f"nested-unet: missing {names} and 9 more")


def test_data_of_another_kind_and_code_are_refused(
    saved: Callable[..., Path],
) -> None:
    reasons: dict[str, Any] = {
        "is no dict of tensors": {"epoch": 3},
        "missing conv0_0.conv1.weight": nn.Conv2d(1, 1, 3).state_dict(),
        "its tensors claim more bytes": {"a": torch.zeros(1).expand(10**9)},
        "holds 'torch.nn.modules.conv.Conv2d'; ": nn.Conv2d(1, 1, 3),
    }
    for reason, content in reasons.items():
        assert reason in refusal(saved(content))
    old = saved({}, _use_new_zipfile_serialization=False)
    assert "is no archive of torch 1.6 or later" in refusal(old)
    assert "No such file" in refusal(old.with_name("none.pth"))


def test_an_unknown_layout_is_refused() -> None:
    with pytest.raises(WeightsError, match="layout: 'mine' is not allowed, '4uiiurz1'"):
        import_weights("weights.pth", "mine")


# The original beside ours.


@pytest.mark.parametrize(
    "fields",
    [{"block": {"activation": "elu"}}, {"up": "bilinear"}, {"concat": "up-first"}],
)
def test_another_network_is_told_from_the_original(
    fields: dict[str, Any],
    style: ModuleType,
    small: dict[str, Tensor],
    saved: Callable[[Any], Path],
) -> None:
    file = saved(small)
    ours = import_weights(file, LAYOUT, **fields)
    with pytest.raises(WeightsError, match=r"L1 differs from that of .* by up"):
        compare(ours, read_weights(file, LAYOUT), f"{style.__file__}:SmallNestedUNet")


@pytest.mark.parametrize(
    ("where", "reason"),
    [
        ("{style}:Absent", "has no attribute 'Absent'"),
        ("{style}:SmallUNet", "unexpected keyword argument 'deep_supervision'"),
        ("{style}:NestedUNet", "size mismatch"),
        ("no_such_file.py:Net", "No such file"),
        ("no_such_module:Net", "No module named 'no_such_module'"),
        ("no colon", "ValueError"),
        ("torch.nn:Identity", "Unexpected key"),
    ],
)
def test_an_original_that_cannot_be_run_is_refused(
    where: str,
    reason: str,
    style: ModuleType,
    small: dict[str, Tensor],
    saved: Callable[[Any], Path],
) -> None:
    file, at = saved(small), where.format(style=style.__file__)
    ours = import_weights(file, LAYOUT)
    with pytest.raises(WeightsError, match=reason) as caught:
        compare(ours, read_weights(file, LAYOUT), at)
    assert str(caught.value).startswith(f"{at}: cannot be run beside it (")


@pytest.mark.parametrize("name", ["Elsewhere", "Textual"])
def test_an_original_without_such_logits_is_refused(
    name: str,
    style: ModuleType,
    small: dict[str, Tensor],
    saved: Callable[[Any], Path],
    tmp_path: Path,
) -> None:
    lines = [
        Path(str(style.__file__)).read_text(),
        "class Elsewhere(SmallNestedUNet):",
        "    def forward(self, x): return super().forward(x)[:1]",
        "class Textual(SmallNestedUNet):",
        "    def forward(self, x): return 'logits'",
    ]
    (tmp_path / "original.py").write_text("\n".join(lines))
    file, where = saved(small), f"{tmp_path / 'original.py'}:{name}"
    with pytest.raises(WeightsError, match=r"has no L[14] like ours"):
        compare(import_weights(file, LAYOUT), read_weights(file, LAYOUT), where)


def test_what_is_not_compared_says_why() -> None:
    assert absent("no_such_package.nets:Net") == "no_such_package is not installed"
    assert absent("nestgen.arch.spec:NestSpec") is None
    assert "--original names" in str(absent(None))
