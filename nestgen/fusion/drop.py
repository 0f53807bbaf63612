"""x = x: what changes nothing is not computed."""

from __future__ import annotations

from nestgen.fusion.operations import Same
from nestgen.fusion.work import Work
from nestgen.fusion.writes import rewritten


def drop(work: Work) -> None:
    """Take out identities, dropout that is off, padding by nothing.

    Not a copy of which either one is written over.
    """
    for node, operation in work.operations():
        if isinstance(operation, Same) and not (
            operation.copied and rewritten(work, node)
        ):
            work.replace(node, operation.x)
