"""Pretrained weights for timm's encoders: looked up in the hub's cache, or fetched.

Only .safetensors files are read, which hold tensors and nothing else.
"""

from __future__ import annotations

from pathlib import Path

from torch import nn

from nestgen.arch.graph import NestGraph
from nestgen.arch.spec import NestSpec
from nestgen.codegen.stages import foreign_nodes
from nestgen.codegen.timm_encoder import options_of, timm_for
from nestgen.errors import CheckpointError

FILE = "model.safetensors"


def find_weights(spec: NestSpec, *, download: bool = False) -> Path:
    """The file of the encoder's pretrained weights in the local cache.

    With `download` it is fetched if it is not there; without, nothing is asked of the
    network. Raises `CheckpointError` where there is no such file.
    """
    name = _model_name(spec)
    home = _home(name)
    from huggingface_hub import hf_hub_download, try_to_load_from_cache

    cached = try_to_load_from_cache(home, FILE)
    if isinstance(cached, str):
        return Path(cached)
    if not download:
        raise CheckpointError(
            f"pretrained: the weights of timm:{name}, {home} on the Hugging Face hub, "
            "are not in the local cache; --download fetches them"
        )
    try:
        return Path(hf_hub_download(home, FILE))
    except Exception as error:  # the hub's client has an error for each way to fail
        line = " ".join(str(error).split())[:160]
        raise CheckpointError(
            f"pretrained: {home} could not be fetched ({line})"
        ) from error


def pretrain(model: nn.Module, spec: NestSpec, file: Path) -> None:
    """Give the encoder of `model`, a network of `spec`, the weights in `file`.

    Only the first stages are needed, but the whole model is read first: it is strict
    about its tensors, where timm leaves what a part of it lacks as it was drawn. Where
    the image has not three channels, the first convolution is adapted as timm
    does. Raises `CheckpointError` for a file that is not that model's, whole, and for
    one that is no .safetensors.
    """
    if file.suffix != ".safetensors":
        raise CheckpointError(f"{file}: weights of a package end in .safetensors")
    name, stages = _model_name(spec), len(foreign_nodes(NestGraph(spec)))
    asked = dict(options_of(name))
    asked.pop("feature_cls", None)
    overlay = {"file": str(file)}
    timm = timm_for(name)
    try:
        timm.create_model(
            name, pretrained=True, pretrained_cfg_overlay=overlay, **asked
        )
        whole = timm.create_model(
            name,
            pretrained=True,
            pretrained_cfg_overlay=overlay,
            features_only=True,
            in_chans=spec.in_channels,
            out_indices=tuple(range(stages)),
            **dict(options_of(name)),
        )
    except Exception as error:  # timm and safetensors raise what they like
        line = " ".join(str(error).split())[:160]
        raise CheckpointError(
            f"{file}: are no weights of timm:{name} ({line})"
        ) from error
    model.get_submodule("encoder.stages").load_state_dict(whole.state_dict())


def _model_name(spec: NestSpec) -> str:
    """timm's name of the encoder; `CheckpointError` where it is not timm's."""
    prefix, _, name = (spec.encoder or "").partition(":")
    if prefix != "timm":
        said = (
            f"{spec.encoder} has no weights" if spec.encoder else "no encoder is given"
        )
        raise CheckpointError(
            f"pretrained: {said}; those of timm have, as timm:resnet34"
        )
    return name


def _home(name: str) -> str:
    """The repository of a model's weights on the Hugging Face hub."""
    known = timm_for(name).models.get_pretrained_cfg(name)
    if known is None or not known.hf_hub_id:
        raise CheckpointError(f"pretrained: timm has no weights of {name} on the hub")
    return str(known.hf_hub_id)
