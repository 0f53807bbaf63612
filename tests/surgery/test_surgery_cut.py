"""Laws of the cut: the same bits three ways, names kept, the old model untouched."""

from __future__ import annotations

import copy
import importlib.util
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from torch import Tensor, nn

from nestgen.arch.choices import Norm
from nestgen.arch.cost import fitting_size
from nestgen.arch.families import FamilyName
from nestgen.arch.graph import NestGraph
from nestgen.arch.spec import NestSpec
from nestgen.codegen.load import build, spec_of
from nestgen.codegen.source import source
from nestgen.errors import CutError, SpecError
from nestgen.surgery.cut import prune
from nestgen.surgery.trace import cut_traced

Lived = Callable[[NestSpec], nn.Module]

FAMILIES: list[FamilyName] = ["unet-e", "unet+", "unet++"]


def narrow(depth: int, **fields: Any) -> NestSpec:
    return NestSpec(depth=depth, widths=(2,) * (depth + 1), **fields)


@pytest.fixture
def one_thread() -> Iterator[None]:
    """These networks are so small that threads wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def logits_by_level(model: nn.Module, x: Tensor) -> dict[str, Tensor]:
    found = model(x)
    heads = found if isinstance(found, dict) else {"L1": found}
    return dict(heads)


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("up", ["transpose", "bilinear", "nearest"])
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("depth", range(1, 7))
def test_both_cuts_and_the_head_are_equal_bit_for_bit(
    depth: int, family: FamilyName, up: Any, lived: Lived
) -> None:
    whole = lived(narrow(depth, family=family, up=up)).eval()
    x = torch.randn(3, 3, 2**depth, 2 * 2**depth)
    with torch.inference_mode():
        heads = logits_by_level(whole, x)
        assert len(heads) == depth
        for level in range(1, depth + 1):
            small, traced = prune(whole, level), cut_traced(whole, [level])
            assert torch.equal(small(x), heads[f"L{level}"])
            assert torch.equal(traced(x), heads[f"L{level}"])
            assert set(small.state_dict()) == set(traced.state_dict())
            assert set(small.state_dict()) <= set(whole.state_dict())


KINDS: list[dict[str, Any]] = [
    {"family": "unet3+"},
    {"dims": 1, "up": "linear"},
    {"dims": 3, "strides": [[1, 2, 2], 2, 2], "kernel_sizes": [[1, 3, 3], 3, 3, 3]},
    {"skip": "gate", "up": "pixel-shuffle-blur", "strides": [3, 2, 2]},
    {"skip": "se", "up": "bilinear", "up_widths": [2, 4, 2], "block": {"bias": True}},
    {"block": {"kind": "residual", "drop_path": 0.3, "standardise": True}},
    {"block": {"kind": "inverted", "drop_path": 0.3}, "up": "nearest", "pad": False},
    {"block": {"kind": "convnext", "norm": "layer"}, "node_widths": {"x0_3": 5}},
    {"block": {"kind": "double-preact"}, "family": "unet+"},
    {"block": {"kind": "separable"}, "family": "unet-e", "up": "bilinear-aligned"},
    {
        "family": "custom",
        "edges": [
            (edge.source.name, edge.target.name)
            for edge in NestGraph(NestSpec(depth=3)).edges
            if edge.source != (0, 1)
        ]
        + [("x0_1", "x1_1"), ("x1_1", "x2_1")],
    },
]


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("fields", KINDS, ids=str)
def test_every_kind_is_cut(fields: dict[str, Any], lived: Lived) -> None:
    whole = lived(narrow(3, **fields)).eval()
    x = torch.randn(2, 3, *(2 * by for by in NestGraph(spec_of(whole)).multiples))
    with torch.inference_mode():
        heads = logits_by_level(whole, x)
        for level in (1, 2, 3):
            small, traced = prune(whole, level), cut_traced(whole, [level])
            assert torch.equal(small(x), heads[f"L{level}"])
            assert torch.equal(traced(x), heads[f"L{level}"])
            assert set(small.state_dict()) == set(traced.state_dict())


def test_the_law_can_fail(lived: Lived) -> None:
    whole = lived(narrow(3)).eval()
    small, x = prune(whole, 2), torch.randn(3, 3, 8, 16)
    assert not torch.equal(small(x), whole(x)["L3"])
    with torch.no_grad():
        small.get_parameter("x1_0.conv1.weight")[0, 0, 0, 0] += 1
    assert not torch.equal(small(x), whole(x)["L2"])


@pytest.mark.parametrize("norm", get_args(Norm))
def test_every_norm_is_cut(norm: Norm, lived: Lived) -> None:
    block = {"norm": norm, "groups": 2, "bias": True, "dropout": 0.5}
    whole = lived(narrow(3, block=block)).eval()
    x = torch.randn(3, 3, 16, 24)
    assert torch.equal(prune(whole, 2)(x), whole(x)["L2"])


def test_several_levels_are_kept(lived: Lived) -> None:
    whole = lived(narrow(4)).eval()
    small, x = prune(whole, [3, 1]), torch.randn(1, 3, 16, 16)
    assert list(small(x)) == ["L1", "L3"]
    assert all(torch.equal(small(x)[name], whole(x)[name]) for name in ("L1", "L3"))


def test_a_cut_is_cut_again(lived: Lived) -> None:
    whole = lived(narrow(4)).eval()
    twice, x = prune(prune(whole, (1, 3)), 1), torch.randn(3, 3, 16, 16)
    assert torch.equal(twice(x), whole(x)["L1"])


def test_the_old_model_is_untouched(lived: Lived) -> None:
    whole = lived(narrow(3))
    whole.get_parameter("x0_0.conv1.weight").requires_grad_(False)
    before = copy.deepcopy(whole.state_dict())
    small = prune(whole, 2)
    with torch.no_grad():
        for tensor in small.state_dict().values():
            tensor.zero_()
    small(torch.randn(2, 3, 8, 8))
    after = whole.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert all(tensor.any() for tensor in after.values())


def test_flags_dtype_and_gradients_are_those_of_the_model(lived: Lived) -> None:
    whole = lived(narrow(3)).double().train()
    whole.get_submodule("x0_0.norm1").eval()
    whole.get_parameter("x0_0.conv1.weight").requires_grad_(False)
    small = prune(whole, 2)
    wants = {name: p.requires_grad for name, p in small.named_parameters()}
    assert [name for name, wanted in wants.items() if not wanted] == [
        "x0_0.conv1.weight"
    ]
    assert [name for name, m in small.named_modules() if not m.training] == [
        "x0_0.norm1"
    ]
    assert small.get_parameter("x0_0.conv1.weight").dtype == torch.float64
    assert all(isinstance(p, nn.Parameter) for p in small.parameters())


def test_the_source_of_a_cut_stands_alone(tmp_path: Path, lived: Lived) -> None:
    small = prune(lived(narrow(3)).eval(), 2)
    assert isinstance(small.spec, NestSpec)
    file = tmp_path / "small_L2.py"
    file.write_text(source(small.spec))
    made = importlib.util.spec_from_file_location(file.stem, file)
    assert made is not None
    assert made.loader is not None
    module = importlib.util.module_from_spec(made)
    made.loader.exec_module(module)
    alone = getattr(module, small.spec.class_name)().eval()
    alone.load_state_dict(small.state_dict(), strict=True)
    x = torch.randn(3, 3, 8, 12)
    assert torch.equal(alone(x), small(x))


@pytest.mark.parametrize("level", [True, "2", 2.0, None, [], [1, True], [1, "2"]])
def test_a_level_is_an_integer(level: Any) -> None:
    with pytest.raises(CutError, match=r"^level: .* is not allowed, an integer"):
        prune(build(narrow(3)), level)


@pytest.mark.parametrize("level", [0, -1, 4, [1, 4]])
def test_a_level_out_of_range_says_which_exist(level: Any) -> None:
    with pytest.raises(CutError, match=r"has the levels L1, L2, L3$"):
        prune(build(narrow(3)), level)


def test_a_foreign_model_is_refused() -> None:
    with pytest.raises(SpecError, match=r"^Linear has no spec;"):
        prune(nn.Linear(2, 2), 1)


def test_a_model_that_was_changed_is_refused() -> None:
    changed = build(narrow(3))
    changed.x1_0 = nn.Identity()
    with pytest.raises(CutError, match=r"x1_0\.conv1\.weight does not fit$"):
        prune(changed, 2)


def test_a_level_may_reach_right_of_its_depth(lived: Lived) -> None:
    """X[0,2] that reads X[1,0] needs two rows alone, and is cut to depth 1."""
    names = "x0_0>x1_0 x1_0>x2_0 x1_0>x0_1 x0_0>x0_1 x1_0>x0_2 x0_1>x0_2 x2_0>x1_1"
    edges = [edge.split(">") for edge in [*names.split(), "x1_1>x0_3", "x0_2>x0_3"]]
    whole = lived(NestSpec(family="custom", depth=2, widths=4, edges=edges)).eval()
    assert spec_of(whole).heads == (1, 2, 3)
    x = torch.randn(1, 3, 8, 12)
    for level in (1, 2, 3):
        small = prune(whole, level)
        assert torch.equal(small(x), whole(x)[f"L{level}"])
    assert spec_of(prune(whole, 2)).depth == 1


def test_instance_norm_fits_from_two_multiples_on(lived: Lived) -> None:
    spec = NestSpec(depth=2, widths=4, block={"norm": "instance"})
    whole, graph = lived(spec).eval(), NestGraph(spec)
    small = prune(whole, 1)
    with pytest.raises(SpecError, match=r"multiples of 4, two of them or more$"):
        fitting_size(graph, (4, 8))
    x = torch.randn(1, 3, *fitting_size(graph, (8,)))
    assert torch.equal(small(x), whole(x)["L1"])
    assert not torch.equal(small(x[..., :4]), whole(x[..., :4])["L1"])
