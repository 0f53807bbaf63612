"""The one Jinja environment: strict about names, and about what reaches the text.

Whatever a template prints has to come out of a typed filter, which checks it and
marks it as `Code`; a value that was not filtered raises. So no text from a spec can
become anything but what its filter is for.
"""

from __future__ import annotations

import keyword
from collections.abc import Iterable, Sequence
from functools import cache
from importlib import resources
from typing import Any

import jinja2

from nestgen.errors import SpecError

WIDTH = 88


class Code(str):
    """Text that a filter has checked, and that a template may print."""

    __slots__ = ()


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


def nested(names: Iterable[str], argument: str) -> Code:
    """Calls of `self`'s modules, the first innermost.

    >>> nested(["conv1", "act"], "x")
    'self.act(self.conv1(x))'
    """
    inner = identifier(argument)
    for name in names:
        inner = Code(f"self.{identifier(name)}({inner})")
    return inner


def call(
    target: str, inputs: Sequence[tuple[str, Sequence[str]]], shape: str, indent: int
) -> Code:
    """`target = self.target(inputs)  # shape`, broken as ruff would if too long.

    Each input is a name and the modules that it passes through on its way.

    >>> call("x0_1", [("x1_0", ["up0_1"]), ("x0_0", [])], "[N, 8, H, W]", 4)
    'x0_1 = self.x0_1(self.up0_1(x1_0), x0_0)  # [N, 8, H, W]'
    """
    name = identifier(target)
    arguments = [nested(modules, source) for source, modules in inputs]
    comment = f"  # {text(shape)}"
    line = f"{name} = self.{name}({', '.join(arguments)}){comment}"
    if indent + len(line) <= WIDTH:
        return Code(line)
    pad = " " * indent
    body = "".join(f"{pad}    {argument},\n" for argument in arguments)
    return Code(f"{name} = self.{name}(\n{body}{pad}){comment}")


def _checked(value: Any) -> Any:
    if isinstance(value, (Code, jinja2.Undefined)):
        return value
    raise SpecError(f"a template prints {value!a} without a filter")


@cache
def environment() -> jinja2.Environment:
    """The environment in which the templates of Python source are rendered."""
    made = jinja2.Environment(
        loader=jinja2.FunctionLoader(read_template),
        undefined=jinja2.StrictUndefined,
        finalize=_checked,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )
    made.filters.update(id=identifier, py=literal, text=text, nested=nested)
    made.globals.update(call=call)
    return made


def read_template(name: str) -> str:
    """The text of one file of `templates/`."""
    return resources.files("nestgen.templates").joinpath(name).read_text("utf-8")
