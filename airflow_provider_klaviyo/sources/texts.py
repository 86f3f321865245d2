"""The lines of a file of text, in UTF-8, UTF-16 or UTF-32, packed by gzip or not, as its first bytes say."""

from __future__ import annotations

import io
import zlib
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE, BOM_UTF32_BE, BOM_UTF32_LE
from collections.abc import Iterator
from gzip import BadGzipFile, GzipFile
from typing import Any, Final, cast

from airflow_provider_klaviyo.sources.errors import SourceError, SourceUnavailableError

__all__ = ["text_lines"]

CHUNK_BYTES: Final = 2**20
LONGEST_LINE: Final = 1_000_000
GZIP: Final = b"\x1f\x8b"
# UTF-32 first: the mark of UTF-16 is how one of its marks begins.
MARKS: Final = {
    BOM_UTF8: "utf-8-sig",
    BOM_UTF32_LE: "utf-32",
    BOM_UTF32_BE: "utf-32",
    BOM_UTF16_LE: "utf-16",
    BOM_UTF16_BE: "utf-16",
}


def text_lines(file: Any, name: str, newline: str) -> Iterator[str]:
    """Yield the lines of a file, none longer than a million characters, with or without a byte order mark.

    :param file: open for reading bytes.
    :param name: of the file, for the errors.
    :param newline: as `io.TextIOWrapper` takes it.
    :raises SourceError: for what is not text, with the number of the line.
    :raises SourceUnavailableError: for a packed file that is cut off.
    """
    number = 0
    try:
        text, encoding = _opened(file, newline)
        while line := text.readline(LONGEST_LINE):
            number += 1
            if len(line) == LONGEST_LINE and not line.endswith(("\r", "\n")):
                raise SourceError(
                    f"line {number} of {name} is longer than {LONGEST_LINE:,} characters, which no person is"
                )
            if not line.isascii() and not _is_unicode(line):
                raise SourceError(_not_in(encoding, f"line {number} of {name}"))
            yield line
    except UnicodeDecodeError:
        raise SourceError(_not_in(encoding, f"something after line {number} of {name}")) from None
    except EOFError:
        raise SourceUnavailableError(f"{name} is cut off after line {number}: is it still being written?") from None
    except (BadGzipFile, zlib.error) as error:
        raise SourceError(f"{name} cannot be unpacked after line {number}: {type(error).__name__}") from None


def _opened(file: Any, newline: str) -> tuple[io.TextIOWrapper, str]:
    content = _Buffer(_Chunks(file), CHUNK_BYTES)
    if content.peek(2)[:2] == GZIP:
        content = _Buffer(cast("io.RawIOBase", GzipFile(fileobj=content)), CHUNK_BYTES)
    encoding = _encoding(content.peek(4)[:4])
    # What is not UTF-8 comes as lone surrogates, which UTF-8 never gives, so that its line is known.
    errors = "surrogateescape" if encoding == "utf-8-sig" else "surrogatepass"
    return io.TextIOWrapper(content, encoding, errors, newline), encoding


def _encoding(head: bytes) -> str:
    for mark, encoding in MARKS.items():
        if head.startswith(mark):
            return encoding
    match [byte == 0 for byte in head]:
        # A header, or an object, begins in ASCII.
        case [False, True, False, True]:
            return "utf-16-le"
        case [True, False, True, False]:
            return "utf-16-be"
        case _:
            return "utf-8-sig"


def _not_in(encoding: str, where: str) -> str:
    if encoding == "utf-8-sig":
        return f"{where} is not in UTF-8: save the file in it"
    return f"{where} is not in {encoding.upper()[:6]}, in which the file begins"


def _is_unicode(line: str) -> bool:
    try:
        line.encode()
    except UnicodeEncodeError:
        return False
    return True


class _Chunks(io.RawIOBase):
    """Reads another file a megabyte at a time, however little is asked for: Airflow's notes its lineage each time."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        chunk = self._file.read(len(buffer))
        buffer[: len(chunk)] = chunk
        return len(chunk)


class _Buffer(io.BufferedReader):
    """Gives a megabyte at a time, however little is asked for: a text asks for 8 KiB, and decodes each on its own."""

    def read1(self, size: int = -1, /) -> bytes:
        return super().read1(CHUNK_BYTES)
