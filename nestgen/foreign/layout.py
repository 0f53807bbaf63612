"""Layout: how the modules of someone else's network are called, and what it assumes."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from nestgen.arch.spec import NestSpec


@dataclass(frozen=True)
class Layout:
    """The state dicts of one network of others.

    Attributes:
        title: what it is and whose.
        modules: (theirs, ours): how a module is called, `{i}`, `{j}` standing for
            numbers. The first that fits is taken, both ways. The last level's head,
            where its name does not say which that is, is `head_L`.
        assumed: the fields of a spec that no tensor tells.
        norm: the one whose tensors have no running statistics.
        shuffle: the sub-pixel convolution.
        arguments: of the original's constructor, from the spec and the tensors' names.
        original: where the original is, as `module:Class`; None where users name it.
    """

    title: str
    modules: tuple[tuple[str, str], ...]
    assumed: Mapping[str, Any]
    arguments: Callable[[NestSpec, frozenset[str]], dict[str, Any]]
    norm: str = "instance"
    shuffle: str = "pixel-shuffle"
    original: str | None = None

    def ours(self, name: str, depth: int) -> str | None:
        """What nestgen calls the tensor `name`; None where it knows none of that name.

        >>> layout = Layout("", (("conv{i}_{j}.bn1", "x{i}_{j}.norm1"),), {}, dict)
        >>> layout.ours("conv0_1.bn1.bias", 4), layout.ours("fc.bias", 4)
        ('x0_1.norm1.bias', None)
        """
        found = _renamed(name, self.modules)
        last = found is not None and found.startswith("head_L.")
        return found.replace("L.", f"L{depth}.", 1) if found and last else found

    def theirs(self, name: str, depth: int) -> str:
        """What they call our tensor `name`; where they have none, it is our name.

        >>> layout = Layout("", (("conv{i}_{j}.bn1", "x{i}_{j}.norm1"),), {}, dict)
        >>> layout.theirs("x0_1.norm1.bias", 4), layout.theirs("gate.bias", 4)
        ('conv0_1.bn1.bias', 'gate.bias')
        """
        back = tuple((ours, theirs) for theirs, ours in self.modules)
        last = name.replace(f"head_L{depth}.", "head_L.")
        return _renamed(name, back) or _renamed(last, back) or name


def _renamed(name: str, pairs: tuple[tuple[str, str], ...]) -> str | None:
    module, _, tensor = name.rpartition(".")
    for one, other in pairs:
        found = _pattern(one).fullmatch(module)
        if found:
            return f"{other.format(**found.groupdict())}.{tensor}"
    return None


@cache
def _pattern(template: str) -> re.Pattern[str]:
    """The template as a pattern; no number in a name is written with a leading zero."""
    quoted = re.escape(template).replace(r"\{", "{").replace(r"\}", "}")
    return re.compile(re.sub(r"\{(\w)\}", r"(?P<\1>0|[1-9][0-9]?)", quoted))
