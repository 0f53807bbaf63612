"""Any size of input: padded as the level needs, cropped, and the same if exported."""

from __future__ import annotations

import io
from itertools import product
from typing import Any

import onnxruntime
import pytest
import torch
from torch import Tensor, fx, nn
from torch.export import Dim
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from nestgen.arch.graph import NestGraph
from nestgen.arch.spec import NestSpec
from nestgen.codegen.load import build, spec_of
from nestgen.surgery.cut import prune

KINDS: list[dict[str, Any]] = [
    {},
    {"up": "bilinear", "block": {"norm": "instance"}},
    {"up": "bilinear-aligned", "block": {"kind": "residual", "drop_path": 0.5}},
    {"up": "nearest", "skip": "gate", "block": {"kind": "convnext", "norm": "layer"}},
    {"up": "pixel-shuffle-blur", "skip": "se", "block": {"kind": "inverted"}},
    {"family": "unet3+"},
    {"dims": 1, "up": "linear"},
    {"dims": 3, "strides": [[1, 2, 2], 2], "kernel_sizes": [[1, 3, 3], 3, 3]},
]
SIZES = [(19, 20, 21), (16, 16, 16), (1, 1, 1), (40, 33, 17), (8, 24, 4), (5, 7, 3)]


def lived_in(spec: NestSpec) -> nn.Module:
    """A network in eval mode whose norms have seen something."""
    torch.manual_seed(0)
    model = build(spec)
    with torch.no_grad():
        model.train()(torch.randn(4, 3, *(2 * by for by in NestGraph(spec).multiples)))
    return model.eval()


def outputs(found: Any) -> list[Tensor]:
    return list(found.values()) if isinstance(found, dict) else [found]


def bare_twin(model: nn.Module) -> nn.Module:
    """The same network without its padding."""
    bare = build(spec_of(model).replace(pad=False)).eval()
    bare.load_state_dict(model.state_dict())
    return bare


def padded_by_hand(bare: nn.Module, x: Tensor, multiples: tuple[int, ...]) -> Tensor:
    """A network that does not pad, between torch's replication and a slice."""
    sides = zip(x.shape[2:], multiples, strict=True)
    after = [(0, -side % by) for side, by in sides]
    pads = [number for pair in reversed(after) for number in pair]
    found: Tensor = bare(functional.pad(x, pads, mode="replicate"))
    return found[:, :, : x.shape[2], : x.shape[3]]


@pytest.mark.parametrize("level", [1, 2, 3])
def test_every_size_at_every_level(level: int) -> None:
    """Sides from 1 to 40, each level padding to the multiple of its own depth."""
    whole = lived_in(NestSpec(depth=3, widths=2))
    small = prune(whole, level).eval()
    bare, multiples = bare_twin(small), NestGraph(spec_of(small)).multiples
    assert multiples == (2**level, 2**level)
    image = torch.randn(1, 3, 40, 40)
    with torch.inference_mode():
        for height, width in product(range(1, 41), repeat=2):
            x = image[:, :, :height, :width]
            found = small(x)
            assert found.shape == (1, 1, height, width)
            assert torch.equal(found, padded_by_hand(bare, x, multiples))


def test_another_padding_would_be_seen() -> None:
    small = prune(lived_in(NestSpec(depth=3, widths=2)), 2).eval()
    x = torch.randn(1, 3, 9, 9)
    assert not torch.equal(small(x), padded_by_hand(bare_twin(small), x, (8, 8)))


