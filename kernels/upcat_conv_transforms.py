"""The hot path under torch.func, whose transforms do not see into custom operators."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from nestgen.kernels.autocast import no_autocast
from nestgen.kernels.upcat_conv_backward import upcat_conv_backward


class Transformable(torch.autograd.Function):
    """`nestgen::upcat_conv`, as grad, vjp and vmap of torch.func take it.

    Arguments are those that are no tensors, (up, up_last, slope, impl), then low,
    weight, bias, up_weight, up_bias and each skip.
    """

    @staticmethod
    def forward(options: tuple[str, bool, float, str], *tensors: Any) -> Tensor:
        """One call of the operator."""
        low, weight, bias, up_weight, up_bias, *skips = tensors
        up, up_last, slope, impl = options
        with torch.no_grad():  # the gradient is this class's own
            y: Tensor = torch.ops.nestgen.upcat_conv(
                low, skips, weight, bias, up, up_weight, up_bias, up_last, slope, impl
            )
        return y

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        """Keep what the gradient needs."""
        ctx.options, *tensors = inputs
        ctx.save_for_backward(output, *tensors)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        """The gradients, in the order of the arguments, in operators of torch."""
        with no_autocast(gradients[0]):
            return gradients_of(ctx, upcat_conv_backward, *gradients)

    @staticmethod
    def vmap(info: Any, axes: tuple[Any, ...], options: Any, *tensors: Any) -> Any:
        """One call for each of what is mapped over."""
        each = [
            Transformable.apply(
                options,
                *(
                    x if axis is None else x.select(axis, n)
                    for x, axis in zip(tensors, axes[1:], strict=True)
                ),
            )  # type: ignore[no-untyped-call]
            for n in range(info.batch_size)
        ]
        return torch.stack(each), 0


def gradients_of(ctx: Any, backward: Any, gradient: Tensor) -> tuple[Any, ...]:
    """What `backward` finds, in the order of the arguments of `Transformable`."""
    y, low, weight, bias, up_weight, up_bias, *skips = ctx.saved_tensors
    up, *others, _ = ctx.options
    found = iter(
        backward(gradient, y, low, skips, weight, up, up_weight, up_bias, *others)
    )
    of_low = None if low is None else next(found)
    of_skips = [next(found) for _ in skips]
    of_weight, of_bias = next(found), next(found)
    of_up = [None if x is None else next(found) for x in (up_weight, up_bias)]
    of_bias = None if bias is None else of_bias
    return (None, of_low, of_weight, of_bias, *of_up, *of_skips)
