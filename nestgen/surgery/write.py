"""A cut as files: proven first, written after."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch import nn

from nestgen.checkpoint import save
from nestgen.codegen.load import spec_of
from nestgen.codegen.source import source
from nestgen.files import write_whole
from nestgen.surgery.cut import prune
from nestgen.surgery.proof import Proof, prove


def write_cut(
    model: nn.Module, levels: Sequence[int], checkpoint: Path, text: Path
) -> Proof:
    """Cut `model` at `levels`, prove the cut, then write its checkpoint and source.

    Raises `CutError` where the cut is not proven; nothing is written then.

    >>> import tempfile
    >>> from nestgen.arch.spec import NestSpec
    >>> from nestgen.codegen.load import build
    >>> folder = Path(tempfile.mkdtemp())
    >>> whole = build(NestSpec(depth=2, widths=2))
    >>> proof = write_cut(whole, [1], folder / "cut.pt", folder / "cut.py")
    >>> sorted(path.name for path in folder.iterdir())
    ['cut.pt', 'cut.py']
    """
    small = prune(model, levels)
    proof = prove(model, small, levels)
    save(small, checkpoint)
    write_whole(text, source(spec_of(small)))
    return proof
