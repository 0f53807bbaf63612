"""Networks on a backbone: its stages are the backbone's own, at any size, exported."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from torch import Tensor, nn
from torch.export import Dim
from torch.utils.flop_counter import FlopCounterMode

from nestgen.arch.cost import graph_cost
from nestgen.arch.encoders import ENCODERS, encoder
from nestgen.arch.graph import NestGraph
from nestgen.arch.spec import NestSpec
from nestgen.codegen.load import blank, build
from nestgen.codegen.source import source
from nestgen.errors import SpecError

ROOT = Path(__file__).parents[2]

TIMM = {
    "resnet18": (1, (2, 2, 2, 2, 2)),
    "vgg11": (0, (2, 2, 2, 2, 2)),
    "convnext_atto": (1, (4, 2, 2, 2)),
    "mobilenetv3_small_050": (1, (2, 2, 2, 2, 2)),
    "efficientnet_lite0": (1, (2, 2, 2, 2, 2)),
    "regnety_002": (1, (2, 2, 2, 2, 2)),
    "swinv2_cr_tiny_ns_224": (1, (4, 2, 2, 2)),
    "swinv2_tiny_window8_256": (1, (4, 2, 2, 2)),
    "xception41": (1, (2, 2, 2, 2, 2)),
}


def narrow(name: str, depth: int = 2, **fields: Any) -> NestSpec:
    return NestSpec(encoder=name, depth=depth, widths=2, **fields)


def outputs(found: Any) -> list[Tensor]:
    return list(found.values()) if isinstance(found, dict) else [found]


def lived(model: nn.Module) -> nn.Module:
    """In eval mode, with norms that have seen something."""
    torch.manual_seed(0)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            for name, least, most in (("mean", -0.1, 0.1), ("var", 0.5, 2)):
                module.get_buffer(f"running_{name}").uniform_(least, most)
    return model.eval()


@pytest.mark.parametrize("name", TIMM)
def test_rows_are_read_off_the_model(name: str) -> None:
    found = encoder(f"timm:{name}")
    assert (found.first, found.strides) == TIMM[name]
    spec = narrow(f"timm:{name}", depth=3)
    assert spec.encoder_row == found.first
    assert spec.replace() == spec


@pytest.mark.parametrize("name", ["resnet18", "convnext_atto", "regnety_002"])
def test_the_stages_are_timms(name: str) -> None:
    """The same tensors in timm's own model give the same bits."""
    model = lived(build(narrow(f"timm:{name}")))
    theirs = timm.create_model(name, features_only=True).eval()
    own = model.get_submodule("encoder.stages").state_dict()
    theirs.load_state_dict(own, strict=False)
    x = torch.randn(2, 3, 64, 96)
    with torch.inference_mode():
        ours, whole = model.get_submodule("encoder")(x), theirs(x)
    assert len(ours) == 2 < len(whole)
    assert all(torch.equal(a, b) for a, b in zip(ours, whole, strict=False))


@pytest.mark.parametrize("name", [f"timm:{name}" for name in TIMM])
def test_shapes_and_cost_are_those_of_the_graph(name: str) -> None:
    spec = narrow(name)
    graph, model = NestGraph(spec), build(spec).eval()
    size = tuple(2 * by for by in graph.multiples)
    with torch.inference_mode():
        found = model.get_submodule("encoder")(torch.zeros(1, 3, *size))
    nodes = [node for node in graph.nodes if graph.foreign(node)]
    assert [tuple(stage.shape) for stage in found] == [
        (1, graph.width(node), *graph.size_at(node.i, size)) for node in nodes
    ]
    cost = graph_cost(graph, size)
    assert cost.parameters == sum(p.numel() for p in model.parameters())
    assert cost.weight_bytes == sum(t.nbytes for t in model.state_dict().values())


