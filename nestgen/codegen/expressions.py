"""Expressions of the generated source: calls of names, and how they are printed."""

from __future__ import annotations

import ast
import keyword
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from nestgen.errors import SpecError

WIDTH = 88


_OF_CONDITIONS = (
    *(ast.Expression, ast.Compare, ast.BinOp, ast.BoolOp, ast.UnaryOp),
    *(ast.Name, ast.Load),
    *(ast.operator, ast.cmpop, ast.boolop, ast.unaryop),
)


class Code(str):
    """Text that a filter has checked, and that a template may print."""

    __slots__ = ()


@dataclass(frozen=True)
class Call:
    """`function(*arguments, **keywords)`; a text among the arguments is a name.

    >>> str(expression(Call("nn.Conv2d", ("channels", 1), (("kernel_size", (1, 3)),))))
    'nn.Conv2d(channels, 1, kernel_size=(1, 3))'
    """

    function: str | Path
    arguments: tuple[Expression, ...] = ()
    keywords: tuple[tuple[str, Expression], ...] = ()


@dataclass(frozen=True)
class Times:
    """A product of a number and a name."""

    factor: int
    name: str


@dataclass(frozen=True)
class Infix:
    """Two names or numbers with a sign between them."""

    left: str | bool | int | float
    sign: Literal["+", "-", "*", "/", "//", "%"]
    right: str | bool | int | float


@dataclass(frozen=True)
class Item:
    """`value[index]`."""

    value: Expression
    index: int


@dataclass(frozen=True)
class Path:
    """A name and the names of what is inside, where each may be any plain text.

    >>> str(expression(Path(("self", "block", "0", "conv"))))
    'self.block["0"].conv'
    """

    names: tuple[str, ...]


@dataclass(frozen=True)
class Text:
    """A string literal of one line in ASCII, without quotes and backslashes."""

    value: str


Expression = (
    Call
    | Times
    | Infix
    | Item
    | Path
    | Text
    | str
    | bool
    | int
    | float
    | None
    | tuple["Expression", ...]
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
    if not is_name(name):
        raise SpecError(f"{value!a} is no Python name")
    return Code(name)


def is_name(text: str) -> bool:
    """Whether a text is a Python name in plain letters.

    >>> is_name("x0_1"), is_name("0"), is_name("class")
    (True, False, False)
    """
    return text.isascii() and text.isidentifier() and not keyword.iskeyword(text)


def literal(value: object) -> Code:
    """A number or a truth value, as Python writes it.

    >>> literal(0.5), literal(True)
    ('0.5', 'True')
    """
    if type(value) not in (bool, int, float):
        raise SpecError(f"{value!a} is no number")
    if isinstance(value, float) and not math.isfinite(value):
        return Code(f'float("{value}")')
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


def condition(value: object) -> Code:
    """A comparison of numbers, with names for those that are sides.

    >>> condition("x_2 == 2*(x_2//2)")
    'x_2 == 2 * (x_2 // 2)'
    >>> condition("open('a')")
    Traceback (most recent call last):
    nestgen.errors.SpecError: "open('a')" is no condition on sizes
    """
    try:
        tree = ast.parse(str(value), mode="eval")
    except SyntaxError:
        tree = None
    if tree is None or not all(map(_of_condition, ast.walk(tree))):
        raise SpecError(f"{value!a} is no condition on sizes")
    return Code(ast.unparse(tree))


def _of_condition(node: ast.AST) -> bool:
    """Whether it is arithmetic; nothing but `max` and `min` is called."""
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Name) and node.func.id in ("max", "min")
    if isinstance(node, ast.Constant):
        return type(node.value) in (bool, int, float)
    return isinstance(node, _OF_CONDITIONS)


def expression(value: Expression) -> Code:
    """An expression on one line.

    >>> expression(Call("self.up", ("x1_0",)))
    'self.up(x1_0)'
    """
    if isinstance(value, Call):
        return Code(f"{_called(value)}({', '.join(_parts(value))})")
    if isinstance(value, Path):
        return Code("".join(_inside(value)))
    if isinstance(value, Item):
        return Code(f"{expression(value.value)}[{literal(value.index)}]")
    if isinstance(value, Times):
        return Code(f"{literal(value.factor)} * {identifier(value.name)}")
    if isinstance(value, Infix):
        return Code(f"{expression(value.left)} {value.sign} {expression(value.right)}")
    if isinstance(value, Text):
        return _string(value)
    if isinstance(value, tuple):
        inside = ", ".join(map(expression, value))
        return Code(f"({inside},)" if len(value) == 1 else f"({inside})")
    if value is None:
        return Code("None")
    return _dotted(value) if isinstance(value, str) else literal(value)


def assign(
    targets: Sequence[str | Path],
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
    left = ", ".join(expression(target) for target in targets)
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
    """`value` between `before` and `after`, what it holds on lines of its own where one
    line is too long."""
    line = f"{before}{expression(value)}{after}"
    if indent + len(line) <= WIDTH or not isinstance(value, (Call, tuple)):
        return line
    pad = " " * indent
    called = _called(value) if isinstance(value, Call) else ""
    lines = [_broken(name, item, indent + 4, ",") for name, item in _held(value)]
    body = "".join(f"{pad}    {line}\n" for line in lines)
    return f"{before}{called}(\n{body}{pad}){after}"


def _held(value: Call | tuple[Expression, ...]) -> Iterator[tuple[str, Expression]]:
    """What a call or a tuple holds, each with what stands before it."""
    items = value if isinstance(value, tuple) else value.arguments
    yield from (("", item) for item in items)
    if isinstance(value, Call):
        yield from ((f"{identifier(name)}=", item) for name, item in value.keywords)


def _called(call: Call) -> Code:
    return expression(call.function)


def _inside(path: Path) -> Iterator[str]:
    """The names of a path: the first, then each as an attribute or an item."""
    yield identifier(path.names[0])
    for name in path.names[1:]:
        yield f".{identifier(name)}" if is_name(name) else f"[{_string(Text(name))}]"


def _parts(call: Call) -> list[str]:
    return [
        *map(expression, call.arguments),
        *(f"{identifier(name)}={expression(value)}" for name, value in call.keywords),
    ]


def _dotted(name: str) -> Code:
    return Code(".".join(identifier(part) for part in name.split(".")))


def _string(value: Text) -> Code:
    text = value.value
    if (
        not text
        or not text.isascii()
        or not text.isprintable()
        or set(text) & {'"', "\\"}
    ):
        raise SpecError(f"{value.value!a} is no plain text")
    return Code(f'"{value.value}"')
