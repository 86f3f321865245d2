"""Identifiers from a file on any storage that Airflow knows: CSV, JSON lines or Parquet, as its name says."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import closing
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Final

from airflow_provider_klaviyo.sources.errors import SourceError, SourceUnavailableError
from airflow_provider_klaviyo.tracebacks import hide_variables

if TYPE_CHECKING:
    from airflow_provider_klaviyo.sources.columns import Row

__all__ = ["check_path", "read_file"]

SUFFIXES: Final = (".csv", ".jsonl", ".ndjson", ".parquet")


def check_path(path: Any) -> None:
    """Refuse a file of an unknown kind, unless its name is known only when the task runs.

    :raises SourceError: naming what can be read.
    """
    if not (hasattr(path, "iter_references") or "{{" in str(path)):
        _suffix(path)


@hide_variables
def read_file(path: Any, row: type[Row]) -> Generator[Row]:
    """Yield the entries of a file, as it is read. To be closed, so that the file is.

    Exactly one column, or key of each line's object, is named ``email``, ``phone_number``, ``external_id`` or ``id``
    (Klaviyo's). Those that are named as the other fields of a row are taken along, and others are ignored.

    :param path: as Airflow's `ObjectStoragePath` takes it, such as ``s3://aws_default@bucket/requests.csv``.
    :param row: what each row becomes, as for `Columns`.
    :raises SourceError: when the file is not what its name says, with the number of the line.
    :raises SourceUnavailableError: when there is no such file, perhaps not yet, or its storage gives it up.
    """
    read = _reader(path)
    try:
        with closing(_opened(path)) as file:
            yield from read(file, str(path), row)
    except FileNotFoundError:
        raise SourceUnavailableError(f"there is no file {path}, or not yet") from None
    except OSError as error:
        # Its traceback goes through what was read last.
        raise SourceUnavailableError(f"{path} cannot be read: {type(error).__name__}: {error}") from None


def _opened(path: Any) -> Any:
    from airflow.providers.common.compat.sdk import ObjectStoragePath

    try:
        storage = path if isinstance(path, ObjectStoragePath) else ObjectStoragePath(path)
        return storage.open("rb")
    except (ImportError, ValueError) as error:
        raise SourceError(f"no storage is known for {path}: {error}") from error


def _reader(path: Any) -> Callable[[Any, str, type[Row]], Generator[Row]]:
    from airflow_provider_klaviyo.sources.lines import csv_entries, json_entries
    from airflow_provider_klaviyo.sources.parquet import parquet_entries

    match _suffix(path):
        case ".csv":
            return csv_entries
        case ".parquet":
            return parquet_entries
        case _:
            return json_entries


def _suffix(path: Any) -> str:
    suffix = PurePosixPath(str(path)).suffix.lower()
    if suffix not in SUFFIXES:
        raise SourceError(f"what kind of file is {path}? Its name must end in one of {', '.join(SUFFIXES)}")
    return suffix
