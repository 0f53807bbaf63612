"""The source text of a network: what `nestgen build` writes."""

from __future__ import annotations

from nestgen.arch.graph import NestGraph
from nestgen.arch.spec import NestSpec
from nestgen.codegen.environment import environment
from nestgen.codegen.plan import plan


def source(spec: NestSpec) -> str:
    """A Python file that needs torch alone: one class, and a script that shows it.

    The same spec gives the same text, formatted as ruff would.

    >>> print(source(NestSpec(depth=1)).splitlines()[0])
    \"\"\"UNet++ of depth 1.
    """
    template = environment().get_template("module.py.jinja")
    return template.render(net=plan(NestGraph(spec)))
