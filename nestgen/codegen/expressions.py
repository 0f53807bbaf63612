"""Expressions of the generated source: calls of names, and how they are printed."""

from __future__ import annotations

import keyword
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from nestgen.errors import SpecError

WIDTH = 88


class Code(str):
    """Text that a filter has checked, and that a template may print."""

    __slots__ = ()


@dataclass(frozen=True)
class Call:
    """`function(*arguments, **keywords)`; a text among the arguments is a name.

    >>> str(expression(Call("nn.Conv2d", ("channels", 1), (("kernel_size", (1, 3)),))))
    'nn.Conv2d(channels, 1, kernel_size=(1, 3))'
    """

    function: str
    arguments: tuple[Expression, ...] = ()
    keywords: tuple[tuple[str, Expression], ...] = ()


@dataclass(frozen=True)
class Times:
    """A product of a number and a name."""

    factor: int
    name: str


@dataclass(frozen=True)
class Infix:
    """Two names with `+` or `*` between them."""

    left: str
    sign: Literal["+", "*"]
    right: str


@dataclass(frozen=True)
class Text:
    """A string literal of plain letters, digits and `.`, `-`, `_`."""

    value: str


Expression = (
    Call | Times | Infix | Text | str | bool | int | float | tuple["Expression", ...]
)


def identifier(value: object) -> Code:
    """A Python name.

    >>> identifier("x0_1")
    'x0_1'
    >>> identifier("x; import os")
    Traceback (most recent call last):
    nestgen.errors.SpecError: 'x; import os' is no Python name
    """
    name = str(value)
    if not (name.isascii() and name.isidentifier()) or keyword.iskeyword(name):
        raise SpecError(f"{value!a} is no Python name")
    return Code(name)


def literal(value: object) -> Code:
    """A number or a truth value, as Python writes it.

    >>> literal(0.5), literal(True)
    ('0.5', 'True')
    """
    if type(value) not in (bool, int, float):
        raise SpecError(f"{value!a} is no number")
    return Code(repr(value))


def text(value: object) -> Code:
    """One line of prose for a docstring or a comment, unable to end it.

    >>> text('ends \"\"\" here')
    Traceback (most recent call last):
    nestgen.errors.SpecError: 'ends \"\"\" here' cannot stand in a docstring
    """
    line = str(value)
    if not line.isprintable() or "\\" in line or '"""' in line:
        raise SpecError(f"{value!a} cannot stand in a docstring")
    return Code(line)


def expression(value: Expression) -> Code:
    """An expression on one line.

    >>> expression(Call("self.up", ("x1_0",)))
    'self.up(x1_0)'
    """
    if isinstance(value, Call):
        return Code(f"{_dotted(value.function)}({', '.join(_parts(value))})")
    if isinstance(value, Times):
        return Code(f"{literal(value.factor)} * {identifier(value.name)}")
    if isinstance(value, Infix):
        return Code(f"{_dotted(value.left)} {value.sign} {_dotted(value.right)}")
    if isinstance(value, Text):
        return _string(value)
    if isinstance(value, tuple):
        inside = ", ".join(map(expression, value))
        return Code(f"({inside},)" if len(value) == 1 else f"({inside})")
    return _dotted(value) if isinstance(value, str) else literal(value)


def assign(
    targets: Sequence[str],
    value: Expression,
    indent: int,
    note: str = "",
    unpack: bool = False,
) -> Code:
    """`targets = value  # note`, broken as ruff would if it is too long.

    Several targets take the items of a list, and so does one that is to `unpack` it.

    >>> assign(["x0_1"], Call("self.x0_1", ("x0_0",)), 4, "[N, 8, H, W]")
    'x0_1 = self.x0_1(x0_0)  # [N, 8, H, W]'
    >>> assign(["x1_0"], Call("self.encoder", ("x",)), 4, unpack=True)
    '[x1_0] = self.encoder(x)'
    """
    left = ", ".join(_dotted(target) for target in targets)
    left = f"[{left}]" if unpack and len(targets) == 1 else left
    comment = f"  # {text(note)}" if note else ""
    return Code(_broken(f"{left} = ", value, indent, comment))


def names_in(value: Expression) -> set[str]:
    """The names that an expression reads, of what it calls not the function's.

    >>> sorted(names_in(Call("self.x0_1", (Call("self.up0_1", ("x1_0",)), "x0_0"))))
    ['x0_0', 'x1_0']
    """
    if isinstance(value, Call):
        return names_in((*value.arguments, *(part for _, part in value.keywords)))
    if isinstance(value, tuple):
        return {name for part in value for name in names_in(part)}
    return {value} if isinstance(value, str) else set()


def _broken(before: str, value: Expression, indent: int, after: str) -> str:
    """`value` between `before` and `after`, the arguments of a call on lines of their
    own where one line is too long."""
    line = f"{before}{expression(value)}{after}"
    if indent + len(line) <= WIDTH or not isinstance(value, Call):
        return line
    pad = " " * indent
    inside = [("", argument) for argument in value.arguments]
    inside += [(f"{identifier(name)}=", argument) for name, argument in value.keywords]
    lines = [_broken(name, argument, indent + 4, ",") for name, argument in inside]
    body = "".join(f"{pad}    {line}\n" for line in lines)
    return f"{before}{_dotted(value.function)}(\n{body}{pad}){after}"


def _parts(call: Call) -> list[str]:
    return [
        *map(expression, call.arguments),
        *(f"{identifier(name)}={expression(value)}" for name, value in call.keywords),
    ]


def _dotted(name: str) -> Code:
    return Code(".".join(identifier(part) for part in name.split(".")))


def _string(value: Text) -> Code:
    if not value.value.replace(".", "").replace("-", "").replace("_", "").isalnum() or (
        not value.value.isascii()
    ):
        raise SpecError(f"{value.value!a} is no plain text")
    return Code(f'"{value.value}"')
