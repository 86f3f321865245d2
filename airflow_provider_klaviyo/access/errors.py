"""What can go wrong with documents. No message says what a document holds, or whose it is.

::

    ValueError   ExportRefusedError      the list cannot be exported as it is; nothing was written
    ValueError   OutputPathError         the folder cannot be one; trying again does not help
    RuntimeError ExportMissingError      somebody who is to be deleted has no document yet; nobody was deleted
    RuntimeError OutputUnavailableError  the folder could not be read or written just now
    RuntimeError ProfileGoneError        profiles go away as often as they are looked up; trying again may help
"""

from __future__ import annotations

__all__ = [
    "ExportMissingError",
    "ExportRefusedError",
    "OutputPathError",
    "OutputUnavailableError",
    "ProfileGoneError",
]


class ExportRefusedError(ValueError):
    """A list matches too many profiles, or names documents alike. Nothing was written; the message says what to do."""


class OutputPathError(ValueError):
    """There can be no folder of this name; the message says what to write instead."""


class ExportMissingError(RuntimeError):
    """Not everyone who is to be deleted has a document. Nothing was registered, and nobody was deleted."""


class OutputUnavailableError(RuntimeError):
    """The folder of the documents could not be read or written. It may be possible later."""


class ProfileGoneError(RuntimeError):
    """Profiles were found, and not there any more when they were read, several times. What is written stays."""
