"""Entries from Parquet files, of which only the columns that are wanted are read, and no row group as a whole."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any, Final

from airflow_provider_klaviyo.sources.columns import Columns, Row
from airflow_provider_klaviyo.sources.errors import SourceError

__all__ = ["parquet_entries"]

BATCH_SIZE: Final = 5_000
BUFFER_BYTES: Final = 2**20


def parquet_entries(
    file: Any,
    name: str,
    row: type[Row],
    renamed: Mapping[str, str] | None = None,
    *,
    check: Callable[[Sequence[object], str], None] | None = None,
) -> Generator[Row]:
    """Yield the entries of a Parquet file.

    :param file: open for reading bytes, at any place.
    :param name: of the file, for the errors.
    :param row: what each row becomes, as for `Columns`.
    :param renamed: what other names of columns stand for, as for `Columns`.
    :param check: is given the names of the columns, and of the file.
    :raises SourceError: when it is no Parquet file, or pyarrow is not installed.
    """
    try:
        from pyarrow import ArrowException
        from pyarrow.parquet import ParquetFile
    except ImportError:
        raise SourceError(
            f"reading {name} takes pyarrow, where the worker runs: pip install 'airflow-provider-klaviyo[parquet]'"
        ) from None
    rows = 0
    try:
        parquet = ParquetFile(file, buffer_size=BUFFER_BYTES)
        header = parquet.schema_arrow.names
        if check is not None:
            check(header, name)
        columns = Columns.of(header, name, row, renamed, shows_header=True)
        wanted = [column for column in columns.names if column is not None]
        for batch in parquet.iter_batches(BATCH_SIZE, columns=wanted):
            yield from columns.of_fields(None if one is None else _values(batch.column(one)) for one in columns.names)
            rows += batch.num_rows
    except SourceError:
        raise
    except (ArrowException, OverflowError, ValueError) as error:
        # Without its text, which can quote a value.
        raise SourceError(f"{name} cannot be read as Parquet after {rows:,} rows: {type(error).__name__}") from None


def _values(column: Any) -> list[object]:
    """Return the values of a column, times to the microsecond: Python has none finer."""
    from pyarrow import timestamp, types

    if types.is_timestamp(column.type) and column.type.unit == "ns":
        column = column.cast(timestamp("us", column.type.tz), safe=False)
    values: list[object] = column.to_pylist()
    return values
