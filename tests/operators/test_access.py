"""`ProfileAccessOperator`: who gets which document, what is in it, what it refuses, and how it goes on."""

from __future__ import annotations

import json
import logging
import sqlite3
import stat
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_klaviyo.access.errors import OutputUnavailableError, ProfileGoneError
from airflow_provider_klaviyo.access.export import Export
from airflow_provider_klaviyo.access.folder import DocumentFolder
from airflow_provider_klaviyo.api import access, conversation
from airflow_provider_klaviyo.api.errors import KlaviyoAnswerError, KlaviyoError, KlaviyoStoppedError
from airflow_provider_klaviyo.api.pace import paces_of_this_process
from airflow_provider_klaviyo.deletion.fingerprints import FingerprintKeys
from airflow_provider_klaviyo.deletion.identifiers import Identifier
from airflow_provider_klaviyo.emulator import Emulator
from airflow_provider_klaviyo.hooks.klaviyo import KlaviyoHook
from airflow_provider_klaviyo.operators.klaviyo import ProfileAccessOperator

KEY = "a key that is long enough for a fingerprint"
KEYS = FingerprintKeys.parse(KEY)
FATES = ("exported", "absent", "invalid", "refused", "held")


@pytest.fixture(autouse=True)
def klaviyo(emulator: Emulator, connect: Callable[..., None]) -> Emulator:
    """An emulator behind the usual connection, with somebody in it whom nobody asks for."""
    connect(emulator, account_id=emulator.account.id, fingerprint_key=KEY)
    stranger = emulator.add_profile(email="stranger@example.com", properties={"secret": "of a stranger"})
    emulator.add_to_list(stranger, emulator.add_list("Strangers"))
    emulator.add_to_segment(stranger, emulator.add_segment("Strangers"))
    emulator.add_event(stranger, "Placed Order", {"secret": "of a stranger"})
    return emulator


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where documents go; it is not there yet."""
    return tmp_path / "exports" / "2026-11-22"


@pytest.fixture
def export(folder: Path) -> Callable[..., dict[str, Any]]:
    """Run the operator as a worker does."""

    def export(*profiles: Any, run_id: str = "run 1", max_tries: int = 3, **arguments: Any) -> dict[str, Any]:
        of = {"dag_id": "privacy", "run_id": run_id, "task_id": "access", "map_index": -1, "max_tries": max_tries}
        arguments = {"output_path": str(folder), "profiles": list(profiles)} | arguments
        operator = ProfileAccessOperator(task_id="access", **arguments)
        context: Any = {"ti": SimpleNamespace(**of)}
        return dict(json.loads(json.dumps(operator.execute(context))))

    return export


def people(result: Mapping[str, Any]) -> dict[str, int]:
    return {fate: result[fate] for fate in FATES if result[fate]}


def fingerprint(value: object) -> str:
    return f"{KEYS.of(Identifier.parse(value))}.json"


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


def read(path: Path | str) -> Any:
    return json.loads(Path(path).read_bytes().decode("utf-8"))


def add_jane(emulator: Emulator) -> str:
    jane = emulator.add_profile(
        email="jane@example.com", phone_number="+15005550006", first_name="Jané", properties={"size": 39, "b": [None]}
    )
    for number in range(13):
        emulator.add_to_list(jane, emulator.add_list(f"List {number}"))
        emulator.add_to_segment(jane, emulator.add_segment(f"Segment {number}"))
        emulator.add_event(jane, "Placed Order", {"number": number}, at=1_000_000 + number)
    return jane


def test_a_document_is_what_klaviyo_has_of_a_person_and_nothing_else(
    emulator: Emulator, export: Callable[..., dict[str, Any]], folder: Path
) -> None:
    jane = add_jane(emulator)
    result = export({"email": "Jane@Example.com", "request_id": "REQ-7"}, include_events=True)
    document = read(folder / "REQ-7.json")
    assert list(document) == ["request_id", "read_at", "account_id", "export_id", "identifiers", "profiles"]
    assert document["identifiers"] == [{"email": "Jane@Example.com"}]
    assert (document["request_id"], document["account_id"]) == ("REQ-7", emulator.account.id)
    (profile,) = document["profiles"]
    assert list(profile) == ["id", "attributes", "lists", "segments", "events"]
    assert profile["id"] == jane
    kept = next(one for one in emulator.profiles() if one.id == jane)
    attributes = profile["attributes"]
    assert {name: attributes[name] for name in ("email", "phone_number", "first_name")} == {
        "email": kept.email,
        "phone_number": kept.phone_number,
        "first_name": "Jané",
    }
    assert attributes["properties"] == {"size": 39, "b": [None]}
    assert {"subscriptions", "predictive_analytics"} <= set(attributes)
    assert [one["attributes"]["name"] for one in profile["lists"]] == [f"List {number}" for number in range(13)]
    assert [one["attributes"]["name"] for one in profile["segments"]] == [f"Segment {number}" for number in range(13)]
    assert [one["attributes"]["event_properties"] for one in profile["events"]] == [{"number": n} for n in range(13)]
    assert {one["metric"] for one in profile["events"]} == {"Placed Order"}
    assert "stranger" not in json.dumps(document).lower()
    assert "Jané" in (folder / "REQ-7.json").read_text("utf-8")
    assert people(result) == {"exported": 1}
    assert (result["listed"], result["duplicates"], result["profiles"]) == (1, 0, 1)
    assert result["documents"] == [f"{folder}/REQ-7.json"]


def test_without_events_nobody_asks_for_them(emulator: Emulator, export: Callable[..., dict[str, Any]]) -> None:
    add_jane(emulator)
    (path,) = export("jane@example.com")["documents"]
    assert list(read(path)["profiles"][0]) == ["id", "attributes", "lists", "segments"]
    assert emulator.calls("get_events") == 0


def test_who_is_not_known_gets_an_answer_too(export: Callable[..., dict[str, Any]], folder: Path) -> None:
    result = export("nobody@example.com")
    document = read(folder / fingerprint("nobody@example.com"))
    assert (document["identifiers"], document["profiles"]) == ([{"email": "nobody@example.com"}], [])
    assert "request_id" not in document
    assert people(result) == {"absent": 1}
    assert result["profiles"] == 0


def test_rows_of_one_request_are_one_person(
    emulator: Emulator, export: Callable[..., dict[str, Any]], folder: Path
) -> None:
    jane = add_jane(emulator)
    shop = emulator.add_profile(external_id="customer-42")
    result = export(
        {"email": "jane@example.com", "request_id": 7},
        {"email": "joe@example.com", "request_id": 8},
        {"phone_number": "+1 500 555 0006", "request_id": "7"},
        {"external_id": "customer-42", "request_id": 7},
        {"email": "JANE@example.com", "request_id": 7},
        {"email": "no address", "request_id": 7},
    )
    document = read(folder / "7.json")
    assert document["identifiers"] == [
        {"email": "jane@example.com"},
        {"phone_number": "+15005550006"},
        {"external_id": "customer-42"},
    ]
    assert [profile["id"] for profile in document["profiles"]] == [jane, shop]
    assert files(folder) == ["7.json", "8.json"]
    assert people(result) == {"exported": 1, "absent": 1}
    assert (result["listed"], result["duplicates"], result["profiles"]) == (6, 1, 2)


def test_the_same_person_in_two_requests_gets_two_documents(
    emulator: Emulator, export: Callable[..., dict[str, Any]], folder: Path
) -> None:
    add_jane(emulator)
    listed = [{"email": "jane@example.com", "request_id": name} for name in ("a", "b")]
    result = export(*listed, "jane@example.com", "jane@example.com")
    assert files(folder) == sorted(["a.json", "b.json", fingerprint("jane@example.com")])
    assert (people(result), result["duplicates"], result["profiles"]) == ({"exported": 3}, 1, 1)


HOSTILE = [
    "../../etc/x",
    "a/b",
    "..",
    ".hidden",
    "jane@example.com",
    "+15005550006",
    "a\\b",
    "a b",
    "C:x",
    "ünïcode",
    "x" * 101,
    "x" * 255,
    "0123456789abcdef" * 4,
    "%2e%2e%2f",
    "{{ 7 }}",
]


@pytest.mark.parametrize("hostile", HOSTILE)
def test_a_request_id_that_can_be_no_name_is_none(
    emulator: Emulator, export: Callable[..., dict[str, Any]], folder: Path, hostile: str
) -> None:
    add_jane(emulator)
    result = export({"email": "jane@example.com", "request_id": hostile})
    (name,) = files(folder)
    assert name == f"{KEYS.of_request(hostile)[0]}.json"
    assert read(folder / name)["request_id"] == hostile
    assert result["documents"] == [f"{folder}/{name}"]
    assert sorted(path.name for path in folder.parent.iterdir()) == [folder.name]


@pytest.mark.parametrize("hostile", ["x" * 1_000_000, "a\nb", "a\x00b", 7.5, "\ud800"])
def test_a_request_id_that_cannot_be_one_is_told_and_does_not_count(
    emulator: Emulator,
    export: Callable[..., dict[str, Any]],
    folder: Path,
    hostile: object,
    caplog: pytest.LogCaptureFixture,
) -> None:
    add_jane(emulator)
    export({"email": "jane@example.com", "request_id": hostile})
    assert files(folder) == [fingerprint("jane@example.com")]
    assert "Row 1 counts as a request of its own: a request_id is 1 to 255 printable characters" in caplog.text


def test_request_ids_that_a_file_system_may_take_for_one_are_refused(
    emulator: Emulator, export: Callable[..., dict[str, Any]], folder: Path
) -> None:
    add_jane(emulator)
    listed = [{"email": f"{name}@example.com", "request_id": name} for name in ("jane", "joe", "JANE")]
    with pytest.raises(AirflowFailException, match="rows 1 and 3 have request ids that differ in capital letters only"):
        export(*listed)
    assert files(folder) == []
    assert emulator.calls() == 1
    export(*listed[:2])
    with pytest.raises(AirflowFailException, match=r"has a document jane\.json, whose name differs from that of row 1"):
        export(listed[2], run_id="run 2")
    assert files(folder) == ["jane.json", "joe.json"]


def test_no_key_is_needed_where_every_request_has_a_name_and_else_it_says_how_to_make_one(
    emulator: Emulator, connect: Callable[..., None], export: Callable[..., dict[str, Any]], folder: Path
) -> None:
    connect(emulator)
    assert people(export({"email": "jane@example.com", "request_id": "7"})) == {"absent": 1}
    assert read(folder / "7.json")["account_id"] == emulator.account.id
    with pytest.raises(AirflowFailException, match=r"'Fingerprint key' .* is empty\. Make one with python -c"):
        export({"email": "joe@example.com", "request_id": "8"}, "jane@example.com", run_id="run 2")
    assert files(folder) == ["7.json"]


def test_whoever_matches_too_much_is_held_back(
    emulator: Emulator, export: Callable[..., dict[str, Any]], folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    add_jane(emulator)
    for number in range(6):
        emulator.add_profile(email=f"{number}@example.com", external_id="0")
    # A join that gives everybody one request id.
    join = [{"email": f"{number}@example.com", "request_id": "same"} for number in range(6)]
    result = export(
        {"external_id": "0", "request_id": "nobodys"}, {"email": "jane@example.com", "request_id": 1}, *join
    )
    assert files(folder) == ["1.json"]
    assert people(result) == {"exported": 1, "held": 2}
    assert result["profiles"] == 1
    assert "Do several people have one request_id?" in caplog.text
    one_by_one = export(*[{"email": f"{number}@example.com", "request_id": number} for number in range(6)])
    assert people(one_by_one) == {"exported": 6}


def test_a_list_that_matches_too_much_is_refused_whole(
    emulator: Emulator, export: Callable[..., dict[str, Any]], folder: Path
) -> None:
    listed = [f"{number}@example.com" for number in range(5)]
    for email in listed:
        emulator.add_profile(email=email)
    with pytest.raises(AirflowFailException, match="more than 4 Klaviyo profiles, which is all that max_profiles"):
        export("nobody@example.com", *listed, max_profiles=4)
    assert files(folder) == []
    assert emulator.calls("get_profile_lists") == 0
    assert people(export(*listed, max_profiles=5)) == {"exported": 5}


def test_who_cannot_be_looked_up_is_counted_and_told_by_row(
    emulator: Emulator, export: Callable[..., dict[str, Any]], folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        result = export("secret nonsense", None, {"email": "also secret", "request_id": "7"}, {"email": 7})
    assert people(result) == {"invalid": 4}
    assert files(folder) == []
    assert "Row 3 cannot be an identifier" in caplog.text
    assert "None of the 4 rows can be an identifier: is it the right column?" in caplog.text
    assert "secret" not in caplog.text


def test_an_empty_list_writes_nothing(emulator: Emulator, export: Callable[..., dict[str, Any]], folder: Path) -> None:
    result = export()
    assert (people(result), result["documents"], files(folder)) == ({}, [], [])


def test_a_stranger_in_an_answer_is_in_no_document(
    emulator: Emulator, export: Callable[..., dict[str, Any]], folder: Path
) -> None:
    add_jane(emulator)
    emulator.fault("unasked_profile")
    result = export({"email": "jane@example.com", "request_id": 1}, {"email": "joe@example.com", "request_id": 2})
    assert people(result) == {"exported": 1, "held": 1}
    assert files(folder) == ["1.json"]
    assert "stranger" not in (folder / "1.json").read_text().lower()


def test_a_query_and_its_request_ids(
    emulator: Emulator, export: Callable[..., dict[str, Any]], folder: Path, warehouse: Callable[..., Path]
) -> None:
    add_jane(emulator)
    warehouse("jane@example.com", "joe@example.com")
    of_query = {"sql": "SELECT email, request_id FROM suppression_list", "sql_conn_id": "warehouse"}
    assert people(export(profiles=None, **of_query)) == {"exported": 1, "absent": 1}
    assert files(folder) == ["1.json", "2.json"]


# What is there already.


def times_read(folder: Path) -> dict[str, Any]:
    return {name: read(folder / name)["export_id"] for name in files(folder)}


def three(emulator: Emulator) -> list[dict[str, Any]]:
    listed = []
    for number in range(3):
        emulator.add_profile(email=f"{number}@example.com")
        listed.append({"email": f"{number}@example.com", "request_id": number})
    return listed


def test_a_retry_keeps_what_is_written_and_others_read_anew(
    emulator: Emulator, export: Callable[..., dict[str, Any]], folder: Path
) -> None:
    listed = three(emulator)
    first = export(*listed)
    emulator.reset_counts()
    assert export(*listed) == first
    assert emulator.calls("get_profile_lists") == 0
    for change in ({"run_id": "run 2"}, {"max_tries": 7}, {"include_events": True}):
        before = times_read(folder)
        emulator.reset_counts()
        assert export(*listed, **change) == first
        assert emulator.calls("get_profile_lists") == 3
        assert not before.items() & times_read(folder).items()


def test_who_has_one_identifier_more_is_read_anew(
    emulator: Emulator, export: Callable[..., dict[str, Any]], folder: Path, warehouse: Callable[..., Path]
) -> None:
    listed = [one["email"] for one in three(emulator)]
    database = warehouse(*listed)
    of_query = {"sql": "SELECT email, request_id % 10 AS request_id FROM suppression_list", "sql_conn_id": "warehouse"}
    export(profiles=None, **of_query)
    emulator.reset_counts()
    emulator.add_profile(email="second.address@example.com")
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("INSERT INTO suppression_list VALUES (11, 'second.address@example.com', NULL)")
    assert people(export(profiles=None, **of_query)) == {"exported": 3}
    assert emulator.calls("get_profile_lists", 200) == 2
    assert len(read(folder / "1.json")["profiles"]) == 2


@pytest.mark.parametrize(
    "there", [b"", b"{}", b'{"export_id": ', b"\xff\x00", b'{\n  "export_id": "0123456789abcdef0123456789abcdef",\n']
)
def test_what_is_none_of_this_try_is_replaced(
    emulator: Emulator, export: Callable[..., dict[str, Any]], folder: Path, there: bytes
) -> None:
    folder.mkdir(parents=True)
    (folder / "0.json").write_bytes(there)
    export(*three(emulator))
    assert len(read(folder / "0.json")["profiles"]) == 1


def test_what_a_killed_try_has_left_is_removed_and_nothing_else(
    emulator: Emulator, export: Callable[..., dict[str, Any]], folder: Path
) -> None:
    folder.mkdir(parents=True)
    (folder / "0.json.0123.part").write_text("half of")
    (folder / "9.json.0123.part").write_text("of somebody else")
    (folder / "notes.txt").write_text("of theirs")
    export(*three(emulator))
    assert files(folder) == ["0.json", "1.json", "2.json", "9.json.0123.part", "notes.txt"]


def test_documents_are_for_their_owner_only(
    emulator: Emulator, export: Callable[..., dict[str, Any]], folder: Path
) -> None:
    export(*three(emulator))
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
    assert {stat.S_IMODE(path.stat().st_mode) for path in (folder, folder.parent)} == {0o700}


# What goes wrong.


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for nothing that the emulator will not give."""
    monkeypatch.setattr(conversation, "FIRST_PAUSE_SECONDS", 0.01)
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
    export: Callable[..., dict[str, Any]],
    folder: Path,
    fault: str,
    options: dict[str, Any],
    endpoint: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    listed = three(emulator)
    scope = {"scope": SCOPES[endpoint]} if fault == "scope_missing" else {}
    emulator.fault(fault, endpoint=endpoint, **options | scope)
    with pytest.raises((KlaviyoError, AirflowFailException)) as caught:
        export(*listed, include_events=True)
    assert "example.com" not in str(caught.value)
    assert [name for name in files(folder) if not name.endswith(".json")] == []
    for name in files(folder):
        read(folder / name)
    emulator.clear_faults()
    # The next try is another process, which does not know what this one was told to wait.
    monkeypatch.setattr(paces_of_this_process, "_paces", {})
    result = export(*listed, include_events=True)
    assert people(result) == {"exported": 3}
    assert [read(path)["profiles"][0]["attributes"]["email"] for path in result["documents"]] == [
        f"{number}@example.com" for number in range(3)
    ]


