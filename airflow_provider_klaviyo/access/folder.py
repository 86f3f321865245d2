"""A folder on any storage that fsspec knows. Under a document's name there is the whole of it, or nothing.

What is being written has another name, ``….part``, and is moved when it is whole. That name is different each time, so
that two that write the same document never move each other's half.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Set
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar
from uuid import uuid4

from airflow_provider_klaviyo.access.errors import OutputUnavailableError
from airflow_provider_klaviyo.tracebacks import hide_variables

__all__ = ["DocumentFolder"]

PRIVATE_FILE: Final = 0o600
PRIVATE_FOLDER: Final = 0o700

T = TypeVar("T")


@hide_variables
@dataclass(frozen=True, slots=True)
class DocumentFolder:
    """Where documents lie. On this machine they are readable by their owner only; elsewhere, as the storage says.

    :param file_system: of fsspec.
    :param path: of the folder in it.
    :param url: the folder as the task names it.
    """

    file_system: Any = field(repr=False)
    path: str
    url: str

    def names(self) -> frozenset[str]:
        """Return the names of all files in the folder, looked up in one go; none where there is no folder yet.

        :raises OutputUnavailableError: when it cannot be read.
        """
        return self._do("read", self._names)

    def head(self, name: str, size: int) -> bytes:
        """Return how a document begins.

        :raises OutputUnavailableError: when it cannot be read.
        """
        return self._do("read", lambda: bytes(self.file_system.cat_file(self._at(name), start=0, end=size)))

    def write(self, name: str, content: bytes) -> None:
        """Write a document, in place of one of the same name.

        :raises OutputUnavailableError: when it cannot be written; then what was there before is there still.
        """
        self._do("written", lambda: self._write(self._at(name), content))

    def remove_parts(self, present: Iterable[str], of: Set[str]) -> None:
        """Remove what killed tries have left half written of these documents.

        :param present: the names of all files.
        :raises OutputUnavailableError: when they cannot be removed.
        """
        for name in present:
            if name.endswith(".part") and name.rsplit(".", 2)[0] in of:
                self._do("written", partial(self._remove, self._at(name)))

    def url_of(self, name: str) -> str:
        """Return where a document lies, as `ObjectStoragePath` takes it."""
        return f"{self.url.rstrip('/')}/{name}"

    def _at(self, name: str) -> str:
        return f"{self.path.rstrip('/')}/{name}"

    def _names(self) -> frozenset[str]:
        self.file_system.invalidate_cache(self.path)
        try:
            entries = self.file_system.ls(self.path, detail=True)
        except FileNotFoundError:
            return frozenset()
        return frozenset(entry["name"].rsplit("/", 1)[-1] for entry in entries if entry["type"] == "file")

    def _write(self, path: str, content: bytes) -> None:
        is_here = getattr(self.file_system, "local_file", False)
        part = f"{path}.{uuid4().hex}.part"
        try:
            if is_here:
                _write_private(part, content)
                os.replace(part, path)
            else:
                self.file_system.pipe_file(part, content)
                self.file_system.mv(part, path)
        except BaseException:
            with contextlib.suppress(Exception):
                self.file_system.rm_file(part)
            raise

    def _remove(self, path: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            self.file_system.rm_file(path)

    def _do(self, done: str, action: Callable[[], T]) -> T:
        """Name the folder in an error, and say nothing else that a storage may say: it has had the document."""
        try:
            return action()
        except Exception as error:  # noqa: BLE001 - each storage has classes of its own
            words = error.strerror if isinstance(error, OSError) and isinstance(error.errno, int) else None
            reason = f"{type(error).__name__}: {words}" if words else type(error).__name__
        raise OutputUnavailableError(
            f"{self.url} cannot be {done} ({reason}). See that it is there, that this worker may use it, and that "
            "there is space left; then try again"
        )


def _write_private(path: str, content: bytes) -> None:
    """Write a file that is its owner's from the first byte on, and on the disk when this returns."""
    _make_private(Path(path).parent)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_FILE)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _make_private(folder: Path) -> None:
    if not folder.is_dir():
        _make_private(folder.parent)
        folder.mkdir(PRIVATE_FOLDER, exist_ok=True)
