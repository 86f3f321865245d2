"""Under a document's name there is the whole of it, or what was there before; whatever fails, and when."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import fsspec
import pytest

from airflow_provider_klaviyo.access import folder as module
from airflow_provider_klaviyo.access.errors import OutputUnavailableError
from airflow_provider_klaviyo.access.folder import DocumentFolder

CONTENT = b'{"of": "canary.tweet"}' * 1_000


@pytest.fixture(params=["file", "memory"])
def documents(request: pytest.FixtureRequest, tmp_path: Path) -> DocumentFolder:
    """A folder on this machine, and one on a storage that moves by copying, as object stores do."""
    file_system = fsspec.filesystem(request.param)
    path = str(tmp_path / "a" / "b") if request.param == "file" else f"/bucket/{uuid4().hex}"
    return DocumentFolder(file_system, path, f"{request.param}://{path}")


def test_there_need_be_no_folder_yet(documents: DocumentFolder) -> None:
    assert documents.names() == frozenset()
    documents.write("1.json", CONTENT)
    assert documents.names() == {"1.json"}
    assert documents.head("1.json", 10) == CONTENT[:10]
    assert documents.head("1.json", 10**6) == CONTENT
    assert documents.url_of("1.json") == f"{documents.url}/1.json"


def test_a_document_is_replaced(documents: DocumentFolder) -> None:
    documents.write("1.json", CONTENT)
    documents.write("1.json", b"{}")
    assert documents.head("1.json", 10**6) == b"{}"
    assert documents.names() == {"1.json"}


def test_a_folder_of_that_name_is_no_document(documents: DocumentFolder) -> None:
    documents.write("1.json", b"{}")
    inner = DocumentFolder(documents.file_system, f"{documents.path}/2.json", documents.url)
    inner.write("3.json", b"{}")
    assert documents.names() == {"1.json"}


def half_way(write: Callable[[str, bytes], object], error: BaseException) -> Callable[[str, bytes], None]:
    """Write half of it, and fail."""

    def fail(path: str, content: bytes) -> None:
        write(path, content[: len(content) // 2])
        raise error

    return fail


def failing(documents: DocumentFolder, when: str, error: BaseException, patch: pytest.MonkeyPatch) -> None:
    """Let the storage fail while a document is written, or while it is moved to its name."""
    storage: Any = type(documents.file_system)
    if when == "moving":
        patch.setattr(module, "os", Replaced(os, replace=raising(error)))
        patch.setattr(storage, "mv", raising(error))
    else:
        patch.setattr(module, "_write_private", half_way(module._write_private, error))
        pipe = documents.file_system.pipe_file
        patch.setattr(storage, "pipe_file", lambda _, path, content: half_way(pipe, error)(path, content))


class Replaced:
    """A module with some names replaced."""

    def __init__(self, of: Any, **names: Any) -> None:
        self._of = of
        self.__dict__.update(names)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._of, name)


def raising(error: BaseException) -> Callable[..., None]:
    def fail(*_: object) -> None:
        raise error

    return fail


@pytest.mark.parametrize("when", ["writing", "moving"])
@pytest.mark.parametrize("before", [None, b"{}"])
def test_what_fails_half_way_leaves_what_was_there(
    documents: DocumentFolder, when: str, before: bytes | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if before is not None:
        documents.write("1.json", before)
    with monkeypatch.context() as patch:
        failing(documents, when, OSError(28, "No space left on device", "canary.tweet"), patch)
        with pytest.raises(
            OutputUnavailableError, match=r"cannot be written \(OSError: No space left on device\)"
        ) as caught:
            documents.write("1.json", CONTENT)
    assert documents.url in str(caught.value)
    assert "canary" not in str(caught.value)
    assert (caught.value.__cause__, caught.value.__context__) == (None, None)
    assert documents.names() == (set() if before is None else {"1.json"})
    assert before is None or documents.head("1.json", 10**6) == before


def test_a_task_that_is_killed_while_it_writes_leaves_nothing(
    documents: DocumentFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing(documents, "writing", KeyboardInterrupt(), monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        documents.write("1.json", CONTENT)
    assert documents.names() == frozenset()


@pytest.mark.parametrize(
    "error", [ValueError("canary.tweet"), PermissionError(13, "Permission denied", "canary.tweet")]
)
def test_whatever_a_storage_raises_is_named_and_not_repeated(
    documents: DocumentFolder, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(documents.file_system), "ls", lambda *_, **__: raising(error)())
    monkeypatch.setattr(type(documents.file_system), "cat_file", lambda *_, **__: raising(error)())
    for read in (documents.names, lambda: documents.head("1.json", 10)):
        with pytest.raises(OutputUnavailableError, match=f"cannot be read .{type(error).__name__}") as caught:
            read()
        assert "canary" not in str(caught.value)


def test_leftovers_are_removed_by_name(documents: DocumentFolder) -> None:
    for name in ("1.json", "1.json.abc.part", "2.json.abc.part", "x1.json.abc.part", "1.json.part", "1.json.a.b.part"):
        documents.write(name, b"{}")
    documents.remove_parts(documents.names(), {"1.json"})
    assert documents.names() == {"1.json", "2.json.abc.part", "x1.json.abc.part", "1.json.part", "1.json.a.b.part"}


def test_here_they_are_their_owners(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir(mode=0o755)
    path = tmp_path / "there" / "a" / "b"
    folder = DocumentFolder(fsspec.filesystem("file"), str(path), str(path))
    earlier = os.umask(0)
    try:
        folder.write("1.json", CONTENT)
        folder.write("1.json", CONTENT)
    finally:
        os.umask(earlier)
    assert stat.S_IMODE((path / "1.json").stat().st_mode) == 0o600
    assert [stat.S_IMODE(one.stat().st_mode) for one in (path, path.parent)] == [0o700, 0o700]
    assert stat.S_IMODE((tmp_path / "there").stat().st_mode) == 0o755


def test_a_link_that_somebody_has_put_there_is_replaced_and_not_followed(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("theirs")
    (tmp_path / "1.json").symlink_to(elsewhere)
    DocumentFolder(fsspec.filesystem("file"), str(tmp_path), "here").write("1.json", CONTENT)
    assert elsewhere.read_text() == "theirs"
    assert (tmp_path / "1.json").read_bytes() == CONTENT
    assert not (tmp_path / "1.json").is_symlink()


def test_two_that_write_the_same_never_move_each_others_half(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = DocumentFolder(fsspec.filesystem("file"), str(tmp_path), "here")
    write, replace = module._write_private, os.replace
    began: list[str] = []

    def interrupted(path: str, content: bytes) -> None:
        write(path, content)
        if not began:
            began.append(path)
            monkeypatch.setattr(module, "_write_private", half_way(write, OSError(28, "No space left on device")))
            with pytest.raises(OutputUnavailableError):
                folder.write("1.json", b"another")

    monkeypatch.setattr(module, "_write_private", interrupted)
    folder.write("1.json", CONTENT)
    assert replace is os.replace
    assert (tmp_path / "1.json").read_bytes() == CONTENT
    assert [path.name for path in tmp_path.iterdir()] == ["1.json"]
