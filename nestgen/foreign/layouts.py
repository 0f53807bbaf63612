"""The layouts that are known. To add one: its file, its line here, its test."""

from __future__ import annotations

from nestgen.errors import WeightsError
from nestgen.foreign import basic_unetplusplus, pytorch_nested_unet
from nestgen.foreign.layout import Layout

LAYOUTS: dict[str, Layout] = {
    "4uiiurz1": pytorch_nested_unet.LAYOUT,
    "monai-basicunetplusplus": basic_unetplusplus.LAYOUT,
}


def find_layout(name: str) -> Layout:
    """The layout called `name`.

    >>> find_layout("4uiiurz1").title
    'a network of 4uiiurz1/pytorch-nested-unet'
    """
    if name not in LAYOUTS:
        known = " or ".join(map(repr, LAYOUTS))
        raise WeightsError(f"layout: {name!a} is not allowed, {known}")
    return LAYOUTS[name]
