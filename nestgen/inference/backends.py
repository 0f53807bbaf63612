"""The backends by name, in the order of the reports."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from nestgen.errors import SettingsError
from nestgen.inference.backend import Backend
from nestgen.inference.runtimes import ONNXRUNTIME, OPENVINO
from nestgen.inference.torch_backends import CHANNELS_LAST, COMPILE, EAGER, FUSED

BACKENDS = {
    "eager": EAGER,
    "channels_last": CHANNELS_LAST,
    "fused": FUSED,
    "compile": COMPILE,
    "onnxruntime": ONNXRUNTIME,
    "openvino": OPENVINO,
}


def find_backends(names: Sequence[str], device: torch.device) -> dict[str, Backend]:
    """Those of these names; `SettingsError` for one that is unknown or not here.

    >>> list(find_backends(["eager"], torch.device("cpu")))
    ['eager']
    >>> find_backends(["fast"], torch.device("cpu"))
    Traceback (most recent call last):
    nestgen.errors.SettingsError: backend: 'fast' is not allowed, one of eager, \
channels_last, fused, compile, onnxruntime, openvino
    """
    for name in names:
        if name not in BACKENDS:
            raise SettingsError(
                f"backend: {name[:60]!a} is not allowed, one of {', '.join(BACKENDS)}"
            )
        reason = BACKENDS[name].missing(device)
        if reason is not None:
            raise SettingsError(f"backend: {name} cannot be used, {reason}")
    return {name: BACKENDS[name] for name in names}


def missing_backends(device: torch.device) -> dict[str, str]:
    """The backends that cannot be used on `device`, and why not."""
    reasons = {name: known.missing(device) for name, known in BACKENDS.items()}
    return {name: reason for name, reason in reasons.items() if reason is not None}
