"""NestSpec: the whole description of a nested U-Net, checked once, then frozen."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PlainValidator,
    ValidationError,
    WithJsonSchema,
)

from nestgen.arch.block import Block as Block
from nestgen.arch.choices import MAX_DEPTH, Concat, Dims, PresetName, Skip, Up
from nestgen.arch.complete import complete
from nestgen.arch.conflicts import conflicts
from nestgen.arch.encoders import encoder_nodes
from nestgen.arch.families import FAMILIES, FamilyName, Inputs
from nestgen.arch.inputs import ancestors, head_nodes, inputs_of
from nestgen.arch.presets import PRESETS
from nestgen.arch.rows import LARGEST, check, per_row
from nestgen.errors import CutError, SpecError

Channels = Annotated[int, Field(ge=1, le=4096)]
Width = Annotated[int, Field(ge=1, le=2**20)]
Level = Annotated[int, Field(ge=1, le=MAX_DEPTH)]
NodeName = Annotated[str, Field(max_length=6)]
_ENTRY: dict[str, Any] = {"type": "integer", "minimum": 1, "maximum": LARGEST}
_AXES = {"type": "array", "items": _ENTRY, "minItems": 1, "maxItems": 3}
_ROWS = {"type": "array", "items": {"anyOf": [_ENTRY, _AXES]}}
ByRow = Annotated[
    Any, PlainValidator(check), WithJsonSchema({"anyOf": [_ENTRY, _ROWS]})
]
"""A `PerRow`, checked by rows.py and not by pydantic, which would speak of unions."""


def _or_one(schema: dict[str, Any]) -> None:
    """JSON Schema of `widths`: the array, or what the array's items are."""
    many = {name: schema.pop(name) for name in ("type", "items")}
    schema["anyOf"] = [many, many["items"]]
    schema["description"] = "one for each row, or row 0's, which doubles by row"


def _known(family: str) -> str:
    if family not in FAMILIES:
        *some, last = (repr(name) for name in FAMILIES)
        raise ValueError(f"{', '.join(some)} or {last}")
    return family


