"""A fused network as an ONNX model, for images of any size and number."""

from __future__ import annotations

import logging
import warnings
from importlib.util import find_spec

import torch
from torch import Tensor

from nestgen.errors import ModuleError, in_a_line
from nestgen.fusion.fused import Fused
from nestgen.surgery.kept import Inputs, inputs_of, output_tensors


def onnx_of(fused: Fused, example: Tensor | Inputs) -> bytes:
    """The model, whose outputs have their names, as L1; batch and sides are open.

    Those that are not (see `fused.open_axes`) are the example's, since a model looks at
    no conditions. Raises `ModuleError` where the exporter of torch is not installed or
    cannot do it.

    >>> from torch import nn
    >>> from nestgen.fusion.fuse import fuse
    >>> x = torch.zeros(1, 1, 4, 4)
    >>> onnx_of(fuse(nn.Conv2d(1, 1, 3).eval(), x), x)[:3]
    b'\\x08\\n\\x12'
    """
    for package in ("onnx", "onnxscript"):
        if find_spec(package) is None:
            raise ModuleError(
                f"{package} is not installed; pip install onnx onnxscript"
            )
    given = inputs_of(example)
    axes = fused.open_axes(*given)
    inputs = tuple(
        _several(x) if 0 in open_ else x for x, open_ in zip(given, axes, strict=True)
    )
    with torch.no_grad():
        names = list(output_tensors(fused(*inputs)))
    try:
        return _exported(fused, inputs, axes, names)
    except Exception as error:  # whatever the exporter raises
        raise ModuleError(f"it cannot be exported ({in_a_line(error)})") from error


def _exported(
    fused: Fused, inputs: Inputs, axes: list[list[int]], names: list[str]
) -> bytes:
    open_sides = tuple(dict.fromkeys(of, torch.export.Dim.AUTO) for of in axes)
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), torch.inference_mode(False), torch.no_grad():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                fused,
                inputs,
                dynamo=True,
                verbose=False,
                dynamic_shapes=(open_sides,),
                input_names=[node.name for node in fused.placeholders],
                output_names=names if len(names) > 1 else ["logits"],
            )
    finally:
        logging.disable(before)
    assert program is not None
    model: bytes = program.model_proto.SerializeToString()
    return model


def _several(x: Tensor) -> Tensor:
    """Two images, since a batch of one is taken for a constant."""
    return torch.cat([x, x]) if x.ndim > 2 and x.shape[0] == 1 else x
