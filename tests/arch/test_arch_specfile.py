"""Specs as TOML and JSON: exact round trips, and strict reading."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nestgen.arch.spec import NestSpec
from nestgen.arch.specfile import (
    MAX_BYTES,
    from_fields,
    from_json,
    from_toml,
    read_fields,
    read_spec,
    to_json,
    to_toml,
)
from nestgen.errors import SpecError

Specs = st.SearchStrategy[NestSpec]


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_text_reads_back_equal(specs: Specs, data: st.DataObject) -> None:
    spec = data.draw(specs)
    assert from_json(to_json(spec)) == spec
    assert from_toml(to_toml(spec)) == spec
    assert from_fields(json.loads(to_json(spec))) == spec
    assert to_toml(from_toml(to_toml(spec))) == to_toml(spec)


def test_the_round_trip_can_fail() -> None:
    spec = NestSpec(depth=1, title="one")
    assert from_toml(to_toml(spec).replace("one", "two")) != spec


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"depth": 1, "depth": 2}', "the key 'depth' occurs twice"),
        ('{"block": {"bias": true, "bias": true}}', "the key 'bias' occurs twice"),
        ('{"block": {"dropout": NaN}}', "NaN is no number"),
        ('{"block": {"dropout": -Infinity}}', "-Infinity is no number"),
        ('{"block": {"dropout": 1e999}}', "block.dropout: inf is not allowed"),
        ('{"depth": 1} {}', "not a spec in JSON: Extra data"),
        ("", "not a spec in JSON: Expecting value"),
        ("[]", "a spec is a table of fields, not list"),
        ("null", "a spec is a table of fields, not NoneType"),
        ('{"self": 1}', "self: is no field of a spec"),
        ('{"title": "\\ud800"}', "title: '\\ud800' is not allowed"),
        ('{"depth": ' + "9" * 5000 + "}", "not a spec in JSON: Exceeds the limit"),
        ("[" * 100_000, "not a spec in JSON: nested too deeply"),
    ],
)
def test_json_that_is_no_spec(text: str, message: str, tmp_path: Path) -> None:
    refused(tmp_path / "net.json", text.encode(), message)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("depth = 1\ndepth = 2", "not a spec in TOML: Cannot overwrite a value"),
        ("[block]\n[block]", "not a spec in TOML: Cannot declare"),
        ("block.dropout = nan", "block.dropout: nan is not allowed"),
        ("depth = 0x" + "f" * 5000, "depth: int too large to show is not allowed"),
        ('"a\\nb" = 1', "'a\\nb': is no field of a spec"),
        ("depth = 1979-05-27", "depth: datetime.date(1979, 5, 27) is not allowed"),
        ("depth =", "not a spec in TOML: Invalid value"),
        ("depth = " + "[" * 100_000, "not a spec in TOML: nested too deeply"),
    ],
)
def test_toml_that_is_no_spec(text: str, message: str, tmp_path: Path) -> None:
    refused(tmp_path / "net.toml", text.encode(), message)


@pytest.mark.parametrize("suffix", [".toml", ".json"])
@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"\x80\x04\x95", "codec can't decode byte 0x80"),
        (b"\0" * 100, "not a spec in"),
        (b" " * (MAX_BYTES + 1), f"larger than {MAX_BYTES} bytes"),
    ],
)
def test_files_that_are_no_text(
    suffix: str, raw: bytes, message: str, tmp_path: Path
) -> None:
    refused(tmp_path / f"net{suffix}", raw, message)


@pytest.mark.parametrize("depth", [40, 800, 900, 950, 970, 990, 1000, 5000])
@pytest.mark.parametrize("field", ["title", "heads", "block", "depth", "extra"])
def test_nested_lists_never_escape(field: str, depth: int) -> None:
    nested = "[" * depth + "]" * depth
    for read, text in (
        (from_json, f'{{"{field}": {nested}}}'),
        (from_toml, f"{field} = {nested}"),
    ):
        with pytest.raises(SpecError) as caught:
            read(text)
        assert len(str(caught.value)) < 300


def refused(file: Path, raw: bytes, message: str) -> None:
    """The file is refused in one line that begins with its name, and just once."""
    file.write_bytes(raw)
    with pytest.raises(SpecError) as caught:
        read_spec(file)
    line = str(caught.value)
    assert line.startswith(f"{file}: ")
    assert line.count(str(file)) == 1
    assert message in line
    assert line.isprintable()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("net.yaml", "a spec is a .toml or a .json file"),
        ("net", "a spec is a .toml or a .json file"),
        ("net.toml", r"cannot be read \(No such file or directory\)"),
    ],
)
def test_files_that_cannot_be_read(name: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=f"^{tmp_path / name}: {message}$"):
        read_spec(tmp_path / name)


def test_a_folder_is_no_spec(tmp_path: Path) -> None:
    (tmp_path / "net.toml").mkdir()
    with pytest.raises(SpecError, match=r"cannot be read \(Is a directory\)"):
        read_spec(tmp_path / "net.toml")


def test_files_may_say_as_little_as_they_like(tmp_path: Path) -> None:
    file = tmp_path / "net.toml"
    file.write_text('depth = 2\nwidths = 8\ntitle = "Größe 🩻"\n', encoding="utf-8")
    assert read_fields(file) == {"depth": 2, "widths": 8, "title": "Größe 🩻"}
    assert read_spec(file) == NestSpec(depth=2, widths=8, title="Größe 🩻")


@pytest.mark.parametrize("fields", [None, 3, [("depth", 1)], {1: 2}])
def test_fields_that_are_no_table(fields: object) -> None:
    with pytest.raises(SpecError, match=r"^(a spec is a table|the fields of a spec)"):
        from_fields(fields)
