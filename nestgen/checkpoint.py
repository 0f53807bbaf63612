"""Checkpoints: a network as data, its spec and its tensors, never as code.

A checkpoint is a `.pt` (read with `weights_only=True`) or a `.safetensors` (all but the
tensors as JSON in its metadata). A SHA-256 covers all that is read from it, so a
damaged file is refused. Whatever is wrong with a file, the error is one
`CheckpointError`.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import safetensors.torch
import torch
from torch import Tensor, nn

from nestgen.arch.spec import NestSpec
from nestgen.arch.specfile import from_fields
from nestgen.codegen.load import blank, build, spec_of
from nestgen.datafile import STORAGES, named, opened, read_pt, read_safetensors
from nestgen.errors import CheckpointError
from nestgen.files import write_whole

_FORMAT = "nestgen-checkpoint"
_VERSION = 1
_COVERED = ("format", "version", "spec", "tensors", "extra")


@dataclass(frozen=True)
class Contents:
    """What a checkpoint holds, after every check.

    Attributes:
        spec: the network.
        tensors: its state dict, on the CPU; no two share memory.
        extra: what was saved beside it, `None` if nothing was.
    """

    spec: NestSpec
    tensors: dict[str, Tensor]
    extra: dict[str, Any] | None


def save(
    model: nn.Module,
    path: str | os.PathLike[str],
    *,
    extra: dict[str, Any] | None = None,
) -> None:
    """Write a network that nestgen built to `path`, a `.pt` or a `.safetensors`.

    The same network gives the same bytes. `extra` is what else belongs to it, such as
    what a training run needs to go on: None, bool, int, float, str and tensors, nested
    in dicts, lists and tuples; in a `.safetensors`, what JSON has. A calibration
    that `load` found is not written unless it is in there, since the network may have
    changed. The file appears whole or not at all.

    Raises `CheckpointError` for a model whose tensors are not those of its `.spec`.

    >>> import pathlib, tempfile
    >>> file = pathlib.Path(tempfile.mkdtemp()) / "model.pt"
    >>> save(build(NestSpec(depth=1, widths=2)), file)
    >>> load(file).spec.label
    'UNet++ of depth 1'
    """
    write = {".pt": _pt_bytes, ".safetensors": _safetensors_bytes}
    with named(path):
        encode = write[_suffix(path)]
        spec = spec_of(model)
        tensors = {name: _copy(tensor) for name, tensor in model.state_dict().items()}
        _compare(spec, tensors)
        content = {
            "format": _FORMAT,
            "version": _VERSION,
            "spec": spec.model_dump(mode="json", exclude_none=True),
            "tensors": dict(sorted(tensors.items())),
            "extra": _copy(extra),
        }
        content["sha256"] = _digest(content)
        data = encode(content)
    write_whole(path, data)


def load(
    path: str | os.PathLike[str], *, device: str | torch.device = "cpu"
) -> nn.Module:
    """The network in `path`, in eval mode on `device`, with its `.spec`.

    Its class is generated again from the spec; the file brings tensors alone, and with
    them, as `.calibration`, when to stop early, where `nestgen calibrate` has said so.
    Raises `CheckpointError` for anything but a whole, honest checkpoint.
    """
    contents = read(path)
    with named(path):
        model = blank(contents.spec)
        model.load_state_dict(contents.tensors, strict=True, assign=True)
        model.calibration = (contents.extra or {}).get("calibration")  # type: ignore[assignment]
        return model.to(device).eval()


def read_spec(path: str | os.PathLike[str]) -> NestSpec:
    """The spec of the network in `path`, after every check that `read` makes."""
    return read(path).spec


def read(path: str | os.PathLike[str]) -> Contents:
    """All that `path` holds. Raises `CheckpointError` as `load` does."""
    readers: dict[str, Callable[[BinaryIO], Any]] = {
        ".pt": read_pt,
        ".safetensors": _read_safetensors,
    }
    with named(path):
        reader = readers[_suffix(path)]
        with opened(path) as file:
            return _checked(reader(file))


def _suffix(path: str | os.PathLike[str]) -> str:
    suffix = Path(path).suffix
    if suffix not in (".pt", ".safetensors"):
        raise CheckpointError("a checkpoint ends in .pt or .safetensors")
    return suffix


def _pt_bytes(content: dict[str, Any]) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def _safetensors_bytes(content: dict[str, Any]) -> bytes:
    names = ["version", "spec", "sha256"]
    if content["extra"] is not None:
        names.append("extra")
        if not _is_json(content["extra"]):
            raise CheckpointError("a .safetensors has no place for such an extra")
    metadata = {_FORMAT: json.dumps({name: content[name] for name in names})}
    return safetensors.torch.save(content["tensors"], metadata=metadata)


def _read_safetensors(file: BinaryIO) -> Any:
    metadata, tensors = read_safetensors(file)
    header = json.loads(metadata.get(_FORMAT, "null"))
    if not isinstance(header, dict):
        return None
    return {"extra": None, **header, "format": _FORMAT, "tensors": tensors}


def _is_json(value: Any) -> bool:
    """Whether JSON gives back what it is given."""
    if type(value) is dict:
        return all(type(key) is str and _is_json(value[key]) for key in value)
    if type(value) is list:
        return all(map(_is_json, value))
    return type(value) in (bool, int, float, str, type(None))


def _checked(content: Any) -> Contents:
    """The contents of a file, compared with its digest and with its spec's module."""
    if not isinstance(content, dict) or content.get("format") != _FORMAT:
        raise CheckpointError("is no checkpoint of nestgen")
    if type(version := content.get("version")) is not int or version != _VERSION:
        raise CheckpointError(f"its version is not {_VERSION}, the one known here")
    if set(content) != {*_COVERED, "sha256"} or not isinstance(
        content["tensors"], dict
    ):
        raise CheckpointError(f"is no checkpoint of version {_VERSION}")
    content["tensors"] = dict(sorted(content["tensors"].items()))
    if _digest(content) != content["sha256"]:
        raise CheckpointError("is damaged: its content does not have its SHA-256")
    if not isinstance(content["extra"], (dict, type(None))):
        raise CheckpointError("its extra is no dict")
    spec = from_fields(content["spec"])
    _compare(spec, content["tensors"])
    tensors = {name: tensor.detach() for name, tensor in content["tensors"].items()}
    return Contents(spec, tensors, content["extra"])


