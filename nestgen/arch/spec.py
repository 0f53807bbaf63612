"""NestSpec: the whole description of a nested U-Net, checked once, then frozen."""

from __future__ import annotations

import builtins
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from nestgen.arch.choices import (
    MAX_DEPTH,
    Activation,
    Concat,
    Norm,
    PresetName,
    Up,
)
from nestgen.arch.families import FAMILIES, FamilyName
from nestgen.arch.presets import PRESETS
from nestgen.errors import CutError, SpecError

Channels = Annotated[int, Field(ge=1, le=4096)]
Width = Annotated[int, Field(ge=1, le=2**20)]
Level = Annotated[int, Field(ge=1, le=MAX_DEPTH)]

_STRICT = ConfigDict(frozen=True, strict=True, extra="forbid")
_TAKEN = {"Node", "Tensor", *dir(builtins)}


def _or_one(schema: dict[str, Any]) -> None:
    """JSON Schema of `widths`: the array, or what the array's items are."""
    many = {name: schema.pop(name) for name in ("type", "items")}
    schema["anyOf"] = [many, many["items"]]
    schema["description"] = "one for each row, or row 0's, which doubles by row"


class Block(BaseModel):
    """What a node does with its input: two of [3x3 convolution, norm, activation].

    Dropout, where there is any, follows each activation.

    >>> Block(norm="group", groups=4).bias
    False
    """

    model_config = _STRICT

    norm: Norm = "batch"
    activation: Activation = "relu"
    dropout: float = Field(default=0.0, ge=0, lt=1, allow_inf_nan=False)
    bias: bool = False
    groups: int = Field(default=8, ge=1, le=4096, description="of norm 'group'")


class NestSpec(BaseModel):
    """A nested U-Net (Zhou et al., 2018): everything needed to write its source.

    `widths` is given as the width of row 0, which doubles from row to row, or as one
    width for each of the depth+1 rows. `heads` are the levels that have an output, by
    default all of them, and of a plain U-Net the last. `trim` leaves out the nodes
    that no head depends on, as a cut does; a plain U-Net is trimmed by definition.

    Raises `SpecError`, one line with every field that is wrong and what it may be.

    >>> spec = NestSpec(depth=2, in_channels=1)
    >>> spec.widths, spec.heads, spec.label
    ((16, 32, 64), (1, 2), 'UNet++ of depth 2')
    >>> NestSpec(depth=0, up="cubic")
    Traceback (most recent call last):
    nestgen.errors.SpecError: depth: 0 is not allowed, greater than or equal to 1; \
up: 'cubic' is not allowed, 'transpose', 'bilinear', 'bilinear-aligned' or 'nearest'
    """

    model_config = _STRICT

    family: FamilyName = "unet++"
    depth: int = Field(default=4, ge=1, le=MAX_DEPTH)
    widths: tuple[Width, ...] = Field(
        default=(16, 32, 64, 128, 256), json_schema_extra=_or_one
    )
    in_channels: Channels = 3
    classes: Channels = Field(default=1, description="1 is foreground against the rest")
    up: Up = "transpose"
    concat: Concat = "up-first"
    block: Block = Block()
    heads: tuple[Level, ...] = (1, 2, 3, 4)
    trim: bool = False
    name: str | None = Field(
        default=None,
        pattern=r"^[A-Z][A-Za-z0-9]{0,62}$",
        description="of the generated class",
    )
    title: str | None = Field(
        default=None, min_length=1, max_length=78, description="for people to read"
    )

    def __init__(self, /, **fields: Any) -> None:
        complete = _complete(fields)
        try:
            super().__init__(**complete)
        except ValidationError as error:
            wrong = {str(part) for item in error.errors() for part in item["loc"][:1]}
            problems = [_problem(item) for item in error.errors()]
        else:
            wrong, problems = set(), []
        sound = {
            name: complete.get(name, field.default)
            for name, field in NestSpec.model_fields.items()
            if name not in wrong
        }
        problems += _conflicts(sound)
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
        return NestSpec(**merge(self.model_dump(exclude_none=True), fields))

    def cut(self, levels: Iterable[int]) -> NestSpec:
        """The spec of what is left when only `levels` are kept.

        Raises `CutError` for a level without a head.

        >>> NestSpec(depth=4).cut([2]).widths
        (16, 32, 64)
        """
        kept = tuple(sorted(set(levels)))
        absent = [level for level in kept if level not in self.heads]
        if absent or not kept:
            has = ", ".join(f"L{level}" for level in self.heads)
            asked = ", ".join(f"L{level}" for level in absent) or "no level"
            raise CutError(f"{asked}: this {self.label} has the levels {has}")
        depth = kept[-1]
        return self.replace(
            depth=depth, widths=self.widths[: depth + 1], heads=kept, trim=True
        )

    @property
    def label(self) -> str:
        """What the network is, in the field's words."""
        return f"{FAMILIES[self.family].title} of depth {self.depth}"

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


