"""Backends that take a network as an ONNX model: ONNX Runtime and OpenVINO."""

from __future__ import annotations

from functools import partial
from importlib.util import find_spec
from typing import Any

import torch

from nestgen.inference.backend import Backend, Case, Ready


def _onnxruntime(case: Case) -> Ready:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    # its threads would keep the cores busy for a while, while others are timed
    options.add_session_config_entry("session.force_spinning_stop", "1")
    session = onnxruntime.InferenceSession(
        case.onnx, options, providers=["CPUExecutionProvider"]
    )
    (x,) = session.get_inputs()
    return Ready(partial(session.run, None, {x.name: case.x.numpy()}))


def _openvino(case: Case) -> Ready:
    import openvino

    core = openvino.Core()
    settings = {
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "INFERENCE_PRECISION_HINT": "f32",  # its own choice is bfloat16 on some CPUs
    }
    compiled = core.compile_model(core.read_model(case.onnx), "CPU", settings)
    request, x = compiled.create_infer_request(), case.x.numpy()

    def run() -> list[Any]:
        return list(request.infer([x]).values())

    return Ready(run)


def _missing(*packages: str) -> Any:
    """Why a backend that takes `packages` cannot be used on a device, as a function."""

    def missing(device: torch.device) -> str | None:
        for package in packages:
            if find_spec(package) is None:
                return f"{package} is not installed"
        return None if device.type == "cpu" else "is measured on the CPU alone"

    return missing


_EXPORTER = ("onnx", "onnxscript")

ONNXRUNTIME = Backend(
    _onnxruntime,
    _missing("onnxruntime", *_EXPORTER),
    (torch.float32, torch.float16),
)
OPENVINO = Backend(_openvino, _missing("openvino", *_EXPORTER), (torch.float32,))
