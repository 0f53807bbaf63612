"""What a compiler made of a kernel: registers, spills and kinds of instructions."""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any


def read_cuda(kernel: Any) -> dict[str, Any]:
    """Of NVIDIA's, by the disassembler that comes with Triton."""
    usage = _cuobjdump(kernel.asm["cubin"], "-res-usage")
    found = re.search(r"REG:(\d+)", usage)
    assert found is not None, usage
    code = _cuobjdump(kernel.asm["cubin"], "-sass")
    loads = re.findall(r"\b(?:LDG(?:STS)?\.|UTMALDG)\S*", code)
    return {
        "registers": int(found[1]),
        "spills": len(re.findall(r"\b(?:LDL|STL)\b", code)),
        "matrix": _counted(re.findall(r"\b(?:HG?MMA|UTC\w*MMA)\.\S*", code)),
        "loads": _counted(map(_cuda_bits, loads)),
    }


def _cuda_bits(load: str) -> int:
    """The bits of a load, of its name.

    >>> [_cuda_bits(load) for load in ("LDG.E.U16.CONSTANT", "LDG.E", "LDGSTS.E.128")]
    [16, 32, 128]
    """
    found = re.search(r"\.[US]?(8|16|64|128)\b", load)
    return int(found[1]) if found else 32


def _cuobjdump(binary: bytes, wanted: str) -> str:
    from triton import knobs

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "kernel.cubin")
        file.write_bytes(binary)
        command = [knobs.nvidia.cuobjdump.path, wanted, str(file)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    return done.stdout


def read_hip(kernel: Any) -> dict[str, Any]:
    """Of AMD's, by the assembly that Triton keeps."""
    code: str = kernel.asm["amdgcn"]
    loads = re.findall(r"\b(?:global|buffer)_load_(\w+)", code)
    return {
        "registers": _amd_number("vgpr_count", code),
        "spills": len(re.findall(r"\bscratch_(?:load|store)_", code)),
        "matrix": _counted(re.findall(r"\bv_mfma_\w+", code)),
        "loads": _counted(map(_amd_bits, loads)),
    }


def _amd_number(name: str, code: str) -> int:
    found = re.search(rf"\.{name}:\s+(\d+)", code)
    assert found is not None, name
    return int(found[1])


def _amd_bits(load: str) -> int:
    """The bits of a load, of the end of its name.

    >>> [_amd_bits(load) for load in ("dwordx4", "dword", "ushort", "sbyte")]
    [128, 32, 16, 8]
    """
    words = re.match(r"dwordx?(\d?)", load)
    if words:
        return 32 * int(words[1] or 1)
    return 16 if "short" in load or "16" in load else 8


def _counted(found: Iterable[Any]) -> dict[Any, int]:
    return dict(sorted(Counter(found).items()))