class NestSpec(BaseModel):
    """A nested U-Net (Zhou et al., 2018): everything needed to write its source.

    Rows count from the full resolution, 0, to the deepest, `depth`. `widths` are given
    as the width of row 0, which doubles from row to row, or as one width for each row;
    `node_widths` are the exceptions, by node. `strides` lead from each row to the next,
    and `kernel_sizes` are those of the nodes of each row: one number for all, or one
    for each row, and that a number or one for each axis. `heads` are the levels that
    have an output, by default all of them, and of a plain U-Net the last. `trim` leaves
    out the nodes that no head depends on, as a cut does; a plain U-Net is trimmed by
    definition. `edges` are those of the family `custom`, inputs in the order of the
    concatenation. `up_widths` are the channels that arrive in each row from the one
    below. `encoder` is the backbone that computes X[i,0] from `encoder_row` on; what
    it decides of strides and widths stands in the spec once it is made. `pad` lets the
    network take any size.

    Raises `SpecError`, one line with every field that is wrong and what it may be.

    >>> spec = NestSpec(depth=2, in_channels=1)
    >>> spec.widths, spec.heads, spec.label
    ((16, 32, 64), (1, 2), 'UNet++ of depth 2')
    >>> NestSpec(depth=0, up="cubic")
    Traceback (most recent call last):
    nestgen.errors.SpecError: depth: 0 is not allowed, greater than or equal to 1; \
up: 'cubic' is not allowed, 'transpose', 'nearest', 'linear', 'linear-aligned', \
'bilinear', 'bilinear-aligned', 'trilinear', 'trilinear-aligned', 'pixel-shuffle' or \
'pixel-shuffle-blur'
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    family: Annotated[
        str,
        AfterValidator(_known),
        Field(json_schema_extra={"enum": list(get_args(FamilyName))}),
    ] = "unet++"
    edges: tuple[tuple[NodeName, NodeName], ...] | None = None
    depth: int = Field(default=4, ge=1, le=MAX_DEPTH)
    dims: Dims = Field(default=2, description="spatial axes")
    widths: tuple[Width, ...] = Field(
        default=(16, 32, 64, 128, 256), json_schema_extra=_or_one
    )
    node_widths: tuple[tuple[NodeName, Width], ...] = ()
    strides: ByRow = 2
    kernel_sizes: ByRow = 3
    in_channels: Channels = 3
    classes: Channels = Field(default=1, description="1 is foreground against the rest")
    up: Up = "transpose"
    up_widths: tuple[Width, ...] | None = None
    concat: Concat = "up-first"
    skip: Skip = "plain"
    block: Block = Block()
    encoder: str | None = Field(
        default=None, pattern=r"^[a-z]+[0-9]*(:[A-Za-z0-9_.-]{1,80})?$"
    )
    encoder_row: int | None = Field(
        default=None, ge=0, le=1, description="the first row that the encoder computes"
    )
    heads: tuple[Level, ...] = (1, 2, 3, 4)
    trim: bool = False
    pad: bool = True
    name: str | None = Field(
        default=None,
        pattern=r"^[A-Z][A-Za-z0-9]{0,62}$",
        description="of the generated class",
    )
    title: str | None = Field(
        default=None, min_length=1, max_length=78, description="for people to read"
    )

    def __init__(self, /, **fields: Any) -> None:
        whole = complete(fields)
        try:
            super().__init__(**whole)
        except ValidationError as error:
            items = error.errors()
            wrong = {str(part) for item in items for part in item["loc"][:1]}
            problems = list(dict.fromkeys(_problem(item) for item in items))
        else:
            wrong, problems = set(), []
        sound = {
            name: whole.get(name, field.default)
            for name, field in NestSpec.model_fields.items()
            if name not in wrong
        }
        problems += conflicts(sound)
        if problems:
            raise SpecError("; ".join(problems))

    @classmethod
    def preset(cls, preset: PresetName, **fields: Any) -> NestSpec:
        """The recipe called `preset`, with `fields` in place of its own.

        >>> NestSpec.preset("zhou2018", depth=2).block.dropout
        0.5
        """
        if preset not in PRESETS:
            raise SpecError(f"preset: {preset!r} is not allowed, {_either(PRESETS)}")
        return cls(**merge(PRESETS[preset], fields))

    def replace(self, /, **fields: Any) -> NestSpec:
        """A new spec with `fields` changed; all else stays.

        >>> NestSpec(depth=2).replace(classes=3).classes
        3
        """
        base = self.model_dump(exclude_none=True)
        if fields.get("encoder", self.encoder) != self.encoder:
            base = without_encoder(base)
        return NestSpec(**merge(base, fields))

    @property
    def inputs(self) -> Inputs:
        """The nodes of the network, and what feeds each, in the order it is read."""
        return inputs_of(dict(self))

    def cut(self, levels: Iterable[int]) -> NestSpec:
        """The spec of what is left when only `levels` are kept.

        Raises `CutError` for a level without a head.

        >>> NestSpec(depth=4).cut([2]).widths
        (16, 32, 64)
        """
        kept = tuple(sorted(set(levels)))
        self.require_levels(kept)
        heads = head_nodes(self.family, self.depth, kept).values()
        left = ancestors(self.inputs, heads)
        depth = max(node.i for node in left)
        names = {node.name for node in left}
        fields = {
            "depth": depth,
            "widths": self.widths[: depth + 1],
            "node_widths": [item for item in self.node_widths if item[0] in names],
            "strides": [self.stride(row) for row in range(1, depth + 1)],
            "kernel_sizes": [self.kernel_size(row) for row in range(depth + 1)],
            "heads": kept,
            "trim": True,
        }
        if self.edges is not None:
            fields["edges"] = [edge for edge in self.edges if names.issuperset(edge)]
        if self.up_widths is not None:
            fields["up_widths"] = self.up_widths[:depth]
        return self.replace(**fields)

    def require_levels(self, levels: Sequence[int]) -> None:
        """Raise `CutError` for a level without a head, and for none at all."""
        absent = [level for level in levels if level not in self.heads]
        if absent or not levels:
            has = ", ".join(f"L{level}" for level in self.heads)
            asked = ", ".join(f"L{level}" for level in absent) or "no level"
            raise CutError(f"{asked}: this {self.label} has the levels {has}")

    def stride(self, row: int) -> tuple[int, ...]:
        """How much coarser `row` is than the one above, on each axis.

        >>> NestSpec(dims=3, depth=2, strides=[[1, 2, 2], 2]).stride(1)
        (1, 2, 2)
        """
        return per_row(self.strides, row - 1, self.dims)

    def kernel_size(self, row: int) -> tuple[int, ...]:
        """Of the convolutions in the nodes of `row`, on each axis."""
        return per_row(self.kernel_sizes, row, self.dims)

    @property
    def label(self) -> str:
        """What the network is, in the field's words."""
        axes = "" if self.dims == 2 else f"{self.dims}-D "
        backbone = f" on {self.encoder}" if self.encoder else ""
        return f"{axes}{FAMILIES[self.family].title} of depth {self.depth}{backbone}"

    @property
    def class_name(self) -> str:
        """The name of the generated class."""
        return self.name or FAMILIES[self.family].class_name

    @property
    def stem(self) -> str:
        """How files made from this spec are called, without their suffix.

        >>> NestSpec(depth=5).stem
        'unetpp_d5'
        """
        return f"{FAMILIES[self.family].stem}_d{self.depth}"