def test_macs_are_torchs() -> None:
    spec = narrow("timm:resnet18", depth=5)
    with torch.device("meta"):
        model, x = build(spec).eval(), torch.empty(1, 3, 64, 96)
    with FlopCounterMode(display=False) as flops:
        model(x)
    assert graph_cost(NestGraph(spec), (64, 96)).macs == flops.get_total_flops() // 2


def test_ours_and_timms_are_the_same_network() -> None:
    """ResNet-18 and -34 are one recipe: so many parameters, so much work."""
    for name in ("resnet18", "resnet34"):
        ours, theirs = (
            graph_cost(NestGraph(narrow(prefix + name, depth=5)), (64, 64))
            for prefix in ("", "timm:")
        )
        assert (ours.parameters, ours.macs) == (theirs.parameters, theirs.macs)


EXPORTED = ["vgg11", "resnet18", "resnet50"]
EXPORTED += [f"timm:{name}" for name in list(TIMM)[:6]]


@pytest.mark.parametrize("name", EXPORTED)
def test_exported_for_any_size(name: str) -> None:
    model = lived(build(narrow(name)))
    sides = {axis: Dim(f"s{axis}", min=1, max=4096) for axis in (2, 3)}
    x = torch.randn(2, 3, 19, 20)
    with torch.no_grad():
        one = torch.export.export(model, (x,)).module()
        program = torch.export.export(model, (x,), dynamic_shapes=(sides,)).module()
        for found in (one(x), program(x)):
            pairs = zip(outputs(found), outputs(model(x)), strict=True)
            assert all(torch.equal(a, b) for a, b in pairs)
        x = torch.randn(2, 3, 33, 50)
        pairs = zip(outputs(program(x)), outputs(model(x)), strict=True)
        assert all(torch.equal(a, b) for a, b in pairs)


def test_windows_are_exported_at_one_size() -> None:
    """A Swin makes its windows of the size, so that its export takes that one."""
    model, x = (
        build(narrow("timm:swinv2_tiny_window8_256", 1)),
        torch.randn(1, 3, 40, 30),
    )
    with torch.no_grad():
        program = torch.export.export(model.eval(), (x,)).module()
        assert torch.equal(program(x), model(x))


def test_the_encoders_own_weights_stay() -> None:
    torch.manual_seed(0)
    theirs = timm.create_model("convnext_atto", features_only=True, out_indices=(0, 1))
    torch.manual_seed(0)
    model = build(narrow("timm:convnext_atto"))
    ours = model.get_submodule("encoder.stages").state_dict()
    assert all(torch.equal(ours[name], t) for name, t in theirs.state_dict().items())
    with torch.no_grad():
        torch.manual_seed(1)
        model.reset_parameters()  # type: ignore[operator]
    after = model.get_submodule("encoder.stages").state_dict()
    assert all(torch.equal(after[name], t) for name, t in theirs.state_dict().items())


def test_the_same_seed_draws_the_same_weights() -> None:
    drawn = []
    for _ in range(2):
        torch.manual_seed(3)
        drawn.append(build(narrow("timm:resnet18")).state_dict())
    assert all(torch.equal(drawn[0][name], drawn[1][name]) for name in drawn[0])


def test_a_blank_network_has_its_tables_and_draws_nothing() -> None:
    """A Swin's table of positions is no part of the state dict."""
    torch.manual_seed(0)
    before = torch.random.get_rng_state()
    model = blank(narrow("timm:swinv2_tiny_window8_256", 1))
    assert {buffer.device.type for buffer in model.buffers()} == {"cpu"}
    assert torch.equal(torch.random.get_rng_state(), before)
    plain = blank(narrow("timm:resnet18"))
    assert {parameter.device.type for parameter in plain.parameters()} == {"meta"}


