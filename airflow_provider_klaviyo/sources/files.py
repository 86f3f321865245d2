"""Identifiers from files on any storage that Airflow knows: CSV, JSON lines or Parquet, as their names say."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import closing
from functools import partial
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Final

from airflow_provider_klaviyo.sources.errors import SourceError, SourceUnavailableError
from airflow_provider_klaviyo.tracebacks import hide_variables

if TYPE_CHECKING:
    from airflow_provider_klaviyo.sources.columns import Row

__all__ = ["check_path", "read_file"]

KINDS: Final = {".csv": "CSV", ".jsonl": "JSON lines", ".ndjson": "JSON lines", ".parquet": "Parquet", ".tsv": "TSV"}
PATTERN: Final = "*?["


def check_path(path: Any, delimiter: str | None = None) -> None:
    """Refuse a file of an unknown kind, unless its name is known only when the task runs.

    :raises SourceError: naming what can be read.
    """
    if delimiter is not None and (len(delimiter) != 1 or delimiter in '\r\n"'):
        raise SourceError("delimiter must be one character, such as ';' or '\\t'")
    if hasattr(path, "iter_references") or "{{" in str(path):
        return
    kind = _kind(path)
    if delimiter is not None and kind not in {None, "CSV", "TSV"}:
        raise SourceError(f"delimiter belongs to a CSV file, and {path} is {kind}")


@hide_variables
def read_file(
    path: Any,
    row: type[Row],
    columns: Mapping[str, str] | None = None,
    delimiter: str | None = None,
) -> Generator[Row]:
    """Yield the entries of a file, as it is read; or those of a folder's files, one after the other in their order.

    Exactly one column, or key of each line's object, is named ``email``, ``phone_number``, ``external_id`` or ``id``
    (Klaviyo's). Those that are named as the other fields of a row are taken along, and others are ignored.

    :param path: as Airflow's `ObjectStoragePath` takes it, such as ``s3://aws_default@bucket/requests.csv``; of a file,
        a folder, or several of them as a pattern, such as ``…/part-*.csv``.
    :param row: what each row becomes, as for `Columns`.
    :param columns: what other names stand for, as for `Columns`.
    :param delimiter: of CSV; by default found out from the header.
    :raises SourceError: when a file is not what its name says, with the number of the line; and when its storage or
        its connection is not known here.
    :raises SourceUnavailableError: when there is no such file, perhaps not yet, or its storage gives it up.
    """
    from airflow_provider_klaviyo.sources.storage import files_of, opened

    check_path(path, delimiter)
    files = files_of(path, is_pattern=_is_pattern(path), may_be_folder=_kind(path) is None)
    read = _reader(_one_kind(files, path), delimiter)
    for file, name in files:
        try:
            with closing(opened(file, name)) as content:
                yield from read(content, name, row, columns or {})
        except (SourceError, SourceUnavailableError):
            raise
        except FileNotFoundError:
            raise SourceUnavailableError(f"there is no file {name}, or not yet") from None
        except OSError as error:
            # Its traceback goes through what was read last.
            raise SourceUnavailableError(f"{name} cannot be read: {type(error).__name__}: {error}") from None
        except Exception as error:  # noqa: BLE001 - the errors of a cloud's library, of which any may show a row
            raise SourceUnavailableError(f"{name} cannot be read: {type(error).__name__}") from None


def _reader(kind: str, delimiter: str | None) -> Callable[..., Generator[Any]]:
    from airflow_provider_klaviyo.sources.columns import same_columns
    from airflow_provider_klaviyo.sources.lines import csv_entries, json_entries
    from airflow_provider_klaviyo.sources.parquet import parquet_entries

    match kind:
        case "CSV" | "TSV":
            tab = "\t" if kind == "TSV" else None
            return partial(csv_entries, check=same_columns(), delimiter=delimiter or tab)
        case "Parquet":
            return partial(parquet_entries, check=same_columns())
        case _:
            return json_entries


def _one_kind(files: list[tuple[Any, str]], path: Any) -> str:
    """Return what all files are.

    :raises SourceError: when one is of an unknown or another kind: it may be a part of the list, too.
    """
    kinds: dict[str, str] = {}
    for _, name in files:
        kind = _kind(name)
        if kind is None:
            raise SourceError(_unknown(name))
        kinds.setdefault(kind, name)
    if len(kinds) > 1:
        raise SourceError(f"{path} has files of several kinds, such as {' and '.join(kinds.values())}: name one kind")
    return next(iter(kinds))


def _kind(path: Any) -> str | None:
    """Return what a file is by its name; None for what may be a folder, and for a pattern that leaves it open.

    :raises SourceError: for a name that ends in something else.
    """
    name = str(path)
    is_packed = name.lower().endswith(".gz")
    suffix = "" if name.endswith("/") else PurePosixPath(name[:-3] if is_packed else name).suffix.lower()
    kind = KINDS.get(suffix)
    if _is_pattern(name) or not (suffix or is_packed) or (kind and not (is_packed and kind == "Parquet")):
        return kind
    raise SourceError(_unknown(path))


def _unknown(path: Any) -> str:
    return (
        f"what kind of file is {path}? Its name must end in one of {', '.join(KINDS)} (all but .parquet also with "
        ".gz); that of a folder in /"
    )


def _is_pattern(path: Any) -> bool:
    return any(character in str(path) for character in PATTERN)
