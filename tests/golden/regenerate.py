"""The golden files: what `source` says for these specs, kept to be read and compared.

After a change of a template, `python tests/golden/regenerate.py` writes them anew;
the difference is then part of the change.
"""

from __future__ import annotations

from pathlib import Path

from nestgen.arch.spec import NestSpec
from nestgen.codegen.source import source

FOLDER = Path(__file__).parent

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