def _complete(fields: Mapping[str, Any]) -> dict[str, Any]:
    """`fields` in their one form, with the defaults that depend on other fields."""
    complete = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in fields.items()
    }
    depth = complete.get("depth", 4)
    if type(depth) is not int or not 1 <= depth <= MAX_DEPTH:
        return complete
    base = complete.get("widths", 16)
    if type(base) is int:
        complete["widths"] = tuple(base * 2**i for i in range(depth + 1))
    single = _is_single(complete.get("family"))
    complete.setdefault("heads", (depth,) if single else tuple(range(1, depth + 1)))
    complete.setdefault("trim", single)
    return complete


def _is_single(family: object) -> bool:
    return isinstance(family, str) and any(
        name == family and rule.single for name, rule in FAMILIES.items()
    )


def _conflicts(sound: Mapping[str, Any]) -> Iterator[str]:
    """What the fields that are right one by one cannot be together."""
    family = sound.get("family")
    single = _is_single(family)
    depth, heads, widths = (sound.get(name) for name in ("depth", "heads", "widths"))
    if depth and widths is not None and len(widths) != depth + 1:
        yield (
            f"widths: {len(widths)} given, depth {depth} has {depth + 1} rows; "
            "one for each row, or one integer for row 0"
        )
    if depth and heads is not None:
        if list(heads) != sorted(set(heads)) or not heads or heads[-1] != depth:
            yield (
                f"heads: {list(heads)} is not allowed, "
                f"rising levels from 1 to {depth} that end with {depth}"
            )
        elif single and len(heads) > 1:
            yield f"heads: {list(heads)} is not allowed, a {family} has [{depth}] alone"
    if single and sound.get("trim") is False:
        yield f"trim: False is not allowed, a {family} is what its one head needs"
    yield from _block_conflicts(sound)
    name, title = sound.get("name"), sound.get("title")
    if name in _TAKEN:
        yield f"name: {name!r} is not allowed, it is taken in the generated file"
    if title is not None and not _is_plain(title):
        yield (
            f"title: {title!a} is not allowed, "
            'printable text without " and \\ and with no space at its ends'
        )


def _is_plain(title: str) -> bool:
    return title.isprintable() and title == title.strip() and not set(title) & {*'"\\'}


def _block_conflicts(sound: Mapping[str, Any]) -> Iterator[str]:
    block, widths = sound.get("block"), sound.get("widths")
    if block is None or widths is None:
        return
    fields = Block().model_copy(update=dict(block))
    odd = [width for width in widths if width % fields.groups]
    if fields.norm == "group" and odd:
        yield (
            f"block.groups: {fields.groups} is not allowed, "
            f"a divisor of every width; {odd[0]} is one"
        )


def _problem(item: Any) -> str:
    """One of pydantic's errors as `path: value is not allowed, what is`."""
    path = ".".join(_key(part) for part in item["loc"]) or "a field's name"
    if item["type"] == "extra_forbidden":
        inside = Block if len(item["loc"]) > 1 else NestSpec
        return f"{path}: is no field of a spec, {_either(inside.model_fields)}"
    allowed = str(item["msg"])
    for opening in ("Input should be ", "String should ", "Value should "):
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
