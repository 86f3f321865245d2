"""Which files a path stands for, on any storage, and what is said of one that is not there or cannot be."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_0_PLUS
from fsspec import AbstractFileSystem
from fsspec.implementations.memory import MemoryFileSystem

from airflow_provider_klaviyo.deletion.entries import Entry
from airflow_provider_klaviyo.sources.errors import SourceError, SourceUnavailableError
from airflow_provider_klaviyo.sources.files import read_file

A, B, C = "a@example.com", "b@example.com", "c@example.com"


class Bucket(MemoryFileSystem):  # type: ignore[misc]
    """A storage in memory, which can be down."""

    error: Exception | None = None
    has_folder_objects = False
    # As most storages look for the files of a pattern.
    find = AbstractFileSystem.find

    def info(self, path: str, **options: Any) -> Any:
        if self.error is not None:
            raise self.error
        return super().info(path, **options)

    def ls(self, path: str, detail: bool = True, **options: Any) -> Any:
        if self.error is not None:
            raise self.error
        found = super().ls(path, detail=detail, **options)
        return [*found, {"name": f"{path}/", "type": "file", "size": 0}] if self.has_folder_objects else found


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., str]]:
    """Put files into a bucket of S3's; return its URL."""
    store = import_module("airflow.sdk.io.store" if AIRFLOW_V_3_0_PLUS else "airflow.io.store")
    monkeypatch.setattr(store, "_STORE_CACHE", {})
    monkeypatch.setenv("AIRFLOW_CONN_AWS", json.dumps({"conn_type": "generic"}))
    storage = Bucket(skip_instance_cache=True)
    store.attach("s3", "aws", fs=storage)
    root = f"bucket-{uuid4().hex}"

    def bucket(error: Exception | None = None, **files: str) -> str:
        storage.error = error
        for name, content in files.items():
            storage.pipe(f"/{root}/{name}", content.encode())
        return f"s3://aws@{root}"

    yield bucket
    storage.error = None
    if storage.exists(f"/{root}"):
        storage.rm(f"/{root}", recursive=True)


@pytest.fixture
def folder(tmp_path: Path) -> Callable[..., str]:
    """Put files into a folder of this machine; return its URL."""

    def folder(**files: str) -> str:
        for name, content in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        return f"file://{tmp_path}"

    return folder


@pytest.fixture(params=["bucket", "folder"])
def storage(request: pytest.FixtureRequest) -> Callable[..., str]:
    """Put files into a storage of each kind; return its URL."""
    made: Callable[..., str] = request.getfixturevalue(request.param)
    return made


def values(path: str) -> list[object]:
    return [entry.value for entry in read_file(path, Entry)]


PARTS = {
    "list/part-2.csv": f"Email\n{C}\n",
    "list/part-0.csv": f"email\n{A}\n",
    "list/part-1.csv": f"email\n{B}\n",
    "list/_SUCCESS": "",
    "list/.part-0.csv.crc": "x",
}


@pytest.mark.parametrize("path", ["list", "list/", "list/part-*.csv", "*/part-?.csv", "list/part-[0-9].csv", "l*t"])
def test_the_parts_of_a_list_are_read_in_the_order_of_their_names(storage: Callable[..., str], path: str) -> None:
    root = storage(**PARTS)
    assert values(f"{root}/{path}") == [A, B, C]


def test_a_pattern_may_leave_parts_out(storage: Callable[..., str]) -> None:
    root = storage(**PARTS)
    assert values(f"{root}/list/part-[12].*") == [B, C]


def test_a_folder_may_be_named_as_a_file(storage: Callable[..., str]) -> None:
    root = storage(**{"list.jsonl/part-0.jsonl": f'{{"email": "{A}"}}', "list.jsonl/_SUCCESS": ""})
    assert values(f"{root}/list.jsonl") == [A]


def test_a_path_of_this_machine_needs_no_url(folder: Callable[..., str]) -> None:
    root = folder(**PARTS).removeprefix("file://")
    assert values(f"{root}/list") == values(f"{root}/list/*.csv") == [A, B, C]