def merge(base: Mapping[str, Any], fields: Mapping[str, Any]) -> dict[str, Any]:
    """`fields` over `base`; a block's fields are merged one by one.

    >>> merge({"block": {"bias": True}}, {"block": {"norm": "none"}})
    {'block': {'bias': True, 'norm': 'none'}}
    """
    merged = {**base, **fields}
    blocks = [part.get("block") for part in (base, fields)]
    if all(isinstance(block, Mapping) for block in blocks):
        merged["block"] = {**blocks[0], **blocks[1]}  # type: ignore[dict-item]
    return merged


def without_encoder(fields: Mapping[str, Any]) -> dict[str, Any]:
    """`fields` of a spec without what an encoder decided.

    >>> sorted(without_encoder({"depth": 2, "encoder": "vgg11", "encoder_row": 0}))
    ['depth', 'node_widths']
    >>> NestSpec(depth=2, encoder="resnet18").replace(encoder="vgg11").node_widths
    (('x0_0', 64), ('x1_0', 128), ('x2_0', 256))
    """
    row, widths = fields.get("encoder_row"), fields.get("node_widths", ())
    if row is None:
        return dict(fields)
    stages = encoder_nodes(row, MAX_DEPTH + 1)
    pairs = widths.items() if isinstance(widths, Mapping) else widths
    decided = {"encoder", "encoder_row", "strides", "node_widths"}
    kept = {name: value for name, value in fields.items() if name not in decided}
    return {**kept, "node_widths": [pair for pair in pairs if pair[0] not in stages]}


def _problem(item: Any) -> str:
    """One of pydantic's errors as `path: value is not allowed, what is`."""
    path = ".".join(_key(part) for part in item["loc"]) or "a field's name"
    if item["type"] == "extra_forbidden":
        inside = Block if len(item["loc"]) > 1 else NestSpec
        return f"{path}: is no field of a spec, {_either(inside.model_fields)}"
    allowed = str(item["msg"])
    for opening in ("Input should be ", "String should ", "Value error, "):
        allowed = allowed.removeprefix(opening)
    return f"{path}: {_short(item['input'])} is not allowed, {allowed}"


def _key(part: str | int) -> str:
    """A part of a path; what is no name is shown as a literal, so in one line."""
    return str(part) if str(part).isidentifier() else _short(part)


def _short(value: object) -> str:
    try:
        text = ascii(value)
    except (ValueError, RecursionError):
        return f"{type(value).__name__} too large to show"
    return text if len(text) <= 60 else f"{text[:57]}..."


def _either(names: Iterable[str]) -> str:
    return "one of " + ", ".join(names)
