"""Checkpoints come back as they were, or are refused in one line."""

from __future__ import annotations

import copy
import io
import json
import os
import pickle
import random
import struct
import sys
import zipfile
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from nestgen import checkpoint, datafile
from nestgen.arch.spec import NestSpec
from nestgen.checkpoint import load, read, read_spec, save
from nestgen.codegen.load import build
from nestgen.errors import CheckpointError

TINY = NestSpec(depth=1, widths=2, in_channels=1)

SPECS = [
    TINY,
    NestSpec(depth=3, widths=2, title="Zellen, größer", name="Net"),
    NestSpec(depth=2, widths=(2, 4, 6), up="bilinear", classes=3, heads=(2,)),
    NestSpec(family="unet", depth=2, widths=2, block={"norm": "none", "bias": True}),
    NestSpec(depth=2, widths=4, block={"norm": "group", "groups": 2, "dropout": 0.1}),
    NestSpec(family="unet+", depth=3, widths=2).cut([1, 2]),
]


def lived(spec: NestSpec = TINY) -> nn.Module:
    """A network as after a training: no parameter and no statistic at its start."""
    torch.manual_seed(0)
    model = build(spec)
    model.train()(torch.randn(2, spec.in_channels, 2 ** (spec.depth + 1), 16))
    return model


def refusal(path: Path, reader: Callable[[Path], Any] = load) -> str:
    """The reason for which `path` is refused, after it was seen to be one line."""
    with pytest.raises(CheckpointError) as caught:
        reader(path)
    line = str(caught.value)
    assert line.startswith(f"{path}: ")
    assert "\n" not in line
    assert line.isprintable()
    assert len(line) <= len(str(path)) + 260
    return line.removeprefix(f"{path}: ")


def equal(one: nn.Module, other: nn.Module) -> bool:
    a, b = one.state_dict(), other.state_dict()
    return list(a) == list(b) and all(torch.equal(a[name], b[name]) for name in a)


@pytest.fixture
def pt(tmp_path: Path) -> Path:
    """An honest `.pt`."""
    save(lived(), tmp_path / "model.pt", extra={"step": 3})
    return tmp_path / "model.pt"


UNDIGESTED = (
    CheckpointError,
    RecursionError,
    AttributeError,
    KeyError,
    TypeError,
    ValueError,
)
"""What a content that has no digest raises; then the old one stays."""