class Copies(TorchDispatchMode):
    """Which operations ran."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.seen: list[str] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        self.seen.append(str(func))
        return func(*args, **(kwargs or {}))


def test_a_size_that_fits_costs_nothing() -> None:
    """Not one operation more than the network that does not pad at all."""
    model = lived_in(NestSpec(depth=2, widths=2))
    seen = []
    for network, side in ((model, 8), (bare_twin(model), 8), (model, 9)):
        with torch.inference_mode(), Copies() as copies:
            network(torch.zeros(1, 3, side, side))
        seen.append(copies.seen)
    fits, unpadded, odd = seen
    assert fits == unpadded
    assert any("index_select" in name for name in odd)


def dynamic(dims: int) -> dict[int, Any]:
    sides = {axis: Dim(f"s{axis}", min=1, max=4096) for axis in range(2, 2 + dims)}
    return {0: Dim("n", min=1, max=64), **sides}


@pytest.mark.parametrize("fields", KINDS, ids=str)
def test_exported_for_any_size(fields: dict[str, Any]) -> None:
    """One program, of which torch.export promises every size; and the same bits."""
    model = lived_in(NestSpec(depth=2, widths=4, **fields))
    dims = spec_of(model).dims
    x = torch.randn(2, 3, *SIZES[0][:dims])
    program = torch.export.export(model, (x,), dynamic_shapes=(dynamic(dims),)).module()
    for size in SIZES:
        x = torch.randn(3, 3, *size[:dims])
        for ours, theirs in zip(outputs(model(x)), outputs(program(x)), strict=True):
            assert torch.equal(ours, theirs), size


def test_a_program_of_one_size_pads_by_what_it_knows() -> None:
    model = lived_in(NestSpec(depth=2, widths=4))
    for side, extra in ((8, 0), (9, 2)):
        program = torch.export.export(model, (torch.randn(1, 3, side, side),))
        names = [str(node.target) for node in program.graph.nodes]
        assert sum("index_select" in name for name in names) == 3 * extra
        assert not any("item" in name for name in names)


def test_an_export_without_the_padding_takes_multiples_alone() -> None:
    model = lived_in(NestSpec(depth=2, widths=4, pad=False))
    shapes = dynamic(2)
    with pytest.raises(Exception, match="Constraints violated"):
        torch.export.export(
            model, (torch.randn(2, 3, 16, 16),), dynamic_shapes=(shapes,)
        )
    fours = {2: 4 * Dim("h", min=2, max=99), 3: 4 * Dim("w", min=2, max=99)}
    program = torch.export.export(
        model, (torch.randn(2, 3, 16, 20),), dynamic_shapes=({**shapes, **fours},)
    )
    x = torch.randn(1, 3, 24, 8)
    found = outputs(program.module()(x))
    assert all(map(torch.equal, found, outputs(model(x))))


@pytest.mark.filterwarnings("ignore")  # the exporter's own
@pytest.mark.parametrize("fields", [KINDS[0], KINDS[3], KINDS[7]], ids=str)
def test_onnx_for_any_size(fields: dict[str, Any]) -> None:
    model = lived_in(NestSpec(depth=2, widths=4, **fields))
    dims = spec_of(model).dims
    x = torch.randn(1, 3, *SIZES[0][:dims])
    program = torch.onnx.export(
        model, (x,), dynamo=True, dynamic_shapes=(dynamic(dims),), verbose=False
    )
    buffer = io.BytesIO()
    program.save(buffer)  # type: ignore[union-attr, arg-type]
    session = onnxruntime.InferenceSession(buffer.getvalue())
    for size in SIZES:
        x = torch.randn(3, 3, *size[:dims])
        found = session.run(None, {session.get_inputs()[0].name: x.numpy()})
        for ours, theirs in zip(outputs(model(x)), found, strict=True):
            torch.testing.assert_close(torch.from_numpy(theirs), ours)


def test_compiled_for_any_size() -> None:
    model = lived_in(NestSpec(depth=2, widths=4))
    compiled = torch.compile(model, dynamic=True, fullgraph=True, backend="aot_eager")
    with torch.inference_mode():
        for size in SIZES[:3]:
            x = torch.randn(2, 3, *size[:2])
            for ours, theirs in zip(
                outputs(model(x)), outputs(compiled(x)), strict=True
            ):
                torch.testing.assert_close(theirs, ours)


def test_traced_for_any_size() -> None:
    """torch.fx keeps the padding as one call, and so every size."""
    model = lived_in(NestSpec(depth=2, widths=4))
    traced = fx.symbolic_trace(model)
    for size in SIZES:
        x = torch.randn(2, 3, *size[:2])
        assert all(map(torch.equal, outputs(traced(x)), outputs(model(x))))
