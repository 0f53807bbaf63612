"""Weights with the channels beside each other: so are the images between them."""

from __future__ import annotations

from nestgen.fusion.choose import KERNELS, MEASURED
from nestgen.fusion.work import Work
from nestgen.kernels.layout import channels_last


def lay_out(work: Work) -> None:
    """Where kernels read images, torch's own convolutions give them as they read them.

    Torch gives an image in the layout of the weight that it was convolved by.
    """
    if work.target in (MEASURED, *KERNELS):
        for parameter in work.traced.parameters():
            if parameter.ndim == 4:
                parameter.data = channels_last(parameter.data)
