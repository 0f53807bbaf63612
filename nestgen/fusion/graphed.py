"""A fused network as one CUDA graph: the GPU is asked once for all of its launches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from nestgen.errors import SettingsError
from nestgen.fusion.fused import Fused
from nestgen.fusion.report import Report
from nestgen.surgery.kept import Inputs

WARM_UP = 3
"""Passes before the capture: kernels are compiled and libraries set up by then."""


class Graphed(nn.Module):
    """A network that is captured for inputs of one shape, and replayed for others.

    It takes tensors of the example's shapes, dtypes and device, and gives new ones
    each time. Another shape is a `ValueError`.

    Attributes:
        network: that was captured.
    """

    def __init__(self, network: Fused, example: Inputs) -> None:
        super().__init__()
        require_gpu(example)
        self.network = network
        self._held = tuple(x.clone() for x in example)
        self._replay, self._given = _captured(lambda: network(*self._held), example)

    @property
    def report(self) -> Report:
        """What was done to each convolution."""
        return self.network.report

    def forward(self, *inputs: Tensor) -> Any:
        """What the network gives."""
        allowed, given = _described(self._held), _described(inputs)
        if given != allowed:
            raise ValueError(f"{given}: is not allowed, {allowed} as it was captured")
        with torch.inference_mode():  # in which they may have been made
            for held, x in zip(self._held, inputs, strict=True):
                held.copy_(x)
        self._replay()
        return tree_map(_copied, self._given)


def require_gpu(example: Inputs) -> None:
    """Raise `SettingsError` where there is no CUDA device to capture for."""
    for x in example:
        if x.device.type != "cuda":
            raise SettingsError(
                f"cuda_graph: an example on {x.device} is not allowed, one on cuda"
            )


def _captured(
    run: Callable[[], Any], example: Inputs
) -> tuple[Callable[[], object], Any]:
    """What replays a run, and the tensors in which it leaves what it gives."""
    with torch.cuda.device(example[0].device), torch.inference_mode():
        aside: torch.cuda.Stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(WARM_UP):
                run()
        torch.cuda.current_stream().wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            given = run()
    return graph.replay, given


def _copied(leaf: Any) -> Any:
    return leaf.clone() if isinstance(leaf, Tensor) else leaf


def _described(inputs: Inputs) -> str:
    """Shapes, dtypes and devices in words."""
    return ", ".join(f"{list(x.shape)} {x.dtype} on {x.device}" for x in inputs)
