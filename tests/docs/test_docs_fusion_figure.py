"""The picture of what is fused is what its script draws, and tells true numbers."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmarks.roofline import STYLES, Run
from docs import fusion_figure
from nestgen.arch.graph import NestGraph, Node
from nestgen.arch.spec import NestSpec

HALF = {"written": ("eager", ["up", "cat", "conv1", "norm", "act"])}
HALF["fused"] = ("fused", ["conv1"])


def test_picture_is_what_the_script_makes(tmp_path: Path) -> None:
    fusion_figure.main(tmp_path / "fusion.svg")
    made = (tmp_path / "fusion.svg").read_text("utf-8")
    assert made == fusion_figure.FILE.read_text("utf-8")
    title, told = list(ElementTree.fromstring(made))[:2]
    assert (title.text, str(told.text)[:12]) == (fusion_figure.TITLE, "Three parts.")


@pytest.mark.parametrize(("way", "told"), [("written", 12.5), ("fused", 2.5)])
def test_numbers_are_those_of_the_kernels(way: str, told: float) -> None:
    """But for weights, and for the pass of an up-sampling's bias."""
    style, names = HALF[way]
    run = Run(NestGraph(NestSpec(widths=32)), STYLES[style], (512, 512), 8, 2)
    there = {k.name: k.moved for k in run.kernels if k.node == Node(0, 1)}
    whole = 2 * 8 * 512 * 512 * 32
    assert sum(there[name] for name in names) / whole == pytest.approx(told, rel=1e-3)
    assert fusion_figure.total(getattr(fusion_figure, way)()) == told