def forge(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the content of a `.pt`, and give it the digest of the new content."""
    content = torch.load(path, weights_only=True)
    change(content)
    with suppress(*UNDIGESTED):
        content["tensors"] = dict(sorted(content["tensors"].items()))
        content["sha256"] = checkpoint._digest(content)
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(30_000)
    try:
        torch.save(content, path)
    finally:
        sys.setrecursionlimit(limit)


def repack(
    path: Path, change: Callable[[dict[str, bytes]], object], **how: Any
) -> None:
    """Change the entries of the archive that a `.pt` is."""
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    change(entries)
    with zipfile.ZipFile(path, "w", **how) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)


def put_pickle(path: Path, pickled: bytes) -> None:
    repack(path, lambda entries: entries.update({"archive/data.pkl": pickled}))


# What is saved comes back.


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.stem)
def test_what_is_saved_comes_back(spec: NestSpec, suffix: str, tmp_path: Path) -> None:
    file, again = tmp_path / f"model{suffix}", tmp_path / f"again{suffix}"
    model = lived(spec)
    save(model, file)
    back = load(file)
    assert back.spec == spec == read_spec(file)
    assert equal(model, back)
    assert all(
        isinstance(p, nn.Parameter) and p.requires_grad for p in back.parameters()
    )
    x = torch.randn(3, spec.in_channels, 16, 24)
    outputs = model.eval()(x), back(x)
    one, other = (y if isinstance(y, dict) else {"L": y} for y in outputs)
    assert all(torch.equal(one[level], other[level]) for level in one)
    save(back, again)
    assert again.read_bytes() == file.read_bytes()


def test_it_comes_back_in_eval_mode_and_draws_no_numbers(pt: Path) -> None:
    before = torch.get_rng_state()
    model = load(pt)
    assert not any(module.training for module in model.modules())
    assert torch.equal(torch.get_rng_state(), before)


def test_a_loaded_network_learns_and_leaves_its_file(pt: Path) -> None:
    model, before = load(pt).train(), pt.read_bytes()
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.randn(2, 1, 8, 8)).sum().backward()
    optimizer.step()
    assert not equal(model, load(pt))
    assert pt.read_bytes() == before


def test_extra_comes_back(tmp_path: Path) -> None:
    model = lived()
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.randn(2, 1, 8, 8)).sum().backward()
    optimizer.step()
    shared = torch.arange(6.0)
    extra: dict[str, Any] = {
        "optimizer": optimizer.state_dict(),
        "random": torch.get_rng_state(),
        "views": [shared[1:3], shared.reshape(2, 3).T, shared.bfloat16()],
        "plain": (None, True, -7, 10**30, 0.1, float("inf"), "größer", {}, ()),
        "weights": list(model.state_dict().values()),
    }
    save(model, tmp_path / "last.pt", extra=extra)
    back = read(tmp_path / "last.pt").extra
    assert back is not None
    assert back["plain"] == extra["plain"]
    assert torch.equal(back["random"], torch.get_rng_state())
    for one, other in zip(extra["views"], back["views"], strict=True):
        assert torch.equal(one, other)
        assert one.dtype == other.dtype
    fresh = torch.optim.AdamW(load(tmp_path / "last.pt").parameters())
    fresh.load_state_dict(back["optimizer"])
    old = optimizer.state_dict()["state"][0]["exp_avg"]
    assert torch.equal(fresh.state_dict()["state"][0]["exp_avg"], old)


def test_a_network_in_another_memory_format_is_saved_in_order(tmp_path: Path) -> None:
    model = lived(NestSpec(depth=1, widths=4))
    save(model, tmp_path / "a.pt")
    save(model.to(memory_format=torch.channels_last), tmp_path / "b.pt")  # type: ignore[call-overload]
    assert (tmp_path / "a.pt").read_bytes() == (tmp_path / "b.pt").read_bytes()


# What is not saved.


def test_only_networks_of_nestgen_are_saved(tmp_path: Path) -> None:
    def write(path: Path) -> None:
        save(nn.Linear(1, 1), path)

    assert refusal(tmp_path / "a.pt", write).startswith("Linear has no spec;")
    assert not list(tmp_path.iterdir())


def test_a_network_that_is_not_its_spec_is_not_saved(pt: Path) -> None:
    before = pt.read_bytes()
    lacking, wide, half, more = (lived() for _ in range(4))
    lacking.x0_1 = nn.Identity()
    wide.head_L1 = nn.Conv2d(2, 5, 1)
    more.other = nn.Linear(1, 1)
    reasons = {
        "lacks 'x0_1.conv1.weight' and 11 more": lacking,
        "head_L1.weight is torch.float32 [5, 2, 1, 1], not torch.float32 [1,": wide,
        "x0_0.conv1.weight is torch.float16 [2, 1, 3, 3], not": half.half(),
        "has, unknown to it, 'other.weight' and 1 more": more,
        "Cannot copy out of meta tensor": copy.deepcopy(lived()).to("meta"),
    }
    for reason, model in reasons.items():
        assert reason in refusal(pt, partial(save, model))
    assert pt.read_bytes() == before


@pytest.mark.parametrize(
    "value",
    [
        object(),
        {1},
        b"bytes",
        1j,
        OrderedDict(a=1),
        defaultdict(int),
        {(1,): 2},
        {1.5: 0},
    ],
    ids=lambda value: type(value).__name__,
)
def test_extra_is_plain(value: Any, tmp_path: Path) -> None:
    def write(path: Path) -> None:
        save(lived(), path, extra={"value": value})

    assert "holds" in refusal(tmp_path / "a.pt", write)
    assert not list(tmp_path.iterdir())


def test_extra_without_an_end_is_refused(tmp_path: Path) -> None:
    endless: dict[str, Any] = {}
    endless["self"] = endless
    reason = refusal(tmp_path / "a.pt", lambda path: save(lived(), path, extra=endless))
    assert reason == "nested too deeply"


def test_safetensors_have_what_json_has_beside_the_tensors(tmp_path: Path) -> None:
    extra = {"a": [0.1, -1e-300, True, None, {"ü": "b"}], "c": {"1": [[], {}]}}
    save(lived(), tmp_path / "a.safetensors", extra=extra)
    assert read(tmp_path / "a.safetensors").extra == extra
    assert read(tmp_path / "a.safetensors").extra["a"][2] is True  # type: ignore[index]


@pytest.mark.parametrize("value", [(1, 2), {1: 2}, torch.zeros(1), [(1,)]], ids=repr)
def test_what_json_would_change_is_refused(value: Any, tmp_path: Path) -> None:
    def write(path: Path) -> None:
        save(lived(), path, extra={"value": value})

    assert "no place for such" in refusal(tmp_path / "a.safetensors", write)


@pytest.mark.parametrize("name", ["a.pth", "a", "a.PT", "a.onnx"])
def test_other_suffixes_are_refused(name: str, tmp_path: Path) -> None:
    readers: list[Callable[[Path], Any]] = [load, partial(save, lived())]
    for reader in readers:
        reason = refusal(tmp_path / name, reader)
        assert reason == "a checkpoint ends in .pt or .safetensors"


def test_an_unknown_device_is_refused(pt: Path) -> None:
    reason = refusal(pt, lambda path: load(path, device="tape"))
    assert "tape" in reason


# Damaged files.


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_a_cut_off_file_is_refused(suffix: str, tmp_path: Path) -> None:
    file = tmp_path / f"model{suffix}"
    save(lived(), file)
    whole = file.read_bytes()
    chosen = random.Random(0).sample(range(len(whole)), 150)
    for length in [*chosen, *range(20), *range(len(whole) - 60, len(whole))]:
        file.write_bytes(whole[:length])
        refusal(file)


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_a_flipped_bit_is_refused_or_changes_nothing(
    suffix: str, tmp_path: Path
) -> None:
    file, model = tmp_path / f"model{suffix}", lived()
    save(model, file)
    whole = file.read_bytes()
    refused = 0
    for place in random.Random(1).sample(range(len(whole) * 8), 250):
        changed = bytearray(whole)
        changed[place // 8] ^= 1 << place % 8
        file.write_bytes(changed)
        try:
            back = load(file)
        except CheckpointError:
            refused += 1
        else:
            assert equal(back, model)
            assert back.spec == model.spec
    assert refused > 50


def test_every_flipped_bit_of_the_weights_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    save(lived(), file)
    whole = file.read_bytes()
    start = 8 + int.from_bytes(whole[:8], "little")
    for place in random.Random(2).sample(range(start * 8, len(whole) * 8), 60):
        changed = bytearray(whole)
        changed[place // 8] ^= 1 << place % 8
        file.write_bytes(changed)
        assert refusal(file) == "is damaged: its content does not have its SHA-256"


CHANGES: dict[str, Callable[[dict[str, Any]], object]] = {
    "weight": lambda c: c["tensors"]["head_L1.bias"].add_(1e-6),
    "sign of zero": lambda c: c["tensors"]["head_L1.bias"].zero_().neg_(),
    "extra": lambda c: c["extra"].update(step=4),
    "extra's type": lambda c: c["extra"].update(step=3.0),
    "spec": lambda c: c["spec"].update(title="other"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_the_digest_covers(
    change: Callable[[dict[str, Any]], object], pt: Path
) -> None:
    content = torch.load(pt, weights_only=True)
    change(content)
    torch.save(content, pt)
    assert refusal(pt) == "is damaged: its content does not have its SHA-256"
    forge(pt, lambda content: None)
    load(pt)


# Foreign files.


def png() -> bytes:
    return b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 8


def archive() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as made:
        made.writestr("readme.txt", "nothing")
    return buffer.getvalue()


def torch_file(content: Any, **how: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer, **how)
    return buffer.getvalue()


FOREIGN: dict[str, Callable[[], bytes]] = {
    "empty": bytes,
    "png": png,
    "text": lambda: b"weights\n" * 99,
    "zeros": lambda: bytes(4096),
    "zip": archive,
    "empty zip": lambda: b"PK\5\6" + bytes(18),
    "pickle": lambda: pickle.dumps({"format": "nestgen-checkpoint"}),
    "state dict": lambda: torch_file(nn.Conv2d(1, 1, 3).state_dict()),
    "whole module": lambda: torch_file(nn.Conv2d(1, 1, 3)),
    "tensor": lambda: torch_file(torch.zeros(3)),
    "list": lambda: torch_file([1, 2]),
    "old format": lambda: torch_file({}, _use_new_zipfile_serialization=False),
    "safetensors": lambda: safetensors.torch.save({"a": torch.zeros(3)}),
    "long header": lambda: struct.pack("<Q", 2**62) + b"{}" * 99,
    "header of 17 MiB": lambda: struct.pack("<Q", 17 * 2**20) + b" " * (18 * 2**20),
}


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
@pytest.mark.parametrize("content", FOREIGN.values(), ids=FOREIGN)
def test_a_foreign_file_is_refused(
    content: Callable[[], bytes], suffix: str, tmp_path: Path
) -> None:
    file = tmp_path / f"model{suffix}"
    file.write_bytes(content())
    refusal(file)


def test_a_folder_a_pipe_and_nothing_are_refused(tmp_path: Path) -> None:
    folder, pipe = tmp_path / "folder.pt", tmp_path / "pipe.pt"
    folder.mkdir()
    os.mkfifo(pipe)
    assert refusal(folder) == refusal(pipe) == "is no file"
    missing = refusal(tmp_path / "none.safetensors")
    assert missing == "cannot be read (No such file or directory)"


# Hostile files, whose digests are right.


def put(
    name: str, tensor: Callable[[Tensor], Any]
) -> Callable[[dict[str, Any]], object]:
    def change(content: dict[str, Any]) -> None:
        content["tensors"][name] = tensor(content["tensors"][name])

    return change


def wide(old: Tensor) -> Tensor:
    return torch.cat([old, old])[: len(old)]


def laughs() -> list[Any]:
    """Thirty lists that stand for 10^30."""
    value: list[Any] = [0]
    for _ in range(30):
        value = [value] * 10
    return value


def deep() -> list[Any]:
    value: list[Any] = []
    for _ in range(3_000):
        value = [value]
    return value


WEIGHT = "x0_0.conv1.weight"
LAWLESS = "not dense, in order and alone in its memory"

HOSTILE: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "no format": (lambda c: c.pop("format"), "is no checkpoint of nestgen"),
    "other format": (lambda c: c.update(format="other"), "is no checkpoint of nestgen"),
    "tensor for format": (
        lambda c: c.update(format=torch.zeros(2)),
        "is no checkpoint of nestgen",
    ),
    "later version": (lambda c: c.update(version=2), "its version is not 1"),
    "version true": (lambda c: c.update(version=True), "its version is not 1"),
    "one key more": (lambda c: c.update(more=1), "is no checkpoint of version 1"),
    "no extra": (lambda c: c.pop("extra"), "is no checkpoint of version 1"),
    "tensors a list": (lambda c: c.update(tensors=[]), "is no checkpoint of version 1"),
    "extra a list": (lambda c: c.update(extra=[]), "its extra is no dict"),
    "no spec": (lambda c: c.update(spec=None), "a spec is a table of fields"),
    "spec's depth": (lambda c: c["spec"].update(depth=99), "depth: 99 is not allowed"),
    "spec's code": (
        lambda c: c["spec"].update(name="X(nn.Module): import os #"),
        "name: ",
    ),
    "spec's field": (lambda c: c["spec"].update(code="1"), "code: is no field"),
    "spec's number": (lambda c: c["spec"].update(depth=10**5000), ""),
    "giant network": (
        lambda c: c["spec"].update(depth=12, widths=[2**20] * 13, heads=[12]),
        "does not fit its spec: lacks ",
    ),
    "one tensor less": (lambda c: c["tensors"].pop(WEIGHT), f"lacks '{WEIGHT}'"),
    "one tensor more": (
        lambda c: c["tensors"].update({"x\n" * 99: torch.zeros(1)}),
        r"has, unknown to it, 'x\nx\n",
    ),
    "number for name": (lambda c: c["tensors"].update({1: torch.zeros(1)}), "'<' not"),
    "number for tensor": (put(WEIGHT, lambda t: 5), "is no tensor"),
    "other shape": (put(WEIGHT, lambda t: t.clone()[:1].clone()), "[1, 1, 3, 3], not"),
    "other dtype": (put(WEIGHT, lambda t: t.double()), "is torch.float64 [2"),
    "stride 0": (put(WEIGHT, lambda t: torch.zeros(1).expand(2**40)), LAWLESS),
    "stride 0, same shape": (put(WEIGHT, lambda t: t[:1].expand(2, 1, 3, 3)), LAWLESS),
    "transposed": (put(WEIGHT, lambda t: t.transpose(2, 3)), LAWLESS),
    "part of more": (put(WEIGHT, wide), LAWLESS),
    "sparse": (put(WEIGHT, lambda t: t.to_sparse()), "holds 'torch"),
    "meta": (put(WEIGHT, lambda t: t.to("meta")), "holds 'torch"),
    "complex": (put(WEIGHT, lambda t: t.to(torch.complex64)), "ComplexFloatStorage"),
    "negated": (put(WEIGHT, lambda t: torch._neg_view(t)), LAWLESS),
    "learning": (put(WEIGHT, lambda t: t.requires_grad_()), LAWLESS),
    "parameter": (put(WEIGHT, nn.Parameter), "holds 'torch._utils._rebuild_parameter'"),
    "shared": (
        lambda c: put("x0_0.norm1.weight", lambda t: c["tensors"]["x0_0.norm1.bias"])(
            c
        ),
        "the same storage occurs twice in it",
    ),
    "laughs": (lambda c: c["extra"].update(a=laughs()), "the same list occurs twice"),
    "laughs in spec": (lambda c: c["spec"].update(title=laughs()), "the same list"),
    "deep extra": (lambda c: c["extra"].update(a=deep()), "nested too deeply"),
    "bytes": (
        lambda c: c["extra"].update(a=bytearray(9)),
        "bytearray'; a checkpoint is data alone",
    ),
}


@pytest.mark.parametrize(("change", "reason"), HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_file_is_refused(
    change: Callable[[dict[str, Any]], object],
    reason: str,
    pt: Path,
) -> None:
    forge(pt, change)
    assert reason in refusal(pt)


def test_an_honest_forgery_is_taken(pt: Path) -> None:
    """So the files above are refused for their reason, not for being forged."""
    forge(pt, lambda content: content["extra"].update(step=5))
    assert read(pt).extra == {"step": 5}
    forge(pt, put(WEIGHT, lambda tensor: tensor * 0))
    assert not load(pt).get_parameter(WEIGHT).any()


class Reduces:
    """Pickled, it is a call."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return self.call


@pytest.mark.parametrize("guarded", [True, False])
def test_a_pickle_calls_nothing(
    guarded: bool, pt: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither past our own guard nor past torch's."""
    marker = pt.with_name("marker")
    command = f"touch {marker}"
    if not guarded:
        monkeypatch.setattr(datafile, "_refuse_code", lambda pickled, also: None)
    for protocol in (0, 2, 4):
        evil = pickle.dumps(Reduces(os.system, command), protocol)
        put_pickle(pt, evil)
        refusal(pt)
        assert not marker.exists()
    pickle.loads(evil)
    assert marker.exists()


def test_a_pickle_allocates_nothing(pt: Path) -> None:
    put_pickle(pt, pickle.dumps(Reduces(bytearray, 2**50), 2))
    assert "bytearray'; a checkpoint is data alone" in refusal(pt)


@pytest.mark.parametrize("numel", [2**20, 2**31 - 1])
def test_a_storage_that_claims_more_than_its_entry_is_refused(
    numel: int, pt: Path
) -> None:
    def change(entries: dict[str, bytes]) -> None:
        old = entries["archive/data.pkl"]
        place = old.index(b"cpuq") + 5
        assert old[place : place + 1] == b"K"
        new = b"J" + struct.pack("<i", numel)
        entries["archive/data.pkl"] = old[:place] + new + old[place + 2 :]

    repack(pt, change)
    refusal(pt)


def test_sizes_that_overflow_are_refused(pt: Path) -> None:
    def change(entries: dict[str, bytes]) -> None:
        old = entries["archive/data.pkl"]
        place = old.index(b"QK\0(K") + 4
        new = b"\x8a\x08" + struct.pack("<q", 2**62)
        entries["archive/data.pkl"] = old[:place] + new + old[place + 2 :]

    repack(pt, change)
    refusal(pt)


def test_archives_that_torch_does_not_write_are_refused(pt: Path) -> None:
    honest = pt.read_bytes()
    repack(pt, lambda entries: None)
    load(pt)
    repack(pt, lambda entries: None, compression=zipfile.ZIP_DEFLATED)
    assert refusal(pt) == "an entry is compressed; torch stores them"
    pt.write_bytes(b"#!/bin/sh\n" + honest)
    refusal(pt)
    pt.write_bytes(honest)
    repack(pt, lambda entries: entries.update({"archive/DATA.pkl": b""}))
    assert refusal(pt) == "an entry occurs twice in the archive"
    pt.write_bytes(honest)
    repack(pt, lambda entries: entries.update({"other/data.pkl": b""}))
    assert refusal(pt) == "is no archive that torch writes"
    pt.write_bytes(honest)
    put_pickle(pt, bytes(2**24 + 1))
    assert refusal(pt) == "its data.pkl is larger than 16777216 bytes"


def test_entries_that_claim_more_than_the_file_has_are_refused(pt: Path) -> None:
    raw = bytearray(pt.read_bytes())
    entry = raw.index(b"PK\1\2")
    raw[entry + 20 : entry + 28] = struct.pack("<II", 2**31, 2**31)
    pt.write_bytes(raw)
    assert refusal(pt) == "its entries claim more bytes than the file has"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        "{",
        "[" * 100_000,
        "{}",
        '{"version": 1}',
        '{"version": 1, "spec": {}, "sha256": 5}',
        '{"version": 1, "spec": {"depth": 1e999}, "sha256": ""}',
    ],
    ids=lambda text: text[:20],
)
def test_hostile_metadata_is_refused(text: str, tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    metadata = {"nestgen-checkpoint": text}
    file.write_bytes(safetensors.torch.save(dict(lived().state_dict()), metadata))
    refusal(file)


def test_other_tensors_under_an_honest_header_are_refused(tmp_path: Path) -> None:
    file, model = tmp_path / "model.safetensors", lived()
    save(model, file)
    raw = file.read_bytes()
    header = json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")])
    metadata = header["__metadata__"]
    file.write_bytes(safetensors.torch.save(dict(model.state_dict()), metadata))
    assert equal(load(file), model)
    with torch.no_grad():
        model.get_parameter(WEIGHT)[0, 0, 0, 0] += 1
    file.write_bytes(safetensors.torch.save(dict(model.state_dict()), metadata))
    assert refusal(file) == "is damaged: its content does not have its SHA-256"
