"""The file of an SQLite ledger is its owner's alone: who is to be deleted stands in it."""

from __future__ import annotations

import logging
import os
import stat
from pathlib import Path
from typing import Final

__all__ = ["make_private"]

PRIVATE: Final = 0o600

log = logging.getLogger(__name__)


def make_private(path: Path) -> None:
    """Make an empty file that nobody else may read, where there is none; warn of one that others may read.

    SQLite takes an empty file for a new database, and gives its journal and its write-ahead log the same mode.
    Source: https://sqlite.org/src/file/src/os_unix.c, findCreateFileMode
    """
    if os.name != "posix":
        return
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE))
    except FileExistsError:
        _check(path)
    except OSError as error:
        # SQLite opens the same file next, and its error ends the task.
        log.debug("%s cannot be made: %s", path, error.strerror)


def _check(path: Path) -> None:
    mode = path.stat().st_mode
    if stat.S_ISREG(mode) and mode & (stat.S_IRWXG | stat.S_IRWXO):
        log.warning(
            "Others on this machine may read the ledger's file, in which people's addresses are (mode %03o): "
            "chmod 600 %s",
            stat.S_IMODE(mode),
            path,
        )
