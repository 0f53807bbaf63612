"""x = x: what changes nothing is not computed."""

from __future__ import annotations

from nestgen.fusion.operations import Same
from nestgen.fusion.work import Work


def drop(work: Work) -> None:
    """Take out identities, dropout that is off, padding by nothing."""
    for node, operation in work.operations():
        if isinstance(operation, Same):
            work.replace(node, operation.x)