@pytest.mark.parametrize("fault", ["endless_pages", "foreign_next_link"])
@pytest.mark.parametrize("endpoint", list(SCOPES)[1:])
def test_pages_that_lead_astray_leave_no_document(
    emulator: Emulator, export: Callable[..., dict[str, Any]], folder: Path, fault: str, endpoint: str
) -> None:
    listed = three(emulator)
    emulator.fault(fault, endpoint=endpoint)
    with pytest.raises(KlaviyoAnswerError, match="do not end"):
        export(*listed, include_events=True)
    assert files(folder) == []


def test_a_retry_goes_on_where_the_try_before_it_stopped(
    emulator: Emulator, export: Callable[..., dict[str, Any]], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = three(emulator)
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
    assert files(folder) == ["0.json", "1.json"]
    monkeypatch.setattr(DocumentFolder, "write", write)
    emulator.reset_counts()
    assert people(export(*listed)) == {"exported": 3}
    assert emulator.calls("get_profile_lists") == 1


def when_read(monkeypatch: pytest.MonkeyPatch, does: Callable[[], object]) -> None:
    """Let something happen once, between the look-up and the reading."""
    read_one = Export._read
    done: list[object] = []

    def read(self: Export, one: Any) -> Any:
        if not done:
            done.append(does())
        return read_one(self, one)

    monkeypatch.setattr(Export, "_read", read)


def test_who_is_gone_when_they_are_read_is_looked_up_again(
    emulator: Emulator, export: Callable[..., dict[str, Any]], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = three(emulator)
    gone = emulator.profiles()[-1].id

    def merge() -> None:
        with KlaviyoHook() as hook:
            hook.request_profile_deletion(profile_id=gone)
        emulator.add_profile(email="2@example.com", first_name="Merged")

    when_read(monkeypatch, merge)
    result = export(*listed)
    assert people(result) == {"exported": 3}
    (profile,) = read(folder / "2.json")["profiles"]
    assert profile["attributes"]["first_name"] == "Merged"
    assert profile["id"] != gone


def test_who_is_gone_for_good_is_absent(
    emulator: Emulator, export: Callable[..., dict[str, Any]], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = three(emulator)
    gone = emulator.profiles()[-1].id

    def delete() -> None:
        with KlaviyoHook() as hook:
            hook.request_profile_deletion(profile_id=gone)

    when_read(monkeypatch, delete)
    assert people(export(*listed)) == {"exported": 2, "absent": 1}
    assert read(folder / "2.json")["profiles"] == []


def test_a_profile_that_is_somebody_elses_by_now_is_in_no_document(
    emulator: Emulator, export: Callable[..., dict[str, Any]], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = three(emulator)
    monkeypatch.setattr("airflow_provider_klaviyo.access.export.is_of", lambda person, _: person.row != 2)
    with pytest.raises(ProfileGoneError, match="the profiles of 1 people were found, and not there any more"):
        export(*listed)
    assert files(folder) == ["0.json", "2.json"]


@pytest.mark.parametrize("path", ["", " ", "nope://bucket/x", "s3://bucket/*", "/tmp/a?b", "/tmp/[x]"])
def test_a_folder_that_cannot_be_one_is_refused(
    emulator: Emulator, export: Callable[..., dict[str, Any]], path: str
) -> None:
    with pytest.raises(AirflowFailException, match="output_path"):
        export("jane@example.com", output_path=path)
    assert emulator.calls("get_profiles") == 0


def test_a_folder_that_is_a_file_is_said_and_no_more(
    emulator: Emulator, export: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    add_jane(emulator)
    (tmp_path / "file").write_text("x")
    with pytest.raises(
        OutputUnavailableError, match=r"cannot be read \(NotADirectoryError: Not a directory\)"
    ) as caught:
        export("jane@example.com", output_path=str(tmp_path / "file" / "exports"))
    assert str(tmp_path / "file" / "exports") in str(caught.value)
    assert "jane" not in str(caught.value)


def test_nothing_personal_is_logged_or_returned(
    emulator: Emulator, export: Callable[..., dict[str, Any]], caplog: pytest.LogCaptureFixture
) -> None:
    add_jane(emulator)
    with caplog.at_level(logging.DEBUG):
        result = export(
            "jane@example.com", "+15005550006", {"external_id": "customer-42", "request_id": "jane@x.example.com"}
        )
    for text in (caplog.text, json.dumps(result)):
        lower = text.lower()
        assert "jane" not in lower
        assert "555000" not in lower
        assert "customer-42" not in lower
        assert KEY not in text
        assert emulator.account.key not in text


def test_it_says_how_long_it_takes(
    emulator: Emulator, export: Callable[..., dict[str, Any]], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        export(*three(emulator))
    assert "Profiles to read: 3, which takes about 0 s" in caplog.text
    assert "3 of 3 profiles read in 0 s" in caplog.text


def test_a_task_that_is_killed_reads_nobody_more(
    emulator: Emulator, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    operator = ProfileAccessOperator(task_id="access", profiles=three(emulator), output_path=str(folder))
    when_read(monkeypatch, operator.on_kill)
    of = {"dag_id": "privacy", "run_id": "run 1", "task_id": "access", "map_index": -1, "max_tries": 3}
    context: Any = {"ti": SimpleNamespace(**of)}
    with pytest.raises(KlaviyoStoppedError):
        operator.execute(context)
    assert files(folder) == []


def test_no_list_is_refused_when_the_dag_is_parsed() -> None:
    with pytest.raises(ValueError, match="sql="):
        ProfileAccessOperator(task_id="access", output_path="/tmp/x")
