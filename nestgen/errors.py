"""The errors that nestgen raises, one small tree.

Every message is one line that names the thing, its value and what is allowed,
so that the command line can print it as it is.

    NestgenError
    ├── SpecError         a network that cannot be described
    ├── CheckpointError   a file that is not a whole, honest checkpoint
    ├── WeightsError      weights that a network cannot take over
    ├── ModuleError       someone else's module that cannot be made, read or followed
    ├── SettingsError     a run's settings that are not allowed
    ├── DataError         images or masks that cannot be used
    ├── CutError          a level that a network does not have, or a cut not proven
    ├── DrawingError      a picture that cannot be drawn
    ├── OutputError       a file that would be overwritten, or cannot be written
    └── TrainingError     a run that cannot go on
"""

from __future__ import annotations


def in_a_line(error: BaseException) -> str:
    """What someone else's code raises, in one line.

    >>> in_a_line(ValueError("one", "two"))
    "ValueError: ('one', 'two')"
    """
    own = isinstance(error, NestgenError)
    text = str(error) if own else f"{type(error).__name__}: {error}"
    return " ".join(text.split())[:160]


class NestgenError(Exception):
    """What every error of nestgen is. `str(error)` is one line."""


class SpecError(NestgenError):
    """A network that cannot be described: unknown, missing or impossible fields."""


class CheckpointError(NestgenError):
    """A file that is not a whole, honest checkpoint."""


class WeightsError(NestgenError):
    """Weights that a network cannot take over."""


class ModuleError(NestgenError):
    """Someone else's module that cannot be made, read or followed."""


class SettingsError(NestgenError):
    """Settings of a run that are not allowed."""


class DataError(NestgenError):
    """Images or masks that cannot be used."""


class CutError(NestgenError):
    """A level that a network does not have, or a cut that could not be proven."""


class DrawingError(NestgenError):
    """A picture that cannot be drawn."""


class OutputError(NestgenError):
    """A file that would be overwritten or cannot be written."""


class TrainingError(NestgenError):
    """A run that cannot go on."""
