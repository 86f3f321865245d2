"""Nobody is deleted before everybody has a document."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from pathlib import Path

import fsspec
import pytest

from airflow_provider_klaviyo.access.errors import ExportMissingError, OutputUnavailableError
from airflow_provider_klaviyo.access.folder import DocumentFolder
from airflow_provider_klaviyo.access.naming import Names
from airflow_provider_klaviyo.access.required import with_documents
from airflow_provider_klaviyo.deletion.entries import Entry
from airflow_provider_klaviyo.deletion.fingerprints import FingerprintKeys
from airflow_provider_klaviyo.deletion.identifiers import Identifier, Kind
from airflow_provider_klaviyo.lasting import lasting_errors

NEW, OLD = "a new key that is long enough for it", "an old key that is long enough for it"
NAMES = Names(lambda: FingerprintKeys.parse(f"{NEW},{OLD}"))


@pytest.fixture
def folder(tmp_path: Path) -> DocumentFolder:
    return DocumentFolder(fsspec.filesystem("file"), str(tmp_path), "file:///exports")


def listed(entries: Iterable[Entry], closed: list[str] | None = None) -> Generator[Entry]:
    try:
        yield from entries
    finally:
        if closed is not None:
            closed.append("closed")


def people(number: int) -> list[Entry]:
    return [Entry(Kind.EMAIL, f"{one}@example.com", f"R{one}") for one in range(number)]


def test_everyone_passes_who_has_a_document(folder: DocumentFolder) -> None:
    jane = Identifier.parse("jane@example.com")
    entries = [*people(3), Entry(None, "Jane@example.com"), Entry(None, "jane@example.com", "a/b"), Entry(None, "none")]
    names = ["R0.json", "R1.json", "R2.json", NAMES.of(None, jane)[1], NAMES.of("a/b", jane)[0]]
    for name in names:
        folder.write(name, b"{}")
    assert list(with_documents(listed(entries), folder, NAMES)) == entries


def test_who_has_none_is_counted_and_named_by_row(folder: DocumentFolder) -> None:
    for number in (0, 2, 5):
        folder.write(f"R{number}.json", b"{}")
    folder.write("R1.json.abc.part", b"{}")
    entries = [*people(3), Entry(None, "no identifier"), *people(20)[3:]]
    passed, closed = [], list[str]()
    with pytest.raises(ExportMissingError) as caught:  # noqa: PT012 - what has passed until then
        for entry in with_documents(listed(entries, closed), folder, NAMES):
            passed.append(entry)
    message = "17 of 20 rows have no document in file:///exports: rows 2, 5, 6, 8, 9, 10, 11, 12, 13, 14, …. Nobody was"
    assert str(caught.value).startswith(message)
    assert "example.com" not in str(caught.value)
    assert passed == entries[:1]
    assert closed == ["closed"]


def test_an_empty_list_needs_no_folder(folder: DocumentFolder) -> None:
    nowhere = DocumentFolder(folder.file_system, f"{folder.path}/nowhere", "nowhere")
    assert list(with_documents(listed([]), nowhere, NAMES)) == []
    with pytest.raises(ExportMissingError, match="1 of 1 rows have no document in nowhere: row 1"):
        list(with_documents(listed(people(1)), nowhere, NAMES))


def test_the_folder_is_looked_through_once(folder: DocumentFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[str] = []
    names = DocumentFolder.names

    def look(self: DocumentFolder) -> frozenset[str]:
        looks.append(self.path)
        return names(self)

    monkeypatch.setattr(DocumentFolder, "names", look)
    for number in range(50):
        folder.write(f"R{number}.json", b"{}")
    assert len(list(with_documents(listed(people(50)), folder, NAMES))) == 50
    assert len(looks) == 1


def test_a_folder_that_cannot_be_read_lets_nobody_pass(folder: DocumentFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(type(folder.file_system), "ls", refuse)
    with pytest.raises(OutputUnavailableError):
        next(with_documents(listed([]), folder, NAMES))


def test_the_access_task_may_only_be_late() -> None:
    assert not issubclass(ExportMissingError, lasting_errors())
    assert not issubclass(OutputUnavailableError, lasting_errors())
