"""A backend: one way to run a network."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Case:
    """A network in eval mode, and an input for it, on one device and of one dtype."""

    module: nn.Module
    x: Tensor

    @cached_property
    def onnx(self) -> bytes:
        """The network as an ONNX model for inputs of just this shape."""
        with warnings.catch_warnings(), torch.inference_mode(False), torch.no_grad():
            warnings.simplefilter("ignore")  # the exporter's own
            program = torch.onnx.export(
                self.module, (self.x,), dynamo=True, verbose=False
            )
            assert program is not None
        model: bytes = program.model_proto.SerializeToString()
        return model


@dataclass(frozen=True)
class Ready:
    """What is left to do for each pass.

    Attributes:
        run: one pass; gives what the network gives, in tensors or arrays.
        peak_bytes: the most bytes of tensors alive at once in a pass, where torch sees
            them.
    """

    run: Callable[[], Any]
    peak_bytes: Callable[[], int] | None = None


@dataclass(frozen=True)
class Backend:
    """A way to run a network.

    Attributes:
        prepare: everything that is done once. It may raise whatever it likes and leaves
            the case as it is.
        missing: why it cannot be used on a device; None where it can.
        dtypes: of weights and inputs that it takes.
        forget: drops what earlier cases have left behind.
    """

    prepare: Callable[[Case], Ready]
    missing: Callable[[torch.device], str | None] = lambda device: None
    dtypes: tuple[torch.dtype, ...] = (torch.float32, torch.bfloat16, torch.float16)
    forget: Callable[[], object] = lambda: None
