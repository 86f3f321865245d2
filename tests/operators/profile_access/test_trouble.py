"""Whatever goes wrong, there are whole documents or none, nobody else's data in them, and a retry goes on."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_klaviyo.access.errors import OutputUnavailableError
from airflow_provider_klaviyo.access.folder import DocumentFolder
from airflow_provider_klaviyo.api import access, conversation
from airflow_provider_klaviyo.api.errors import KlaviyoAnswerError, KlaviyoError, KlaviyoStoppedError
from airflow_provider_klaviyo.api.pace import paces_of_this_process
from airflow_provider_klaviyo.emulator import Emulator
from airflow_provider_klaviyo.hooks.klaviyo import KlaviyoHook


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for nothing that the emulator will not give."""
    monkeypatch.setattr(conversation, "FIRST_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(conversation, "LONGEST_PAUSE_SECONDS", 0.05)
    monkeypatch.setattr(access.export_profile, "__kwdefaults__", {"patience_seconds": 0.05})


FAULTS: list[tuple[str, dict[str, Any]]] = [
    ("throttled", {"retry_after": 3_600}),
    ("server_error_html", {"status": 502}),
    ("connection_dropped_after", {}),
    ("truncated_json", {}),
    ("wrong_types", {}),
    ("redirect", {}),
    ("key_revoked", {}),
    ("scope_missing", {"scope": None}),
]
SCOPES = {
    "get_profile": "profiles:read",
    "get_profile_lists": "lists:read",
    "get_profile_segments": "segments:read",
    "get_events": "events:read",
}


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("endpoint", SCOPES)
@pytest.mark.parametrize(("fault", "options"), FAULTS, ids=[name for name, _ in FAULTS])
def test_trouble_leaves_whole_documents_and_a_retry_goes_on(
    emulator: Emulator,
    export: Any,
    fault: str,
    options: dict[str, Any],
    endpoint: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    listed = export.add_three()
    scope = {"scope": SCOPES[endpoint]} if fault == "scope_missing" else {}
    emulator.fault(fault, endpoint=endpoint, **options | scope)
    with pytest.raises((KlaviyoError, AirflowFailException)) as caught:
        export(*listed, include_events=True)
    assert "example.com" not in str(caught.value)
    assert [name for name in export.files() if not name.endswith(".json")] == []
    for name in export.files():
        export.read(name)
    emulator.clear_faults()
    # The next try is another process, which does not know what this one was told to wait.
    monkeypatch.setattr(paces_of_this_process, "_paces", {})
    result = export(*listed, include_events=True)
    assert export.counted(result) == {"exported": 3}
    assert [export.read(path)["profiles"][0]["attributes"]["email"] for path in result["documents"]] == [
        f"{number}@example.com" for number in range(3)
    ]


@pytest.mark.parametrize("fault", ["endless_pages", "foreign_next_link"])
@pytest.mark.parametrize("endpoint", list(SCOPES)[1:])
def test_pages_that_lead_astray_leave_no_document(emulator: Emulator, export: Any, fault: str, endpoint: str) -> None:
    listed = export.add_three()
    emulator.fault(fault, endpoint=endpoint)
    with pytest.raises(KlaviyoAnswerError, match="do not end"):
        export(*listed, include_events=True)
    assert export.files() == []


def test_a_retry_goes_on_where_the_try_before_it_stopped(
    emulator: Emulator, export: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = export.add_three()
    write = DocumentFolder.write
    written: list[str] = []

    def full_after_two(self: DocumentFolder, name: str, content: bytes) -> None:
        if len(written) == 2:
            raise OutputUnavailableError("the disk is full")
        written.append(name)
        write(self, name, content)

    monkeypatch.setattr(DocumentFolder, "write", full_after_two)
    with pytest.raises(OutputUnavailableError):
        export(*listed)
    assert export.files() == ["R0.json", "R1.json"]
    monkeypatch.setattr(DocumentFolder, "write", write)
    emulator.reset_counts()
    assert export.counted(export(*listed)) == {"exported": 3}
    assert emulator.calls("get_profile_lists") == 1


def test_who_is_gone_when_they_are_read_is_looked_up_again(
    emulator: Emulator, export: Any, when_read: Callable[..., None]
) -> None:
    listed = export.add_three()
    gone = emulator.profiles()[-1].id

    def merge() -> None:
        with KlaviyoHook() as hook:
            hook.request_profile_deletion(profile_id=gone)
        emulator.add_profile(email="2@example.com", first_name="Merged")

    when_read(merge)
    result = export(*listed)
    assert export.counted(result) == {"exported": 3}
    (profile,) = export.read("R2.json")["profiles"]
    assert profile["attributes"]["first_name"] == "Merged"
    assert profile["id"] != gone


def test_who_is_gone_for_good_is_absent(emulator: Emulator, export: Any, when_read: Callable[..., None]) -> None:
    listed = export.add_three()
    gone = emulator.profiles()[-1].id

    def delete() -> None:
        with KlaviyoHook() as hook:
            hook.request_profile_deletion(profile_id=gone)

    when_read(delete)
    assert export.counted(export(*listed)) == {"exported": 2, "absent": 1}
    assert export.read("R2.json")["profiles"] == []


@pytest.mark.parametrize("path", ["", " ", "nope://bucket/x", "s3://bucket/*", "/tmp/a?b", "/tmp/[x]"])
def test_a_folder_that_cannot_be_one_is_refused(emulator: Emulator, export: Any, path: str) -> None:
    with pytest.raises(AirflowFailException, match="output_path"):
        export("jane@example.com", output_path=path)
    assert emulator.calls("get_profiles") == 0


def test_a_folder_that_is_a_file_is_said_and_no_more(emulator: Emulator, export: Any, tmp_path: Path) -> None:
    export.add_jane()
    (tmp_path / "file").write_text("x")
    with pytest.raises(
        OutputUnavailableError, match=r"cannot be read \(NotADirectoryError: Not a directory\)"
    ) as caught:
        export("jane@example.com", output_path=str(tmp_path / "file" / "exports"))
    assert str(tmp_path / "file" / "exports") in str(caught.value)
    assert "jane" not in str(caught.value)


def test_nothing_personal_is_logged_or_returned(
    emulator: Emulator, export: Any, caplog: pytest.LogCaptureFixture
) -> None:
    export.add_jane()
    with caplog.at_level(logging.DEBUG):
        result = export(
            "jane@example.com", "+15005550006", {"external_id": "customer-42", "request_id": "jane@x.example.com"}
        )
    for text in (caplog.text, json.dumps(result)):
        lower = text.lower()
        assert "jane" not in lower
        assert "555000" not in lower
        assert "customer-42" not in lower
        assert export.key not in text
        assert emulator.account.key not in text


def test_it_says_how_long_it_takes(emulator: Emulator, export: Any, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        export(*export.add_three())
    assert "Profiles to read: 3, which takes about 0 s" in caplog.text
    assert "3 of 3 profiles read in 0 s" in caplog.text


def test_a_task_that_is_killed_reads_nobody_more(export: Any, when_read: Callable[..., None]) -> None:
    operator = export.operator(*export.add_three())
    when_read(operator.on_kill)
    with pytest.raises(KlaviyoStoppedError):
        operator.execute(export.context())
    assert export.files() == []