@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize("dims", [1, 2, 3])
def test_ours_have_any_number_of_axes(name: str, dims: int) -> None:
    depth = 2
    spec = narrow(
        name,
        depth,
        dims=dims,
        node_widths=dict.fromkeys(ENCODERS[name].names(depth), 4),
        block={"norm": "instance", "activation": "silu"},
    )
    model, x = build(spec).eval(), torch.randn(1, 3, *(9, 14, 11)[:dims])
    with torch.inference_mode():
        assert {tuple(y.shape) for y in outputs(model(x))} == {(1, 1, *x.shape[2:])}


WRONG: list[tuple[dict[str, Any], str]] = [
    (
        {"encoder": "timm:resnet35"},
        "encoder: 'timm:resnet35' is no model of timm; near it are resnet",
    ),
    ({"encoder": "timm:Qq"}, "'timm:Qq' is no model of timm; timm.list_models()"),
    (
        {"encoder": "timm:resnet18", "depth": 6},
        "encoder: 'timm:resnet18' is not allowed, it reaches row 5 and the depth is 6",
    ),
    (
        {"encoder": "timm:resnet18", "dims": 3},
        "encoder: 'timm:resnet18' is not allowed with 3 axes, it has 2",
    ),
    (
        {"encoder": "timm:convnext_atto", "depth": 2, "strides": 2},
        "strides: [2, 2] is not allowed, timm:convnext_atto has [4, 2]",
    ),
    (
        {"encoder": "timm:resnet18", "depth": 2, "node_widths": {"x1_0": 8}},
        "node_widths: x1_0 of timm:resnet18 has 64",
    ),
    (
        {"encoder": "timm:vit_tiny_patch16_224"},
        "its stages are coarser than the image by [16, 16, 16]",
    ),
    ({"encoder": "timm:inception_v3"}, "encoder: 'timm:inception_v3' is not allowed, "),
    ({"encoder": "timm:maxvit_tiny_rw_224"}, "must be divisible by window"),
    ({"encoder": "timm:hrnet_w18_small"}, "'timm:hrnet_w18_small' is not allowed"),
    ({"encoder": "timm:test_vit"}, "models whose stages halve images of any size"),
]


@pytest.mark.parametrize(("fields", "message"), WRONG)
def test_what_cannot_be_an_encoder_is_refused(
    fields: dict[str, Any], message: str
) -> None:
    with pytest.raises(SpecError) as caught:
        NestSpec(**fields)
    assert message in str(caught.value)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("lie", "message"),
    [
        ({"encoder_row": 0}, "encoder_row: 0 is not allowed, 1"),
        ({"strides": [2, 4]}, "strides: [2, 4] is not allowed, timm:resnet18 has"),
        ({"node_widths": {"x1_0": 8}}, "node_widths: x1_0 of timm:resnet18 has 64"),
    ],
)
def test_a_file_that_lies_about_its_encoder_is_not_written(
    lie: dict[str, Any], message: str
) -> None:
    spec = narrow("timm:resnet18").replace(**lie)
    with pytest.raises(SpecError) as caught:
        source(spec)
    assert message in str(caught.value)


WITHOUT = """
import sys
sys.path.insert(0, {root!r})
sys.modules["timm"] = None
from nestgen.arch.graph import NestGraph
from nestgen.arch.spec import NestSpec
spec = NestSpec(**{fields!r})
print(len(NestGraph(spec.cut([1])).nodes))
try:
    NestSpec(encoder="timm:resnet34")
except Exception as error:
    print(type(error).__name__, error)
"""


def test_a_complete_spec_needs_no_timm() -> None:
    """It is drawn and cut where timm is not; a new one says what is missing."""
    fields = narrow("timm:resnet18").model_dump(exclude_none=True)
    text = WITHOUT.format(root=str(ROOT), fields=fields)
    child = subprocess.run([sys.executable, "-c", text], capture_output=True)
    assert child.returncode == 0, child.stderr.decode()
    nodes, line = child.stdout.decode().splitlines()
    assert nodes == "3"
    assert line.startswith(
        "SpecError encoder: 'timm:resnet34' needs timm, which cannot"
    )
    assert "pip install 'nestgen[timm]'" in line
