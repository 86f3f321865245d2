"""Parquet: only what is wanted is read, whatever type it has, and what cannot be read is not shown."""

from __future__ import annotations

import builtins
import uuid
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow.parquet import ParquetFile, write_table

from airflow_provider_klaviyo.deletion.entries import Entry
from airflow_provider_klaviyo.deletion.identifiers import Kind
from airflow_provider_klaviyo.sources.errors import SourceError
from airflow_provider_klaviyo.sources.source import Source

A, B = "a@example.com", "b@example.com"
NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)


def entries(tmp_path: Path, columns: Any, **options: Any) -> list[Entry]:
    path = tmp_path / "list.parquet"
    write_table(columns if isinstance(columns, pa.Table) else pa.table(columns), path, **options)
    return list(Source(path=f"file://{path}").entries())


def test_a_file_is_read_row_group_by_row_group(tmp_path: Path) -> None:
    people = [f"{number}@example.com" for number in range(20_001)]
    found = entries(tmp_path, {"x": people, "Email": people, "REQUEST_ID": list(range(20_001))}, row_group_size=3_000)
    assert found == [Entry(Kind.EMAIL, email, number) for number, email in enumerate(people)]


def test_an_empty_file_lists_nobody(tmp_path: Path) -> None:
    assert entries(tmp_path, pa.table({"email": pa.array([], pa.string())})) == []


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (pa.array(["x", None]), ["x", None]),
        (pa.array(["x", "y", "x"]).dictionary_encode(), ["x", "y", "x"]),
        (pa.array(["x"], pa.large_string()), ["x"]),
        (pa.array([b"x"]), [b"x"]),
        (pa.array([7, None], pa.int64()), [7, None]),
        (pa.array([Decimal("7.00")]), [Decimal("7.00")]),
        (pa.array([NOW]), [NOW]),
        (pa.array([date(2026, 1, 2)]), [date(2026, 1, 2)]),
        (pa.array([{"a": 1}]), [{"a": 1}]),
    ],
)
def test_values_are_the_files_own(tmp_path: Path, values: Any, expected: list[object]) -> None:
    ids = [f"id{number}" for number in range(len(values))]
    found = entries(tmp_path, {"external_id": ids, "request_id": values})
    assert found == [Entry(Kind.EXTERNAL_ID, name, value) for name, value in zip(ids, expected, strict=True)]


def test_a_time_finer_than_pythons_is_a_time(tmp_path: Path) -> None:
    fine = pa.array([int(NOW.timestamp()) * 10**9 + 678_901_234, None], pa.timestamp("ns", "UTC"))
    found = entries(tmp_path, {"email": [A, B], "received_at": fine})
    assert [entry.received_at for entry in found] == [NOW, None]
    assert type(found[0].received_at) is datetime


def test_an_external_id_may_be_a_uuid(tmp_path: Path) -> None:
    (entry,) = entries(tmp_path, {"external_id": pa.array([uuid.UUID(int=7).bytes], pa.uuid())})
    assert entry.identifier().value == str(uuid.UUID(int=7))


def test_only_the_wanted_columns_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    original = ParquetFile.iter_batches

    def noted(file: Any, size: int, columns: list[str]) -> Any:
        asked.append(columns)
        return original(file, size, columns=columns)

    monkeypatch.setattr(ParquetFile, "iter_batches", noted)
    entries(tmp_path, {"name": ["Ada"], "email": [A], "regulation": ["GDPR"], "address": ["London"]})
    assert asked == [["email", "regulation"]]


@pytest.mark.parametrize(
    ("names", "complaint"),
    [
        (["name"], "must have exactly one identifier"),
        (["email", "id"], r"has 2 \(email, id\)"),
        (["email", "email"], r"has 2 \(email, email\)"),
        (["email", "regulation", "Regulation"], "2 columns or keys named regulation"),
    ],
)
def test_a_file_that_can_be_read_in_two_ways_is_refused(tmp_path: Path, names: list[str], complaint: str) -> None:
    with pytest.raises(SourceError, match=rf"list\.parquet .*{complaint}"):
        entries(tmp_path, pa.Table.from_arrays([pa.array(["canary"])] * len(names), names))


@pytest.mark.parametrize("content", [b"", b"email\ncanary@example.com\n", b"PAR1canary@example.comPAR1"])
def test_what_is_no_parquet_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "list.parquet"
    path.write_bytes(content)
    with pytest.raises(SourceError, match=r"list\.parquet cannot be read as Parquet after 0 rows: Arrow") as caught:
        list(Source(path=f"file://{path}").entries())
    assert "canary" not in str(caught.value)


def test_text_that_is_not_utf8_is_refused_and_not_shown(tmp_path: Path) -> None:
    good, broken = pa.array(["x"] * 6_000), pa.array([b"canary\xe9"])
    texts = pa.StringArray.from_buffers(1, *broken.buffers()[1:])
    with pytest.raises(SourceError, match="cannot be read as Parquet after 5,000 rows: UnicodeDecodeError") as caught:
        entries(tmp_path, pa.table({"email": pa.chunked_array([good, texts])}))
    assert "canary" not in str(caught.value)


def test_without_pyarrow_it_is_said_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "list.parquet"
    write_table(pa.table({"email": [A]}), path)
    original = builtins.__import__

    def without(name: str, *arguments: Any, **options: Any) -> Any:
        if name.startswith("pyarrow"):
            raise ModuleNotFoundError(name)
        return original(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(SourceError, match=r"pip install 'airflow-provider-klaviyo\[parquet\]'"):
        list(Source(path=f"file://{path}").entries())
