"""From DOT text to a picture, by one of two engines that draw what they are told.

graphviz-pure is a program that comes with nestgen and draws SVG and PNG. Graphviz's
own `dot` is used where that is missing, and for PDF.
"""

from __future__ import annotations

import shutil
import subprocess
from importlib import metadata

from nestgen.errors import DrawingError

PICTURES = ("svg", "png", "pdf")
_PURE = "graphviz-pure"
_PNG_DPI = 200
_SECONDS = 60


def render(text: str, kind: str) -> bytes:
    """Draw DOT `text`, with all its positions, as "svg", "png" (200 dpi) or "pdf".

    Raises `DrawingError` where there is no engine for `kind`, or it fails.

    >>> render('digraph { a [pos="0,0"] }', "svg")[:5]
    b'<?xml'
    """
    dpi = [f"-Gdpi={_PNG_DPI}"] if kind == "png" else []
    command = [engine(kind), "-q", "-Kneato", "-n2", *dpi, f"-T{kind}"]
    try:
        done = subprocess.run(
            command, input=text.encode(), capture_output=True, timeout=_SECONDS
        )
    except subprocess.TimeoutExpired:
        raise DrawingError(f"{command[0]}: not done after {_SECONDS} s") from None
    except OSError as error:
        raise DrawingError(f"{command[0]}: cannot be run ({error.strerror})") from error
    if done.returncode or not done.stdout:
        said = " ".join(done.stderr.decode(errors="replace").split()) or "no reason"
        raise DrawingError(f"{command[0]}: failed with {done.returncode}: {said[:200]}")
    return done.stdout


def engine(kind: str) -> str:
    """The program that draws `kind`; `DrawingError` where there is none."""
    program = None if kind == "pdf" else pure()
    program = program or shutil.which("dot")
    if program is None and kind == "pdf":
        raise DrawingError("pdf: needs Graphviz's dot on PATH; svg and png do not")
    if program is None:
        raise DrawingError(f"{kind}: needs {_PURE} (pip), or Graphviz's dot on PATH")
    return program


def pure() -> str | None:
    """Where graphviz-pure is installed, or None. It is not on PATH by itself."""
    try:
        files = metadata.distribution(_PURE).files or []
    except metadata.PackageNotFoundError:
        return None
    there = (file.locate() for file in files if file.stem == _PURE)
    return next((str(path) for path in there if shutil.which(str(path))), None)
