"""The proof holds for a true cut, and says what differs for a false one."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import nn

from nestgen.arch.cost import graph_cost
from nestgen.arch.graph import NestGraph
from nestgen.arch.spec import NestSpec
from nestgen.errors import CutError, SpecError
from nestgen.surgery.cut import prune
from nestgen.surgery.proof import prove

Lived = Callable[[NestSpec], nn.Module]

SPEC = NestSpec(depth=3, widths=4, in_channels=2)


def test_a_true_cut_is_proven(lived: Lived) -> None:
    whole = lived(SPEC)
    proof = prove(whole, prune(whole, 2), [2])
    assert proof.inputs == (
        (1, 2, 16, 16),
        (1, 2, 16, 24),
        (3, 2, 16, 16),
        (3, 2, 16, 24),
    )
    assert proof.statement == (
        "L2 cut on the graph == torch.fx cut == the full model's L2 head, "
        "bit for bit, on 4 inputs"
    )


@pytest.mark.parametrize("heads", [(1, 3), (1, 2)])
def test_a_cut_at_several_levels_is_proven(
    lived: Lived, heads: tuple[int, int]
) -> None:
    whole = lived(SPEC)
    proof = prove(whole, prune(whole, heads), heads)
    name = {(1, 3): "L1,3", (1, 2): "L1-2"}[heads]
    assert proof.heads == heads
    assert proof.statement == (
        f"{name} cut on the graph == torch.fx cut == the full model's {name} heads, "
        "bit for bit, on 4 inputs"
    )
    assert proof.after.nodes == len(NestGraph(SPEC.cut(heads)).nodes)
    small = prune(whole, heads)
    with torch.no_grad():
        small.get_parameter("head_L1.bias").add_(0.5)
    with pytest.raises(CutError, match=r"^L1: the cut on the graph differs"):
        prove(whole, small, heads)


def test_what_it_measures_is_what_the_formulas_say(lived: Lived) -> None:
    whole = lived(SPEC)
    proof = prove(whole, prune(whole, 2), [2])
    graph = NestGraph(SPEC)
    for part, of in ((proof.before, graph), (proof.after, graph.level(2))):
        cost = graph_cost(of, proof.size)
        assert part.nodes == len(of.nodes)
        assert (part.parameters, part.weight_bytes, part.macs) == (
            cost.parameters,
            cost.weight_bytes,
            cost.macs,
        )


def test_flags_and_statistics_stay(lived: Lived) -> None:
    whole = lived(SPEC).train()
    whole.get_submodule("x0_0").eval()
    small = prune(whole, 2)
    flags = [module.training for module in whole.modules()]
    before = copy.deepcopy(whole.state_dict())
    prove(whole, small, [2])
    assert [module.training for module in whole.modules()] == flags
    assert small.training
    after = whole.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_flags_stay_when_the_proof_fails(lived: Lived) -> None:
    whole = lived(SPEC).train()
    with pytest.raises(CutError):
        prove(whole, prune(lived(SPEC.replace(up="nearest")), 2), [2])
    assert whole.training


def test_not_a_number_is_equal_to_itself(lived: Lived) -> None:
    whole = lived(SPEC)
    with torch.no_grad():
        whole.get_parameter("head_L2.bias").fill_(torch.nan)
    assert prove(whole, prune(whole, 2), [2]).heads == (2,)


def test_one_wrong_weight_is_found(lived: Lived) -> None:
    whole = lived(SPEC)
    small = prune(whole, 2)
    with torch.no_grad():
        small.get_parameter("head_L2.bias").add_(0.5)
    with pytest.raises(
        CutError,
        match=r"^L2: the cut on the graph differs from the full model's head "
        r"by up to 0\.5 on an input \[1, 2, 16, 16\]$",
    ):
        prove(whole, small, [2])


def test_a_wrong_statistic_is_found(lived: Lived) -> None:
    whole = lived(SPEC)
    small = prune(whole, 2)
    small.get_buffer("x0_1.norm1.running_mean").add_(1e-3)
    with pytest.raises(CutError, match="differs from the full model's head by up to"):
        prove(whole, small, [2])


def test_a_wrong_level_is_found_by_its_names(lived: Lived) -> None:
    whole = lived(SPEC)
    kept = r"^the cut on the graph keeps head_L1\.bias, the torch\.fx cut does not$"
    with pytest.raises(CutError, match=kept):
        prove(whole, prune(whole, 1), [2])


def test_other_shapes_are_found(lived: Lived) -> None:
    whole, other = lived(SPEC), lived(SPEC.replace(classes=3))
    with pytest.raises(CutError, match=r"\[1, 3, 16, 16\], not torch\.float32 \[1, 1,"):
        prove(whole, prune(other, 2), [2])


def test_a_network_without_a_spec_is_refused(lived: Lived) -> None:
    with pytest.raises(SpecError, match=r"^Linear has no spec;"):
        prove(lived(SPEC), nn.Linear(1, 1), [1])