def test_an_empty_object_for_the_folder_itself_is_no_part(
    bucket: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = bucket(**{"list/part-0.csv": f"email\n{A}\n"})
    monkeypatch.setattr(Bucket, "has_folder_objects", True)
    assert values(f"{root}/list/") == [A]


@pytest.mark.parametrize("path", ["list.csv", "list", "list/", "list/part-*.csv", "no/folder/list.jsonl.gz"])
def test_what_is_not_there_may_come(storage: Callable[..., str], path: str) -> None:
    root = storage()
    with pytest.raises(SourceUnavailableError, match=r"there is no file .*, or not yet"):
        values(f"{root}/{path}")


def test_a_folder_without_files_may_get_them(storage: Callable[..., str]) -> None:
    root = storage(**{"list/_SUCCESS": ""})
    with pytest.raises(SourceUnavailableError, match=r"there is no file in .*/list, or not yet"):
        values(f"{root}/list")


def test_a_folder_that_is_still_being_written_is_not_read(storage: Callable[..., str]) -> None:
    root = storage(**PARTS, **{"list/_temporary/0/part-3.csv": "email\n"})
    with pytest.raises(SourceUnavailableError, match="list is still being written: it has a folder _temporary"):
        values(f"{root}/list")


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"list/part-3.txt": C}, r"what kind of file is .*/part-3\.txt\? Its name must end in"),
        ({"list/part-3": C}, r"what kind of file is .*/part-3\?"),
        ({"list/part-3.jsonl": C}, r"/list has files of several kinds, such as .*/part-0\.csv and .*/part-3\.jsonl"),
        ({"list/more/part-3.csv": C}, "/list has folders in it, such as more: name the files with a pattern"),
        ({"list/part-3.csv": f"email,name\n{C},x\n"}, r"part-3\.csv has other columns than the files before it"),
        ({"list/part-3.csv": f"{C}\n{C}\n"}, r"part-3\.csv has other columns than the files before it"),
        ({"list/part-3.csv": ""}, r"part-3\.csv has other columns than the files before it"),
        ({"list/part-3.csv": f"email\n{C},x\n"}, r"line 2 of .*/part-3\.csv has 2 fields"),
    ],
)
def test_what_may_be_a_part_of_the_list_is_not_passed_over(
    storage: Callable[..., str], files: dict[str, str], said: str
) -> None:
    root = storage(**PARTS, **files)
    with pytest.raises(SourceError, match=said) as caught:
        values(f"{root}/list")
    assert C not in str(caught.value)


def test_parts_of_parquet_have_the_same_columns(folder: Callable[..., str], tmp_path: Path) -> None:
    import pyarrow as pa
    from pyarrow.parquet import write_table

    root = folder(**{"list.parquet/_SUCCESS": ""})
    write_table(pa.table({"email": [A], "request_id": [1]}), tmp_path / "list.parquet" / "part-0.snappy.parquet")
    write_table(pa.table({"request_id": [2], "email": [B]}), tmp_path / "list.parquet" / "part-1.snappy.parquet")
    assert values(f"{root}/list.parquet") == [A, B]
    write_table(pa.table({"email": [C]}), tmp_path / "list.parquet" / "part-2.snappy.parquet")
    with pytest.raises(SourceError, match=r"part-2\.snappy\.parquet has other columns than the files before it"):
        values(f"{root}/list.parquet")


def test_a_connection_that_is_not_there_is_named() -> None:
    with pytest.raises(
        SourceError, match=r"there is no connection 'nope', which s3://nope@bucket/list\.csv names: create"
    ):
        values("s3://nope@bucket/list.csv")


@pytest.mark.parametrize(
    ("scheme", "package"),
    [("s3", r"amazon\[s3fs\]"), ("gs", "google"), ("abfs", "microsoft-azure"), ("sftp", "sftp")],
)
def test_a_storage_whose_provider_is_not_installed_names_it(scheme: str, package: str) -> None:
    said = (
        f"no storage is known for {scheme}://bucket/list.csv: .* .install apache-airflow-providers-{package} where the"
    )
    with pytest.raises(SourceError, match=said):
        values(f"{scheme}://bucket/list.csv")


class EndpointConnectionError(Exception):
    """As botocore has it: no OSError."""


@pytest.mark.parametrize(
    ("error", "kind", "said"),
    [
        (PermissionError("Forbidden"), SourceUnavailableError, r"list\.csv cannot be read: PermissionError: Forbidden"),
        (EndpointConnectionError("no way"), SourceUnavailableError, "cannot be read: EndpointConnectionError: no way"),
        (
            ImportError("s3fs is missing"),
            SourceError,
            "no storage is known for .*: s3fs is missing .install apache-air",
        ),
    ],
)
@pytest.mark.parametrize("path", ["list.csv", "list", "li*"])
def test_a_storage_that_does_not_say_what_there_is(
    bucket: Callable[..., str], error: Exception, kind: type[Exception], said: str, path: str
) -> None:
    root = bucket(error=error, **{"list.csv": "email\n"})
    with pytest.raises(kind, match=said.replace(r"list\.csv", "")):
        values(f"{root}/{path}")


def test_an_error_of_a_library_half_way_shows_no_row(
    bucket: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken:
        def read(self, size: int) -> bytes:
            raise EndpointConnectionError(A)

        def close(self) -> None:
            pass

    root = bucket(**{"list.csv": "email\n"})
    monkeypatch.setattr(Bucket, "open", lambda *_, **__: Broken())
    with pytest.raises(SourceUnavailableError, match=r"list\.csv cannot be read: EndpointConnectionError$"):
        values(f"{root}/list.csv")
