"""The table of measured choices: a file reads back, or a line says why not."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nestgen.errors import SettingsError
from nestgen.fusion.choice import Choice
from nestgen.fusion.signature import Signature, bucket
from nestgen.fusion.table import (
    Entry,
    Table,
    read_table,
    shipped,
    users_file,
    write_table,
)
from nestgen.kernels.configurations import Configuration, configuration_of

SIGNATURE = Signature("transpose", 2**21, (32, 32), 64, 32, 32, ("features", "pooled"))
ENTRY = Entry(
    "NVIDIA H100", "bfloat16", SIGNATURE, "phases", "phase", "8x16x32x16 w4 s1",
    0.25, "composed", 0.5, ("0.1.0", "2.11.0", "3.6.0"),
)  # fmt: skip


def plain(**changes: Any) -> dict[str, Any]:
    """The entry as a file has it, but for some of its fields."""
    (entry,) = json.loads(Table([ENTRY]).to_json())["choices"]
    return {**entry, **changes}


def text(*entries: Any) -> bytes:
    return json.dumps({"choices": entries}).encode()


def test_a_file_reads_back(tmp_path: Path) -> None:
    other = replace(ENTRY, dtype="tf32", form="written", impl="torch", configuration="")
    write_table(tmp_path / "deep" / "choices.json", Table([ENTRY, other]))
    read = read_table(tmp_path / "deep" / "choices.json")
    assert list(read.entries.values()) == [ENTRY, other]
    configuration = Configuration(8, 16, 32, 16, stages=1)
    assert read.find(ENTRY.key) == Choice("phases", "phase", configuration)
    assert read.find(other.key) == Choice()


@pytest.mark.parametrize(
    "change",
    [
        {"pixels": 2**20},
        {"skips": (32,)},
        {"low": 32},
        {"raised": 64},
        {"channels": 64},
        {"up": "nearest"},
        {"outputs": ("features",)},
    ],
    ids=lambda change: "".join(change),
)
def test_only_what_was_measured_is_found(change: dict[str, Any]) -> None:
    table, key = Table([ENTRY]), ENTRY.key
    assert table.find(key) is not None
    assert table.find(key._replace(signature=replace(SIGNATURE, **change))) is None
    assert table.find(key._replace(device="another")) is None
    assert table.find(key._replace(dtype="float16")) is None


def test_a_newer_entry_takes_the_place_of_the_older() -> None:
    table = Table([ENTRY])
    table.add(replace(ENTRY, form="written", impl="torch", configuration=""))
    assert table.find(ENTRY.key) == Choice()
    assert len(table.entries) == 1


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"", "EOF"),
        (b"\xff", "choices"),
        (b"[]", "choices: Input should be"),
        (b'{"others": []}', "others"),
        (text(plain(form="fast")), "choices, 0, form: Input should be 'written'"),
        (text(plain(impl="mine")), "impl: Value error, 'mine' is not allowed, torch"),
        (text(plain(configuration="8x8")), "configuration='8x8' is not allowed"),
        (text(plain(ms=-1.0)), "ms: Input should be greater than 0"),
        (text(plain(ms="fast")), "ms: Input should be a valid number"),
        (text(plain(more=1)), "more: Unexpected keyword argument"),
        (text(plain(signature={**plain()["signature"], "low": -1})), "signature, low"),
        (text(plain(device="x" * 201)), "device: String should have at most 200"),
        (
            text(plain(form="composed")),
            "form: composed by phase is not allowed with up",
        ),
        (
            text(plain(signature={**plain()["signature"], "up": "none"})),
            "form: phases by phase is not allowed with up none, raised",
        ),
        (text(plain(form="nearest")), "nearest by phase is not allowed with up transp"),
        (
            text(plain(form="phases", impl="torch")),
            "form: phases by torch is not allowed with up transpose, writ",
        ),
        (
            text(
                plain(
                    form="raised",
                    signature={**plain()["signature"], "up": "none"},
                )
            ),
            "torch_form: composed is not allowed with up none, written",
        ),
        (text(plain(form="split", impl="torch")), "configuration: torch has none"),
        (b'{"choices": [' + b"[" * 10_000, "recursion limit"),
    ],
)
def test_what_is_no_table_is_refused_in_one_line(
    tmp_path: Path, raw: bytes, why: str
) -> None:
    file = tmp_path / "choices.json"
    file.write_bytes(raw)
    with pytest.raises(SettingsError) as caught:
        read_table(file)
    message = str(caught.value)
    assert message.startswith(f"{file}: ")
    assert why in message
    assert message.isascii()
    assert message.isprintable()


def test_a_folder_is_no_table(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="is no file"):
        read_table(tmp_path)
    assert read_table(tmp_path / "none").entries == {}


def test_what_is_shipped_is_a_table() -> None:
    for entry in shipped().entries.values():
        assert entry.ms <= entry.torch_ms


@pytest.mark.parametrize("cache", ["", "relative"])
def test_the_users_file_is_in_the_cache(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, cache: str
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", cache)
    assert users_file() == tmp_path / ".cache" / "nestgen" / "choices.json"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "other"))
    assert users_file() == tmp_path / "other" / "nestgen" / "choices.json"


def test_buckets_are_an_octave_wide() -> None:
    for power in range(1, 40):
        assert bucket(2**power) == 2**power
        assert bucket(int(2**power * 1.41)) == 2**power
        assert bucket(int(2**power * 1.42) + 1) == 2 ** (power + 1)


@pytest.mark.parametrize(
    "one",
    [
        Configuration(8, 16, 32, 32),
        Configuration(1, 128, 256, 8, warps=8, stages=1, cache=".cg"),
    ],
)
def test_a_configuration_reads_back(one: Configuration) -> None:
    assert configuration_of(str(one)) == one


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "8x16x32x32",
        "8x16x32x32 w4 s3 .cb",
        "8x16x32x32 w4 s3 .ca ",
        "8x16x32x32 w4 s3 xca",
        "8x16x32x32 w3 s3",
        "8x16x32x32 w64 s3",
        "8x16x32x32 w4 s0",
        "8x16x32x32 w4 s9",
        "8x16x8x32 w4 s3",
        "8x16x32x4 w4 s3",
        "0x16x32x32 w4 s3",
        "8x2048x32x32 w4 s3",
        "٨x16x32x32 w4 s3",
        f"{'8' * 5000}x16x32x32 w4 s3",
    ],
)
def test_what_is_no_configuration_is_refused(wrong: str) -> None:
    with pytest.raises(ValueError, match=r"is not allowed, as 8x16x32x64 w4 s3 \.ca"):
        configuration_of(wrong)
