"""Options that several commands share, and how their words become values."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar, get_args

import rich_click as click

from nestgen.arch.choices import MAX_DEPTH, Activation, Concat, Norm, PresetName, Up
from nestgen.arch.families import FamilyName

if TYPE_CHECKING:
    from nestgen.arch.spec import NestSpec

Command = TypeVar("Command", bound=Callable[..., Any])

BLOCK = ("norm", "activation", "dropout", "bias", "groups")


class Numbers(click.ParamType[list[int]]):
    """One integer, or several between commas."""

    name = "N[,N...]"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Any:
        """The integers as a list."""
        if isinstance(value, list):
            return value
        try:
            return [int(part) for part in value.split(",")]
        except ValueError:
            self.fail(f"{value!r}: integers between commas, as 32 or 1,2,4", param, ctx)


class Size(click.ParamType[tuple[int, int]]):
    """Height and width, as 256 or 256x384."""

    name = "H[xW]"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Any:
        """The pair (H, W)."""
        if isinstance(value, tuple):
            return value
        parts = value.split("x")
        if len(parts) > 2 or not all(part.isdecimal() for part in parts):
            self.fail(
                f"{value!r}: a size is H or HxW in pixels, as 256x384", param, ctx
            )
        return int(parts[0]), int(parts[-1])


def spec_options(command: Command) -> Command:
    """The options that describe a network, one for each field of a spec.

    The command takes them as keyword arguments and hands them to `make_spec`.
    """
    for option in reversed(_SPEC_OPTIONS):
        command = option(command)
    return command


def make_spec(options: dict[str, Any], **defaults: Any) -> NestSpec:
    """The spec that the options describe, over a file's fields, over a preset's.

    `defaults` stand for fields that neither the options nor a file gives.
    """
    from nestgen.arch.presets import PRESETS
    from nestgen.arch.spec import NestSpec, merge
    from nestgen.arch.specfile import read_fields
    from nestgen.errors import SpecError

    given = {name: value for name, value in options.items() if value is not None}
    file, preset = given.pop("spec_file", None), given.pop("preset", "default")
    dense = given.pop("dense", False)
    if dense and given.setdefault("family", "unet++") != "unet++":
        raise click.UsageError(
            f"--dense means --family unet++; --family {given['family']} is given"
        )
    if len(given.get("widths", [])) == 1:
        given["widths"] = given["widths"][0]
    block = {name: given.pop(name) for name in BLOCK if name in given}
    fields = merge(defaults, PRESETS[preset])
    fields = merge(fields, read_fields(file) if file else {})
    try:
        return NestSpec(**merge(fields, {**given, "block": block} if block else given))
    except SpecError as error:
        raise SpecError(f"{file}: {error}" if file else str(error)) from error


def _choice(words: Any) -> click.Choice[str]:
    return click.Choice(get_args(words))


_SPEC_OPTIONS = [
    click.option("--spec", "spec_file", metavar="FILE", help="A spec, .toml or .json."),
    click.option("--preset", type=_choice(PresetName), help="A named recipe."),
    click.option(
        "--family", type=_choice(FamilyName), help="Which skips a node takes."
    ),
    click.option("--dense", is_flag=True, default=None, help="The same as unet++."),
    click.option(
        "--depth", type=int, help=f"Row of the deepest node, 1 to {MAX_DEPTH}."
    ),
    click.option("--widths", type=Numbers(), help="Channels of row 0, or of each row."),
    click.option("--in-channels", type=int, help="Channels of the input."),
    click.option(
        "--classes", type=int, help="Classes; 1 is foreground and background."
    ),
    click.option("--up", type=_choice(Up), help="How a node's input is up-sampled."),
    click.option("--concat", type=_choice(Concat), help="Order of a node's inputs."),
    click.option("--norm", type=_choice(Norm), help="Norm after each convolution."),
    click.option("--groups", type=int, help="Groups of norm 'group'."),
    click.option("--activation", type=_choice(Activation), help="After each norm."),
    click.option("--dropout", type=float, help="Probability after each activation."),
    click.option("--bias/--no-bias", default=None, help="Biases of the convolutions."),
    click.option("--heads", type=Numbers(), help="Levels with an output; all of them."),
    click.option("--trim", is_flag=True, default=None, help="Only what heads need."),
    click.option("--name", help="Name of the generated class."),
    click.option("--title", help="A line for people, in the source and the drawing."),
]
"""One for each field, in the order in which the help lists them."""
