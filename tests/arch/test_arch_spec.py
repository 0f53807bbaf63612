"""The spec: strict, every problem at once in one line, one form, frozen."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from nestgen.arch.spec import Block, NestSpec, merge
from nestgen.errors import CutError, SpecError

Specs = st.SearchStrategy[NestSpec]

WRONG: list[tuple[dict[str, Any], str]] = [
    ({"depht": 3}, "depht: is no field of a spec, one of family, edges, depth"),
    ({"self": 3}, "self: is no field of a spec"),
    ({"a\nb\x1b": 3}, r"'a\nb\x1b': is no field of a spec"),
    ({"\ud800": 3}, r"a field's name: '\ud800' is not allowed, a valid string"),
    ({"block": {"\ud800": 3}}, r"block: '\ud800' is not allowed, a valid string"),
    (
        {"block": {"nrom": "batch"}},
        "block.nrom: is no field of a spec, one of kind, norm",
    ),
    ({"family": "unet4"}, "family: 'unet4' is not allowed, 'unet', 'unet-e', "),
    ({"family": ["unet"]}, "family: ('unet',) is not allowed"),
    ({"depth": 0}, "depth: 0 is not allowed, greater than or equal to 1"),
    ({"depth": 13}, "depth: 13 is not allowed, less than or equal to 12"),
    ({"depth": "4"}, "depth: '4' is not allowed, a valid integer"),
    ({"depth": 4.0}, "depth: 4.0 is not allowed, a valid integer"),
    ({"depth": True}, "depth: True is not allowed, a valid integer"),
    ({"depth": 2**99_999}, "depth: int too large to show is not allowed, less than"),
    ({"widths": True}, "widths: True is not allowed"),
    ({"widths": 32.0}, "widths: 32.0 is not allowed"),
    ({"widths": [8, 16]}, "widths: 2 given, depth 4 has 5 rows; one for each row"),
    ({"widths": []}, "widths: 0 given, depth 4 has 5 rows"),
    ({"depth": 1, "widths": [8, True]}, "widths.1: True is not allowed"),
    ({"depth": 1, "widths": [8, 0]}, "widths.1: 0 is not allowed, greater than"),
    ({"depth": 1, "widths": 2**20}, "widths.1: 2097152 is not allowed, less than"),
    ({"in_channels": 0}, "in_channels: 0 is not allowed"),
    ({"in_channels": False}, "in_channels: False is not allowed, a valid integer"),
    ({"classes": 4097}, "classes: 4097 is not allowed, less than or equal to 4096"),
    ({"up": "cubic"}, "up: 'cubic' is not allowed, 'transpose', 'nearest'"),
    ({"concat": "up"}, "concat: 'up' is not allowed, 'up-first', 'up-last' or "),
    ({"block": 3}, "block: 3 is not allowed, a valid dictionary"),
    ({"block": {"norm": "l2"}}, "block.norm: 'l2' is not allowed, 'batch'"),
    ({"block": {"norm": None}}, "block.norm: None is not allowed"),
    ({"block": {"activation": "tanh"}}, "block.activation: 'tanh' is not allowed"),
    ({"block": {"dropout": 1}}, "block.dropout: 1 is not allowed, less than 1"),
    ({"block": {"dropout": -0.1}}, "block.dropout: -0.1 is not allowed"),
    ({"block": {"dropout": True}}, "block.dropout: True is not allowed"),
    ({"block": {"dropout": float("nan")}}, "block.dropout: nan is not allowed"),
    ({"block": {"bias": 1}}, "block.bias: 1 is not allowed, a valid boolean"),
    ({"block": {"groups": 0}}, "block.groups: 0 is not allowed"),
    (
        {"widths": 12, "block": {"norm": "group", "groups": 5}},
        "block.groups: 5 is not allowed, a divisor of every width; 12 is one",
    ),
    ({"heads": []}, "heads: [] is not allowed, rising levels from 1 to 4"),
    ({"heads": [1, 2]}, "heads: [1, 2] is not allowed, rising levels from 1 to 4"),
    ({"heads": [4, 2]}, "heads: [4, 2] is not allowed"),
    ({"heads": [2, 2, 4]}, "heads: [2, 2, 4] is not allowed"),
    ({"heads": [0, 4]}, "heads.0: 0 is not allowed"),
    ({"heads": [True, 4]}, "heads.0: True is not allowed, a valid integer"),
    ({"heads": {4}}, "heads: {4} is not allowed, a valid tuple"),
    ({"family": "unet", "heads": [2, 4]}, "heads: [2, 4] is not allowed, a unet has"),
    ({"family": "unet", "trim": False}, "trim: False is not allowed, a unet is what"),
    ({"trim": 1}, "trim: 1 is not allowed, a valid boolean"),
    ({"name": "unet"}, "name: 'unet' is not allowed, match pattern"),
    ({"name": "A" * 64}, "is not allowed, match pattern"),
    ({"name": "Net\n"}, r"name: 'Net\n' is not allowed, match pattern"),
    ({"name": "Größe"}, r"name: 'Gr\xf6\xdfe' is not allowed, match pattern"),
    ({"name": "Node"}, "name: 'Node' is not allowed, it is taken"),
    ({"name": "Tensor"}, "name: 'Tensor' is not allowed, it is taken"),
    ({"name": "True"}, "name: 'True' is not allowed, it is taken"),
    ({"name": "ValueError"}, "name: 'ValueError' is not allowed, it is taken"),
    ({"title": ""}, "title: '' is not allowed"),
    ({"title": "x" * 79}, "is not allowed, have at most 78 characters"),
    ({"title": " x"}, "title: ' x' is not allowed, printable text"),
    ({"title": "a\nb"}, r"title: 'a\nb' is not allowed, printable text"),
    ({"title": 'a"b'}, "title: 'a\"b' is not allowed, printable text"),
    ({"title": "a\\b"}, r"title: 'a\\b' is not allowed, printable text"),
    ({"title": "\u202eabc"}, r"title: '\u202eabc' is not allowed, printable text"),
    ({"title": 7}, "title: 7 is not allowed, a valid string"),
]


@pytest.mark.parametrize(("fields", "message"), WRONG)
def test_what_is_wrong_is_said_in_one_line(
    fields: dict[str, Any], message: str
) -> None:
    with pytest.raises(SpecError) as caught:
        NestSpec(**fields)
    assert message in str(caught.value)
    assert str(caught.value).isprintable()


def test_all_problems_are_said_at_once() -> None:
    with pytest.raises(SpecError) as caught:
        NestSpec(
            depth=2,
            widths=[8, 8, 9, 9],
            classes=0,
            up="cubic",
            heads=[2, 1],
            name="Node",
            title="a\nb",
            block={"norm": "group", "groups": 2, "bias": "yes"},
            colour="red",
        )
    said = [problem.split(": ")[0] for problem in str(caught.value).split("; ")]
    fields = ["classes", "up", "block.bias", "colour", "widths", "heads"]
    assert set(fields) | {"name", "title"} <= set(said)
    assert str(caught.value).isprintable()


def test_conflicts_are_said_beside_wrong_fields() -> None:
    with pytest.raises(SpecError) as caught:
        NestSpec(up="cubic", block={"norm": "group", "groups": 5})
    assert str(caught.value).startswith("up: 'cubic'")
    assert "; block.groups: 5" in str(caught.value)


FIELDS = st.sampled_from([*NestSpec.model_fields, *Block.model_fields, "extra"])
SMALL = st.none() | st.booleans() | st.integers(-2, 9) | st.floats() | st.text()
VALUES = st.recursive(
    SMALL,
    lambda inner: st.lists(inner) | st.dictionaries(FIELDS | st.text(), inner),
    max_leaves=6,
)


@settings(max_examples=200, deadline=None)
@given(fields=st.dictionaries(FIELDS | st.text(), VALUES, max_size=4))
@example(fields={"widths": [], "depth": 1})
@example(fields={"block": {"groups": 0, "norm": "group"}})
@example(fields={"heads": [None]})
def test_any_fields_make_a_spec_or_a_line(fields: dict[str, Any]) -> None:
    made = outcome(fields)
    if isinstance(made, NestSpec):
        assert len(made.widths) == made.depth + 1
        assert made.heads[-1] == made.depth
    else:
        assert len(made.splitlines()) == 1


def outcome(fields: dict[str, Any]) -> NestSpec | str:
    """The spec, or what is wrong; anything but a `SpecError` escapes."""
    try:
        return NestSpec(**fields)
    except SpecError as error:
        return str(error)


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_the_repr_rebuilds_it(specs: Specs, data: st.DataObject) -> None:
    spec = data.draw(specs)
    assert eval(repr(spec), {"NestSpec": NestSpec, "Block": Block}) == spec
    assert NestSpec(**spec.model_dump()) == spec
    assert hash(NestSpec(**spec.model_dump())) == hash(spec)
    assert spec.replace() == spec


def test_defaults_follow_the_other_fields() -> None:
    spec = NestSpec(depth=2)
    assert (spec.widths, spec.heads, spec.trim) == ((16, 32, 64), (1, 2), False)
    unet = NestSpec(family="unet", depth=2, widths=5)
    assert (unet.widths, unet.heads, unet.trim) == ((5, 10, 20), (2,), True)
    assert NestSpec() == NestSpec(depth=4, title=None)


def test_a_spec_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        NestSpec().depth = 3


def test_the_recipe_of_the_paper() -> None:
    spec = NestSpec.preset("zhou2018", depth=2, block={"dropout": 0.1})
    assert spec.block == Block(norm="none", bias=True, dropout=0.1)
    with pytest.raises(
        SpecError, match=r"^preset: 'x' is not allowed, one of default,"
    ):
        NestSpec.preset("x")  # type: ignore[arg-type]


def test_a_cut_keeps_the_rest() -> None:
    spec = NestSpec(depth=4, widths=8, up="nearest", title="t", name="Net")
    cut = spec.cut([3, 1, 3])
    assert cut == spec.replace(depth=3, widths=[8, 16, 32, 64], heads=[1, 3], trim=True)
    with pytest.raises(CutError, match=r"^L7: this UNet\+\+ of depth 4 has the levels"):
        spec.cut([7])


def test_merge_leaves_its_arguments_alone() -> None:
    base: dict[str, Any] = {"block": {"bias": True}, "depth": 1}
    fields: dict[str, Any] = {"block": {"norm": "none"}}
    merged = merge(base, fields)
    assert merged == {"block": {"bias": True, "norm": "none"}, "depth": 1}
    assert base == {"block": {"bias": True}, "depth": 1}
    assert fields == {"block": {"norm": "none"}}


def test_the_label_and_the_names_of_files() -> None:
    made = [NestSpec(family=family, depth=3) for family in ("unet", "unet-e")]
    made += [NestSpec(family="unet+", depth=3, name="Small"), NestSpec()]
    assert [spec.stem for spec in made] == [
        "unet_d3",
        "unete_d3",
        "unetp_d3",
        "unetpp_d4",
    ]
    assert [spec.class_name for spec in made] == [
        "UNet",
        "UNetE",
        "Small",
        "UNetPlusPlus",
    ]
    assert made[2].label == "UNet+ of depth 3"
