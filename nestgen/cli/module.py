"""Options for a network that nestgen did not write: where it is, and what it reads."""

from __future__ import annotations

import ast
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import rich_click as click

from nestgen.cli.options import Numbers

if TYPE_CHECKING:
    from torch import Tensor, nn

    from nestgen.lifting.lift import Lifted

Command = TypeVar("Command", bound=Callable[..., Any])

MOST = 2**28
"""Numbers of an example: a GiB."""


class Argument(click.ParamType[tuple[str, Any]]):
    """An argument of someone else's class: a name and a Python literal or a word."""

    name = "NAME=VALUE"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Any:
        """The name, and the value that the text after `=` means."""
        if isinstance(value, tuple):
            return value
        name, sign, text = value.partition("=")
        if not sign or not name.isidentifier():
            self.fail(f"{value!r}: a name and a value, as classes=2", param, ctx)
        try:
            return name, ast.literal_eval(text)
        except (ValueError, SyntaxError):
            return name, text


_OPTIONS = [
    click.option(
        "--module", metavar="WHERE", help="PACKAGE.MOD:CLASS or FILE.py:CLASS."
    ),
    click.option(
        "--argument",
        "arguments",
        type=Argument(),
        multiple=True,
        help="Of the class; may be repeated.",
    ),
    click.option("--weights", metavar="FILE", help="Its state dict."),
    click.option("--example", type=Numbers(), help="Shape of its input: 1,3,256,256."),
]


def module_options(command: Command) -> Command:
    """`--module`, `--argument`, `--weights` and `--example`, for `outside_module`."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def outside_module(
    module: str | None,
    arguments: tuple[tuple[str, Any], ...],
    weights: str | None,
    example: list[int] | None,
) -> tuple[nn.Module, Tensor] | None:
    """The module that the options name, and an input of the example's shape, seed 0.

    None where `--module` is not given; an error then for the others.
    """
    others = {"argument": arguments, "weights": weights, "example": example}
    if module is None:
        for name, value in others.items():
            if value:
                raise click.UsageError(f"--{name}: says nothing without --module")
        return None
    if not example or min(example) < 1:
        raise click.UsageError(
            "--example: --module takes the shape of an input, as 1,3,256,256"
        )
    if math.prod(example) > MOST:
        raise click.UsageError(
            f"--example: {','.join(map(str, example))} is not allowed, at most {MOST} "
            "numbers"
        )
    if ":" not in module:
        raise click.UsageError(
            f"--module: {module!a} is not allowed, PACKAGE.MOD:CLASS or FILE.py:CLASS"
        )
    import torch

    from nestgen.inference.predict import enough_memory
    from nestgen.surgery.outside import make_module

    made = make_module(module, dict(arguments), weights)
    chance = torch.Generator().manual_seed(0)
    with enough_memory(f"--example: {example}"):
        return made, torch.randn(*example, generator=chance)


def check_alone(others: dict[str, Any]) -> None:
    """Raise an error for one of the command's parameters that `--module` excludes."""
    context = click.get_current_context()
    assert context is not None
    for parameter in context.command.params:
        if others.get(str(parameter.name)) not in (None, False):
            raise click.UsageError(
                f"{parameter.opts[-1]}: says nothing beside --module"
            )


def lifted_module(
    module: str | None,
    arguments: tuple[tuple[str, Any], ...],
    weights: str | None,
    example: list[int] | None,
    others: dict[str, Any],
) -> Lifted | None:
    """The grid of the module that the options name; None where they name none.

    `others` are parameters that describe a network, or say what the example does: none
    of them may be given beside it.
    """
    if module:
        check_alone(others)
    made = outside_module(module, arguments, weights, example)
    if made is None:
        return None
    from nestgen.lifting.lift import lift

    return lift(*made)
