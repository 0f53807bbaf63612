"""Describe a nested U-Net, look at its levels, cut it: no data, no training.

    python examples/quickstart.py -o quickstart

writes quickstart/network.py (its source), network.svg (its triangle, the cut in grey)
and network-L2.pt.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch

import nestgen
from nestgen.arch.cost import level_costs
from nestgen.files import write_whole


def main(argv: Sequence[str] | None = None) -> None:
    """Build, draw, cut, compare."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, default=Path("quickstart"))
    folder: Path = parser.parse_args(argv).output

    spec = nestgen.NestSpec(family="unet++", depth=4, in_channels=1)
    for level, cost in level_costs(nestgen.NestGraph(spec), size=(96, 96)).items():
        print(f"L{level}: {cost.parameters:,} parameters, {cost.macs:,} MACs at 96x96")

    write_whole(folder / "network.py", nestgen.source(spec))
    nestgen.draw(spec, folder / "network.svg", level=2)

    model = nestgen.build(spec).eval()
    small = nestgen.prune(model, level=2)
    nestgen.save(small, folder / "network-L2.pt")

    x = torch.randn(1, 1, 96, 96)
    same = torch.equal(small(x), model(x)["L2"])
    print(f"the cut gives the bits of the full network's L2: {same}")


if __name__ == "__main__":
    main()
