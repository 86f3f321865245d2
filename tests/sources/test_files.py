"""Files on Airflow's storage: found by their names, read as they are wanted, and closed."""

from __future__ import annotations

import gzip
import tracemalloc
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from traceback import TracebackException
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import ObjectStoragePath

from airflow_provider_klaviyo.deletion.entries import Entry
from airflow_provider_klaviyo.deletion.identifiers import Kind
from airflow_provider_klaviyo.sources import lines
from airflow_provider_klaviyo.sources.errors import SourceError, SourceUnavailableError
from airflow_provider_klaviyo.sources.files import read_file

A, B = "a@example.com", "b@example.com"


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Note the files that are opened."""
    opened: list[Any] = []
    original: Any = ObjectStoragePath.open

    def noted(path: ObjectStoragePath, *arguments: Any, **options: Any) -> Any:
        opened.append(original(path, *arguments, **options))
        return opened[-1]

    monkeypatch.setattr(ObjectStoragePath, "open", noted)
    return opened


def url(path: Path) -> str:
    return f"file://{path}"


@pytest.mark.parametrize("name", ["list.csv", "LIST.CSV", "list.2026-11-22.csv"])
def test_a_file_is_what_its_name_says(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text(f"email\n{A}\n")
    for given in (url(path), str(path), path, ObjectStoragePath(url(path))):
        assert list(read_file(given, Entry)) == [Entry(Kind.EMAIL, A)]


@pytest.mark.parametrize("name", ["list.txt", "list.csv.zip", "list.gz", "list.parquet.gz", "list.csv/part.0"])
def test_a_file_of_another_kind_is_refused_before_it_is_looked_for(name: str, opened: list[Any]) -> None:
    with pytest.raises(SourceError, match=rf"{name}\? .* end in one of \.csv, \.jsonl, \.ndjson, \.parquet"):
        list(read_file(f"s3://nowhere/{name}", Entry))
    assert opened == []


@pytest.mark.parametrize("name", ["gone.csv", "gone.jsonl", "gone.parquet", "no/folder.csv"])
def test_a_file_that_is_not_there_may_come(tmp_path: Path, name: str) -> None:
    with pytest.raises(SourceUnavailableError, match=rf"there is no file file://.*/{name}, or not yet"):
        list(read_file(url(tmp_path / name), Entry))


def test_a_storage_that_is_not_known_is_refused() -> None:
    with pytest.raises(SourceError, match=r"no storage is known for nowhere://bucket/list\.csv: "):
        list(read_file("nowhere://bucket/list.csv", Entry))


def test_nothing_is_opened_before_the_first_entry_is_wanted(tmp_path: Path, opened: list[Any]) -> None:
    read_file(url(tmp_path / "list.csv"), Entry)
    assert opened == []


@pytest.mark.parametrize("name", ["list.csv", "list.jsonl", "list.parquet"])
@pytest.mark.parametrize("how_far", ["half way", "to its end", "into an error"])
def test_a_file_is_closed(tmp_path: Path, opened: list[Any], name: str, how_far: str) -> None:
    from pyarrow import table
    from pyarrow.parquet import write_table

    path = tmp_path / name
    people = [f"{number}@example.com" for number in range(20_000)]
    match path.suffix:
        case ".csv":
            path.write_text("\n".join(["email", *people]))
        case ".jsonl":
            path.write_text("\n".join(f'{{"email": "{one}"}}' for one in people))
        case _:
            write_table(table({"email": people}), path)
    if how_far == "into an error":
        path.write_bytes(path.read_bytes()[:-20] + b"\n,,,,")
    entries = read_file(url(path), Entry)
    match how_far:
        case "half way":
            assert next(entries) == Entry(Kind.EMAIL, "0@example.com")
            assert [file.closed for file in opened] == [False]
            entries.close()
        case "to its end":
            assert sum(1 for _ in entries) == 20_000
        case _:
            with pytest.raises(SourceError):
                deque(entries, maxlen=0)
    assert [file.closed for file in opened] == [True]


class Breaking:
    """A file whose storage gives up after some bytes."""

    def __init__(self, content: bytes) -> None:
        self.content: Iterator[bytes] = iter([content])

    def read(self, size: int) -> bytes:
        for content in self.content:
            return content[:size]
        raise ConnectionResetError("reset by peer")

    def close(self) -> None:
        pass


def test_a_storage_that_gives_up_half_way_may_be_tried_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = Breaking(f"email\n{A}\n{B}\n".encode())
    monkeypatch.setattr(ObjectStoragePath, "open", lambda *_: file)
    (tmp_path / "list.csv").touch()
    with pytest.raises(SourceUnavailableError, match=r"csv cannot be read: ConnectionResetError: reset by") as caught:
        deque(read_file(url(tmp_path / "list.csv"), Entry), maxlen=0)
    shown = "".join(TracebackException.from_exception(caught.value, capture_locals=True).format())
    assert A not in shown
    assert B not in shown


@pytest.mark.parametrize("name", ["list.csv", "list.csv.gz", "list.jsonl", "list.parquet"])
def test_a_long_file_takes_no_more_memory_than_a_short_one(tmp_path: Path, name: str) -> None:
    import pyarrow as pa
    from pyarrow.parquet import write_table

    path = tmp_path / name
    people = [f"person.{number}@example.com" for number in range(300_000)]
    match path.suffix:
        case ".csv":
            path.write_text("\n".join(["email", *people]))
        case ".jsonl":
            path.write_text("\n".join(f'{{"email": "{one}"}}' for one in people))
        case ".gz":
            path.write_bytes(gzip.compress("\n".join(["email", *people]).encode("utf-16")))
        case _:
            write_table(pa.table({"email": people, "other": people}), path, use_dictionary=False)
    entries = read_file(url(path), Entry)
    next(entries)
    before = pa.total_allocated_bytes()
    tracemalloc.start()
    try:
        deque(entries, maxlen=0)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 6_000_000
    assert pa.total_allocated_bytes() <= before


def test_lines_are_read_through_few_calls(tmp_path: Path) -> None:
    calls = 0

    class Counting(Breaking):
        def read(self, size: int) -> bytes:
            nonlocal calls
            calls += 1
            for content in self.content:
                return content[:size]
            return b""

    content = b"email\n" + b"someone@example.com\n" * 10_000
    assert sum(1 for _ in lines.csv_entries(Counting(content), "list.csv", Entry)) == 10_000
    assert calls <= 3
