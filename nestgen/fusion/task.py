"""A hot path with images, and the ways to compute it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, fx
from torch.nn import functional as F

from nestgen.fusion.choice import Choice
from nestgen.fusion.compose import of_low
from nestgen.fusion.launch import head_of, outputs_of, readers
from nestgen.fusion.lowered import lowered
from nestgen.fusion.match import HotPath
from nestgen.fusion.work import Work
from nestgen.kernels.activation import activation
from nestgen.kernels.call import Call, Output
from nestgen.kernels.call_reference import made_of
from nestgen.kernels.fused_conv import IMPLEMENTATIONS, fused_conv
from nestgen.kernels.layout import channels_last, concatenated
from nestgen.kernels.upcat_conv_reference import up2x

Compute = Callable[[], list[Tensor]]
Head = tuple[Tensor | None, Tensor | None]


@dataclass(frozen=True)
class Task:
    """A hot path, its images, and what is asked of it.

    Attributes:
        path: whose weights are taken.
        skips: an image [N, C, H, W] for each of the path's, channels_last.
        low: of half the resolution, or None.
        outputs: see `Call`.
        head: weight and bias of the logits.
    """

    path: HotPath
    skips: Sequence[Tensor]
    low: Tensor | None
    outputs: tuple[Output, ...]
    head: Head

    @classmethod
    def of(cls, work: Work, path: HotPath) -> Task:
        """With random images, of the shapes that they have for the example."""
        weight, taken = path.convolution.weight, readers(work, path)
        device = weight.device
        chance = torch.Generator(device).manual_seed(0)

        def image(node: fx.Node) -> Tensor:
            x = torch.randn(work.shape(node), generator=chance, device=device)
            return x.to(weight.dtype)

        task = cls(
            path,
            [image(skip) for skip in path.skips],
            None if path.low is None else image(path.low),
            outputs_of(path, taken),
            head_of(work, taken),
        )
        return task.to(weight.dtype)

    def to(self, dtype: torch.dtype) -> Task:
        """The same in another dtype, and with all images and weights channels_last."""

        def cast(tensor: Any) -> Any:
            if tensor is None:
                return None
            changed = tensor.detach().to(dtype)
            return channels_last(changed) if changed.ndim == 4 else changed

        path, convolution = self.path, self.path.convolution
        weights = ("own", "of_up", "up_weight", "up_bias")
        return Task(
            replace(
                path,
                convolution=replace(
                    convolution,
                    weight=cast(convolution.weight),
                    bias=cast(convolution.bias),
                ),
                **{name: cast(getattr(path, name)) for name in weights},
            ),
            [cast(skip) for skip in self.skips],
            cast(self.low),
            self.outputs,
            (cast(self.head[0]), cast(self.head[1])),
        )

    def by(self, choice: Choice) -> Compute:
        """The function that computes it in this way, with all weights made before."""
        if choice.impl != "torch":
            return self._by_kernel(choice)
        return self._written if choice.form == "written" else self._apart(choice.form)

    def why_not(self, choice: Choice) -> str | None:
        """Why a kernel cannot compute it so, or None where it can."""
        if choice.impl == "torch":
            return None
        return IMPLEMENTATIONS[choice.impl].why_not(self.call(choice.form))

    def call(self, form: str) -> Call:
        """As one launch of a kernel."""
        made = lowered(self.path, form)
        low, skips = self.low, self.skips
        if made.up == "none":
            low, skips = None, self._parts()
        return Call(
            skips, made.weight, made.bias, low, made.low_weight, made.up,
            self.path.slope, self.outputs, *self.head,
        )  # fmt: skip

    def _by_kernel(self, choice: Choice) -> Compute:
        call = self.call(choice.form)

        def compute() -> list[Tensor]:
            # what is up-sampled before counts too
            images = self._parts() if call.up == "none" else self.skips
            launched = replace(call, skips=images)
            return fused_conv(launched, choice.impl, choice.configuration)

        return compute

    def _parts(self) -> list[Tensor]:
        """What is concatenated, the up-sampled input in its place."""
        path, parts = self.path, list(self.skips)
        if path.raised is not None:
            parts.insert(path.parts.index(path.raised), self._raised())
        return parts

    def _raised(self) -> Tensor:
        path, low = self.path, self.low
        assert low is not None
        return channels_last(up2x(low, path.up, path.up_weight, path.up_bias))

    def _written(self) -> list[Tensor]:
        convolution = self.path.convolution
        x = concatenated(self._parts())
        return self._made_of(
            F.conv2d(x, convolution.weight, convolution.bias, padding=1)
        )

    def _apart(self, form: str) -> Compute:
        """The skips, and what is up-sampled, convolved apart (see `compose`)."""
        path, convolution = self.path, self.path.convolution
        module: Any = of_low(path, form)
        other = module.to(memory_format=torch.channels_last)

        def compute() -> list[Tensor]:
            source = self._raised() if form == "split" else self.low
            skips = concatenated(self.skips)
            own = F.conv2d(skips, path.own, convolution.bias, padding=1)
            return self._made_of(own + other(source))

        return compute

    def _made_of(self, before: Tensor) -> list[Tensor]:
        y = activation(before, self.path.slope)
        return made_of(y, self.outputs, *self.head)
