"""Options that several commands share, and how their words become values."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar, get_args

import rich_click as click

from nestgen.arch.choices import (
    MAX_DEPTH,
    Activation,
    BlockKind,
    Concat,
    Norm,
    PresetName,
    Skip,
    Up,
)
from nestgen.arch.families import FamilyName
from nestgen.units import unscaled

if TYPE_CHECKING:
    from nestgen.arch.spec import NestSpec

Command = TypeVar("Command", bound=Callable[..., Any])

BLOCK = {
    "block": "kind",
    "norm": "norm",
    "activation": "activation",
    "slope": "slope",
    "dropout": "dropout",
    "drop_path": "drop_path",
    "bias": "bias",
    "groups": "groups",
    "expansion": "expansion",
    "standardise": "standardise",
}
"""The options about a node's block, and the fields that they set."""


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


class Size(click.ParamType[tuple[int, ...]]):
    """The sides of an input, as 256, 256x384 or 32x128x128."""

    name = "N[xN[xN]]"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Any:
        """The sides as they are given: one for all, or one for each axis."""
        if isinstance(value, tuple):
            return value
        parts = value.split("x")
        if len(parts) > 3 or not all(part.isdecimal() for part in parts):
            self.fail(
                f"{value!r}: a size is one side for all, or one for each axis, "
                "as 256 or 256x384",
                param,
                ctx,
            )
        return tuple(int(part) for part in parts)


class Amount(click.ParamType[float]):
    """A number, with a decimal prefix or without."""

    name = "N[k|M|G]"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Any:
        """The number that is meant."""
        if not isinstance(value, str):
            return value
        try:
            return unscaled(value)
        except ValueError:
            self.fail(f"{value!r}: a number, as 200000, 500k or 2MB", param, ctx)


class Sizes(click.ParamType[list[tuple[int, ...]]]):
    """Sizes of inputs between commas, as 256,512x384."""

    name = "SIZE[,SIZE...]"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Any:
        """The sizes, each as `Size` reads it."""
        if isinstance(value, list):
            return value
        return [Size().convert(part, param, ctx) for part in value.split(",")]


class Words(click.ParamType[list[str]]):
    """Words between commas."""

    name = "WORD[,WORD...]"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Any:
        """The words as a list."""
        return value if isinstance(value, list) else value.split(",")


class Rows(click.ParamType[list[int | list[int]]]):
    """One entry for all rows, or one for each: a number, or one for each axis."""

    name = "N[xN...][,...]"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Any:
        """The entry, or a list of them."""
        if not isinstance(value, str):
            return value
        try:
            rows = [[int(n) for n in entry.split("x")] for entry in value.split(",")]
        except ValueError:
            self.fail(f"{value!r}: entries between commas, as 1x2x2,2", param, ctx)
        entries = [row[0] if len(row) == 1 else row for row in rows]
        return entries if len(entries) > 1 or type(entries[0]) is list else entries[0]


class Pairs(click.ParamType[list[list[Any]]]):
    """Pairs of names, or of names and numbers."""

    def __init__(self, between: str, example: str) -> None:
        self.between, self.example = between, example
        self.name = f"A{between}B[,...]"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Any:
        """The pairs as a list; what is a number becomes one."""
        if not isinstance(value, str):
            return value
        pairs = [part.split(self.between) for part in value.split(",")]
        if any(len(pair) != 2 for pair in pairs):
            self.fail(f"{value!r}: pairs between commas, as {self.example}", param, ctx)
        return [[int(part) if part.isdecimal() else part for part in p] for p in pairs]


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
    from nestgen.arch.spec import NestSpec, merge, without_encoder
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
    block = {field: given.pop(name) for name, field in BLOCK.items() if name in given}
    fields = merge(defaults, PRESETS[preset])
    from_file = read_fields(file) if file else {}
    if given.get("encoder", from_file.get("encoder")) != from_file.get("encoder"):
        from_file = without_encoder(from_file)
    fields = merge(fields, from_file)
    try:
        return NestSpec(**merge(fields, {**given, "block": block} if block else given))
    except SpecError as error:
        raise SpecError(f"{file}: {error}" if file else str(error)) from error


def words_of(words: Any) -> click.Choice[str]:
    """One of the words that a `Literal` allows."""
    return click.Choice(get_args(words))


_SPEC_OPTIONS = [
    click.option("--spec", "spec_file", metavar="FILE", help="A spec, .toml or .json."),
    click.option("--preset", type=words_of(PresetName), help="A named recipe."),
    click.option(
        "--family", type=words_of(FamilyName), help="Which skips a node takes."
    ),
    click.option("--dense", is_flag=True, default=None, help="The same as unet++."),
    click.option(
        "--depth", type=int, help=f"Row of the deepest node, 1 to {MAX_DEPTH}."
    ),
    click.option(
        "--edges", type=Pairs(">", "'x0_0>x1_0,x1_0>x0_1'"), help="Of family custom."
    ),
    click.option("--dims", type=int, help="Spatial axes: 1, 2 or 3."),
    click.option("--widths", type=Numbers(), help="Channels of row 0, or of each row."),
    click.option(
        "--node-widths", type=Pairs("=", "x0_4=64"), help="Nodes with another width."
    ),
    click.option("--strides", type=Rows(), help="From row to row; 1x2x2,2,2, say."),
    click.option("--kernel-sizes", type=Rows(), help="In each row's nodes."),
    click.option("--in-channels", type=int, help="Channels of the input."),
    click.option(
        "--classes", type=int, help="Classes; 1 is foreground and background."
    ),
    click.option("--up", type=words_of(Up), help="How a node's input is up-sampled."),
    click.option("--up-widths", type=Numbers(), help="Channels that come up, by row."),
    click.option("--skip", type=words_of(Skip), help="What stands on a skip."),
    click.option("--concat", type=words_of(Concat), help="Order of a node's inputs."),
    click.option("--block", type=words_of(BlockKind), help="What a node is."),
    click.option("--norm", type=words_of(Norm), help="Norm of the convolutions."),
    click.option("--groups", type=int, help="Groups of norm 'group'."),
    click.option("--activation", type=words_of(Activation), help="Of the nodes."),
    click.option("--slope", type=float, help="Of leaky_relu."),
    click.option("--dropout", type=float, help="Probability after each activation."),
    click.option("--drop-path", type=float, help="Stochastic depth of residual nodes."),
    click.option("--bias/--no-bias", default=None, help="Biases of the convolutions."),
    click.option("--expansion", type=int, help="Of the blocks inverted and convnext."),
    click.option(
        "--standardise/--no-standardise", default=None, help="Weights of 3x3 filters."
    ),
    click.option("--encoder", help="A backbone: resnet34, vgg16, timm:NAME."),
    click.option("--encoder-row", type=int, help="Where it begins; filled in."),
    click.option("--heads", type=Numbers(), help="Levels with an output; all of them."),
    click.option("--trim", is_flag=True, default=None, help="Only what heads need."),
    click.option(
        "--pad/--no-pad", default=None, help="Take inputs of any size.  [yes]"
    ),
    click.option("--name", help="Name of the generated class."),
    click.option("--title", help="A line for people, in the source and the drawing."),
]
"""One for each field, in the order in which the help lists them."""
