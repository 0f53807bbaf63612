"""The JSON Schema of a spec, read by a checker of the few words that it uses."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nestgen.arch.spec import Block, NestSpec
from nestgen.arch.specfile import to_json
from nestgen.errors import SpecError

Specs = st.SearchStrategy[NestSpec]

SCHEMA: dict[str, Any] = NestSpec.model_json_schema()
NOTES = {"title", "description", "default", "$defs"}
TYPES: dict[str, Any] = {
    "object": dict,
    "array": list,
    "string": str,
    "boolean": bool,
    "null": type(None),
}


def is_type(value: Any, name: str) -> bool:
    if name in ("integer", "number"):
        kinds = (int,) if name == "integer" else (int, float)
        return isinstance(value, kinds) and not isinstance(value, bool)
    return isinstance(value, TYPES[name])


def accepts(schema: dict[str, Any], value: Any) -> bool:
    """Whether `schema` holds for `value`; a word that it does not know raises."""
    checks: dict[str, Callable[[Any], bool]] = {
        "type": lambda word: is_type(value, word),
        "$ref": lambda word: accepts(SCHEMA["$defs"][word.rsplit("/", 1)[1]], value),
        "anyOf": lambda word: any(accepts(part, value) for part in word),
        "enum": lambda word: value in word,
        "minimum": lambda word: value >= word,
        "maximum": lambda word: value <= word,
        "exclusiveMaximum": lambda word: value < word,
        "minLength": lambda word: len(value) >= word,
        "maxLength": lambda word: len(value) <= word,
        "pattern": lambda word: re.search(word, value) is not None,
        "minItems": lambda word: len(value) >= word,
        "maxItems": lambda word: len(value) <= word,
        "prefixItems": lambda word: all(map(accepts, word, value)),
        "items": lambda word: all(accepts(word, item) for item in value),
        "additionalProperties": lambda word: set(value) <= set(schema["properties"]),
        "properties": lambda word: all(
            accepts(word[name], value[name]) for name in set(word) & set(value)
        ),
    }
    words = sorted(schema.keys() - NOTES, key=list(checks).index)
    return all(checks[word](schema[word]) for word in words)


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_the_schema_accepts_every_spec(specs: Specs, data: st.DataObject) -> None:
    assert accepts(SCHEMA, json.loads(to_json(data.draw(specs))))


@pytest.mark.parametrize(
    "fields",
    [{}, {"widths": 16}, {"depth": 12}, {"block": {}}, {"block": {"dropout": 0}}],
)
def test_the_schema_accepts_what_a_file_may_leave_out(fields: dict[str, Any]) -> None:
    assert accepts(SCHEMA, fields)
    assert NestSpec(**fields)


@pytest.mark.parametrize(
    "fields",
    [
        {"depht": 1},
        {"depth": 0},
        {"depth": True},
        {"depth": 1.5},
        {"widths": 0},
        {"widths": True},
        {"heads": [0]},
        {"block": {"norm": "l2"}},
        {"block": {"dropout": 1}},
        {"block": 1},
        {"name": "node"},
        {"title": "x" * 79},
    ],
)
def test_the_schema_refuses_what_a_spec_refuses(fields: dict[str, Any]) -> None:
    assert not accepts(SCHEMA, fields)
    with pytest.raises(SpecError, match=r"is not allowed|is no field"):
        NestSpec(**fields)


def test_the_schema_names_and_describes_every_field() -> None:
    assert list(SCHEMA["properties"]) == list(NestSpec.model_fields)
    assert list(SCHEMA["$defs"]["Block"]["properties"]) == list(Block.model_fields)
    assert SCHEMA["additionalProperties"] is False
    for name, field in NestSpec.model_fields.items():
        default = json.loads(to_json(NestSpec())).get(name)
        assert SCHEMA["properties"][name]["default"] == default, field
