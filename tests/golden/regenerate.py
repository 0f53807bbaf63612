"""The golden files: what `source` says for these specs, kept to be read and compared.

After a change of a template, `python tests/golden/regenerate.py` writes them anew;
the difference is then part of the change.
"""

from __future__ import annotations

import runpy
from pathlib import Path

from nestgen.arch.spec import NestSpec
from nestgen.codegen.source import source

FOLDER = Path(__file__).parent

if __name__ == "__main__":
    # for what it declares where torchvision is broken, which timm imports
    shared = runpy.run_path(str(FOLDER.parent / "conftest.py"))

SPECS: dict[str, NestSpec] = {
    "unet_bilinear": NestSpec(
        family="unet",
        depth=3,
        up="bilinear",
        block={"norm": "instance", "activation": "leaky_relu"},
    ),
    "unete_nearest": NestSpec(
        family="unet-e",
        depth=3,
        widths=[8, 12, 20, 36],
        up="nearest",
        concat="up-last",
        block={"norm": "group", "groups": 4, "activation": "elu", "bias": True},
    ),
    "unetp_newest": NestSpec(
        family="unet+",
        depth=3,
        classes=4,
        concat="up-first-newest",
        block={"norm": "none", "activation": "gelu"},
    ),
    "unetpp_paper": NestSpec.preset("zhou2018", in_channels=1),
    "unetpp_aligned": NestSpec(
        widths=32,
        up="bilinear-aligned",
        concat="up-last",
        title="As in the most used port to PyTorch",
        block={"bias": True},
    ),
    "unetpp_smallest": NestSpec(depth=1),
    "unetpp_named": NestSpec(
        depth=2,
        name="Nuclei",
        title="Kerne & Zellen: {{ 100 % }} #1, 'größer'",
        concat="up-first-newest",
        block={"activation": "silu", "dropout": 0.25},
    ),
    "unetpp_last_head": NestSpec(depth=3, heads=[3]),
    "unete_cut": NestSpec(family="unet-e", depth=5).cut([1, 3]),
    "unetpp_long": NestSpec(depth=12, widths=256, heads=[3, 11, 12]),
    "unet3p_default": NestSpec(family="unet3+", depth=3),
    "unet3p_cut": NestSpec(family="unet3+", depth=3, dims=3).cut([1, 2]),
    "custom_edges": NestSpec(
        family="custom",
        depth=2,
        edges=[
            ("x0_0", "x1_0"),
            ("x1_0", "x2_0"),
            ("x1_0", "x0_1"),
            ("x2_0", "x1_1"),
            ("x1_1", "x0_2"),
            ("x1_0", "x0_2"),
            ("x0_0", "x0_2"),
        ],
    ),
    "unetpp_signals": NestSpec(depth=3, dims=1, in_channels=12, up="linear"),
    "unete_signals": NestSpec(
        family="unet-e",
        depth=2,
        dims=1,
        up="linear-aligned",
        block={"activation": "selu"},
    ),
    "unet_volumes": NestSpec(family="unet", depth=2, dims=3, up="trilinear"),
    "unetpp_volumes": NestSpec(depth=3, dims=3, in_channels=1, up="trilinear-aligned"),
    "unetpp_anisotropic": NestSpec(
        depth=3,
        dims=3,
        in_channels=1,
        strides=[[1, 2, 2], [1, 2, 2], 2],
        kernel_sizes=[[1, 3, 3], [1, 3, 3], 3, 3],
        block={"norm": "instance", "activation": "leaky_relu"},
    ),
    "unetpp_unpadded": NestSpec(depth=2, pad=False),
    "unetpp_shuffled": NestSpec(depth=2, up="pixel-shuffle"),
    "unetpp_smoothed": NestSpec(
        depth=2,
        dims=3,
        up="pixel-shuffle-blur",
        strides=[[1, 2, 2], 2],
        kernel_sizes=[[1, 3, 3], 3, 3],
    ),
    "unetpp_narrowed": NestSpec(depth=2, up="bilinear", up_widths=[16, 32]),
    "unetpp_excited": NestSpec(depth=2, skip="se"),
    "unete_gated": NestSpec(family="unet-e", depth=2, skip="gate"),
    "unetpp_gated_volumes": NestSpec(depth=2, dims=3, skip="gate"),
    "unetpp_exceptions": NestSpec(depth=2, node_widths={"x0_2": 24, "x1_0": 48}),
    "unetpp_preact": NestSpec(depth=2, block={"kind": "double-preact"}),
    "unetpp_residual": NestSpec(
        depth=2,
        block={
            "kind": "residual",
            "norm": "group",
            "standardise": True,
            "drop_path": 0.1,
            "activation": "mish",
        },
    ),
    "unetpp_phone": NestSpec.preset("phone", depth=2),
    "unetpp_inverted": NestSpec(
        depth=2,
        up="nearest",
        block={"kind": "inverted", "activation": "hardswish", "expansion": 6},
    ),
    "unetpp_convnext": NestSpec.preset("convnext", depth=2, block={"drop_path": 0.1}),
    "unetpp_on_vgg11": NestSpec(depth=2, encoder="vgg11", block={"norm": "none"}),
    "unetpp_on_resnet18": NestSpec(depth=3, encoder="resnet18"),
    "unete_on_resnet50": NestSpec(
        family="unet-e",
        depth=3,
        dims=1,
        encoder="resnet50",
        kernel_sizes=[5, 3, 3, 3],
        block={"activation": "gelu", "dropout": 0.1},
    ),
    "unet_on_resnet34_volumes": NestSpec(
        family="unet",
        depth=2,
        dims=3,
        encoder="resnet34",
        strides=[[1, 2, 2], 2],
        block={"norm": "instance", "standardise": True},
    ),
    "unetpp_on_timm_resnet18": NestSpec(depth=4, encoder="timm:resnet18"),
    "unetpp_on_timm_convnext": NestSpec(
        depth=2, in_channels=1, encoder="timm:convnext_atto"
    ),
    "unetpp_on_timm_vgg11": NestSpec(depth=1, encoder="timm:vgg11", pad=False),
    "unet_on_timm_efficientnet": NestSpec(
        family="unet", depth=1, encoder="timm:efficientnet_b0", up="bilinear"
    ),
    "unetpp_on_timm_swin": NestSpec(
        depth=2, encoder="timm:swinv2_tiny_window8_256", heads=[2]
    ),
}


def main() -> None:
    """Write every golden file, and remove those that no spec asks for."""
    for old in FOLDER.glob("*.py"):
        if old.stem not in SPECS and old != Path(__file__):
            old.unlink()
    for name, spec in SPECS.items():
        file = FOLDER / f"{name}.py"
        file.write_text(source(spec), encoding="utf-8", newline="\n")
        print(file.name)


if __name__ == "__main__":
    main()
