"""The one Jinja environment: strict about names, and about what reaches the text.

Whatever a template prints has to come out of a typed filter, which checks it and
marks it as `Code`; a value that was not filtered raises. So no text from a spec can
become anything but what its filter is for.
"""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Any

import jinja2

from nestgen.codegen.expressions import (
    Code,
    assign,
    condition,
    expression,
    identifier,
    literal,
    text,
)
from nestgen.errors import SpecError


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
    made.filters.update(id=identifier, py=literal, text=text, expr=expression)
    made.filters.update(condition=condition)
    made.globals.update(assign=assign)
    return made


def read_template(name: str) -> str:
    """The text of one file of `templates/`."""
    return resources.files("nestgen.templates").joinpath(name).read_text("utf-8")