def _compare(spec: NestSpec, tensors: Mapping[str, Any]) -> None:
    """Raise unless `tensors` have the names, shapes and dtypes of `spec`'s module."""
    with torch.device("meta"):
        expected = build(spec).state_dict()
    missing = [name for name in expected if name not in tensors]
    unknown = [name for name in tensors if name not in expected]
    for what, names in (("lacks", missing), ("has, unknown to it,", unknown)):
        if names:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            name = ascii(names[0])[:80]
            raise CheckpointError(f"does not fit its spec: {what} {name}{more}")
    for name, wanted in expected.items():
        found = tensors[name]
        if not isinstance(found, Tensor):
            raise CheckpointError(f"does not fit its spec: {name} is no tensor")
        if (found.dtype, found.shape) != (wanted.dtype, wanted.shape):
            raise CheckpointError(
                f"does not fit its spec: {name} is {found.dtype} {list(found.shape)}, "
                f"not {wanted.dtype} {list(wanted.shape)}"
            )


def _copy(value: Any) -> Any:
    """`value` as a tree of its own, whose tensors are dense and share no memory."""
    if isinstance(value, Tensor):
        return value.detach().cpu().clone(memory_format=torch.contiguous_format)
    if type(value) is dict:
        return {key: _copy(item) for key, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(_copy(item) for item in value)
    return value


def _digest(content: dict[str, Any]) -> str:
    """SHA-256 of all that is read from a file; raises unless that is a plain tree."""
    hashing = hashlib.sha256()
    _feed([content[name] for name in _COVERED], hashing.update, set())
    return hashing.hexdigest()


def _feed(
    value: Any, update: Callable[[Any], None], seen: set[tuple[str, int]]
) -> None:
    """Each value as its type, the length of its text, its text, then its parts.

    A list, dict, tuple or tensor that occurs twice is refused: what is written is a
    tree, and in a file that is none, a few bytes can stand for endless work.
    """
    kind = type(value)
    parts: list[Any] = []
    if kind is Tensor:
        _require_plain(value)
        _require_new(("storage", value.data_ptr()), value.numel() > 0, seen)
        text = f"{value.dtype} {list(value.shape)}"
    elif kind in (list, tuple, dict):
        _require_new((kind.__name__, id(value)), len(value) > 0, seen)
        parts = _items(value) if kind is dict else list(value)
        text = str(len(value))
    elif kind in (bool, int, float, str, type(None)):
        text = str(value)
    else:
        raise CheckpointError(
            f"holds {kind.__name__!a}; None, bool, int, float, str, list, tuple, dict "
            "and Tensor are allowed"
        )
    raw = text.encode("utf-8", "surrogatepass")
    update(f"{kind.__name__}:{len(raw)}:".encode() + raw)
    if kind is Tensor:
        update(value.reshape(-1).view(torch.uint8).numpy())
    for part in parts:
        _feed(part, update, seen)


def _items(value: dict[Any, Any]) -> list[Any]:
    """Keys and values in turn."""
    if any(type(key) not in (str, int) for key in value):
        raise CheckpointError("holds a dict whose keys are neither str nor int")
    return [part for item in value.items() for part in item]


def _require_new(
    key: tuple[str, int], matters: bool, seen: set[tuple[str, int]]
) -> None:
    if matters and key in seen:
        raise CheckpointError(f"the same {key[0]} occurs twice in it")
    seen.add(key)


def _require_plain(tensor: Tensor) -> None:
    """Raise unless the bytes of the tensor, in order, are all that it is."""
    plain = (
        tensor.layout is torch.strided
        and tensor.device.type == "cpu"
        and tensor.dtype in STORAGES.values()
        and not (tensor.requires_grad or tensor.is_neg() or tensor.is_conj())
        and tensor.storage_offset() == 0
        and tensor.untyped_storage().nbytes() == tensor.nbytes
        and tensor.stride() == torch.empty(tensor.shape, device="meta").stride()
    )
    if not plain:
        raise CheckpointError(
            f"holds a tensor of shape {list(tensor.shape)} that is not dense, in order "
            "and alone in its memory"
        )
