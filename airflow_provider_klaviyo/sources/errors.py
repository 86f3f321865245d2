"""What can be wrong with a source of identifiers. No message shows what a source holds.

::

    ValueError   SourceError             the source or what it holds is wrong; trying again does not help
    RuntimeError SourceUnavailableError  the source could not be read just now; trying again may help
"""

from __future__ import annotations

__all__ = ["SourceError", "SourceUnavailableError"]


class SourceError(ValueError):
    """A task's source of identifiers cannot be right; the message says what to write instead."""


class SourceUnavailableError(RuntimeError):
    """A source could not be opened, or not be read to its end. It may be possible later."""
