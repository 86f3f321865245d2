"""`ProfileAccessOperator`: who gets which document, what is in it, and what it is called."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_klaviyo.emulator import Emulator
from airflow_provider_klaviyo.operators.klaviyo import ProfileAccessOperator


def test_a_document_is_what_klaviyo_has_of_a_person_and_nothing_else(emulator: Emulator, export: Any) -> None:
    jane = export.add_jane()
    result = export({"email": "Jane@Example.com", "request_id": "REQ-7"}, include_events=True)
    document = export.read("REQ-7.json")
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
    assert "Jané" in (export.folder / "REQ-7.json").read_text("utf-8")
    assert export.counted(result) == {"exported": 1}
    assert (result["listed"], result["duplicates"], result["profiles"]) == (1, 0, 1)
    assert result["documents"] == [f"{export.folder}/REQ-7.json"]


def test_without_events_nobody_asks_for_them(emulator: Emulator, export: Any) -> None:
    export.add_jane()
    (path,) = export("jane@example.com")["documents"]
    assert list(export.read(path)["profiles"][0]) == ["id", "attributes", "lists", "segments"]
    assert emulator.calls("get_events") == 0


def test_who_is_not_known_gets_an_answer_too(export: Any) -> None:
    result = export("nobody@example.com")
    document = export.read(export.fingerprint("nobody@example.com"))
    assert (document["identifiers"], document["profiles"]) == ([{"email": "nobody@example.com"}], [])
    assert "request_id" not in document
    assert export.counted(result) == {"absent": 1}
    assert result["profiles"] == 0


def test_rows_of_one_request_are_one_person(emulator: Emulator, export: Any) -> None:
    jane = export.add_jane()
    shop = emulator.add_profile(external_id="customer-42")
    result = export(
        {"email": "jane@example.com", "request_id": 7},
        {"email": "joe@example.com", "request_id": 8},
        {"phone_number": "+1 500 555 0006", "request_id": "7"},
        {"external_id": "customer-42", "request_id": 7},
        {"email": "JANE@example.com", "request_id": 7},
        {"email": "no address", "request_id": 7},
    )
    document = export.read("7.json")
    assert document["identifiers"] == [
        {"email": "jane@example.com"},
        {"phone_number": "+15005550006"},
        {"external_id": "customer-42"},
    ]
    assert [profile["id"] for profile in document["profiles"]] == [jane, shop]
    assert export.files() == ["7.json", "8.json"]
    assert export.counted(result) == {"exported": 1, "absent": 1}
    assert (result["listed"], result["duplicates"], result["profiles"]) == (6, 1, 2)


def test_the_same_person_in_two_requests_gets_two_documents(emulator: Emulator, export: Any) -> None:
    export.add_jane()
    listed = [{"email": "jane@example.com", "request_id": name} for name in ("a", "b")]
    result = export(*listed, "jane@example.com", "jane@example.com")
    assert export.files() == sorted(["a.json", "b.json", export.fingerprint("jane@example.com")])
    assert (export.counted(result), result["duplicates"], result["profiles"]) == ({"exported": 3}, 1, 1)


HOSTILE = [
    "../../etc/x",
    "a/b",
    "..a",
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
def test_a_request_id_that_can_be_no_name_is_none(emulator: Emulator, export: Any, hostile: str) -> None:
    export.add_jane()
    result = export({"email": "jane@example.com", "request_id": hostile})
    (name,) = export.files()
    assert name == f"{export.keys.of_request(hostile)[0]}.json"
    assert export.read(name)["request_id"] == hostile
    assert result["documents"] == [f"{export.folder}/{name}"]
    assert sorted(path.name for path in export.folder.parent.iterdir()) == [export.folder.name]


@pytest.mark.parametrize("hostile", ["x" * 1_000_000, "a\nb", "a\x00b", 7.5, "\ud800"])
def test_a_request_id_that_cannot_be_one_is_told_and_does_not_count(
    emulator: Emulator,
    export: Any,
    hostile: object,
    caplog: pytest.LogCaptureFixture,
) -> None:
    export.add_jane()
    export({"email": "jane@example.com", "request_id": hostile})
    assert export.files() == [export.fingerprint("jane@example.com")]
    assert "Row 1 counts as a request of its own: a request_id is 1 to 255 printable characters" in caplog.text


def test_request_ids_that_a_file_system_may_take_for_one_are_refused(emulator: Emulator, export: Any) -> None:
    export.add_jane()
    listed = [{"email": f"{name}@example.com", "request_id": name} for name in ("jane", "joe", "JANE")]
    with pytest.raises(AirflowFailException, match="rows 1 and 3 have request ids that differ in capital letters only"):
        export(*listed)
    assert export.files() == []
    assert emulator.calls() == 1
    export(*listed[:2])
    with pytest.raises(AirflowFailException, match=r"has a document jane\.json, whose name differs from that of row 1"):
        export(listed[2], run_id="run 2")
    assert export.files() == ["jane.json", "joe.json"]


def test_no_key_is_needed_where_every_request_has_a_name_and_else_it_says_how_to_make_one(
    emulator: Emulator, connect: Callable[..., None], export: Any
) -> None:
    connect(emulator)
    assert export.counted(export({"email": "jane@example.com", "request_id": "7"})) == {"absent": 1}
    assert export.read("7.json")["account_id"] == emulator.account.id
    with pytest.raises(AirflowFailException, match=r"'Fingerprint key' .* is empty\. Make one with python -c"):
        export({"email": "joe@example.com", "request_id": "8"}, "jane@example.com", run_id="run 2")
    assert export.files() == ["7.json"]


def test_whoever_matches_too_much_is_held_back(
    emulator: Emulator, export: Any, caplog: pytest.LogCaptureFixture
) -> None:
    export.add_jane()
    for number in range(6):
        emulator.add_profile(email=f"{number}@example.com", external_id="0")
    # A join that gives everybody one request id.
    join = [{"email": f"{number}@example.com", "request_id": "same"} for number in range(6)]
    result = export(
        {"external_id": "0", "request_id": "nobodys"}, {"email": "jane@example.com", "request_id": 1}, *join
    )
    assert export.files() == ["1.json"]
    assert export.counted(result) == {"exported": 1, "held": 2}
    assert result["profiles"] == 1
    assert "Do several people have one request_id?" in caplog.text
    one_by_one = export(*[{"email": f"{number}@example.com", "request_id": number} for number in range(6)])
    assert export.counted(one_by_one) == {"exported": 6}


def test_a_list_that_matches_too_much_is_refused_whole(emulator: Emulator, export: Any) -> None:
    listed = [f"{number}@example.com" for number in range(5)]
    for email in listed:
        emulator.add_profile(email=email)
    with pytest.raises(AirflowFailException, match="more than 4 Klaviyo profiles, which is all that max_profiles"):
        export("nobody@example.com", *listed, max_profiles=4)
    assert export.files() == []
    assert emulator.calls("get_profile_lists") == 0
    assert export.counted(export(*listed, max_profiles=5)) == {"exported": 5}


def test_who_cannot_be_looked_up_is_counted_and_told_by_row(
    emulator: Emulator, export: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        rows = ("secret nonsense", None, {"email": "also secret", "request_id": "7"}, {"email": 7})
        result = export(*rows, max_invalid=1)
    assert export.counted(result) == {"invalid": 4}
    assert export.files() == []
    assert "Row 3 cannot be an identifier" in caplog.text
    assert "None of the 4 rows can be an identifier: is it the right column?" in caplog.text
    assert "secret" not in caplog.text


def test_an_empty_list_writes_nothing(emulator: Emulator, export: Any) -> None:
    result = export()
    assert (export.counted(result), result["documents"], export.files()) == ({}, [], [])


def test_a_stranger_in_an_answer_is_in_no_document(emulator: Emulator, export: Any) -> None:
    export.add_jane()
    emulator.fault("unasked_profile")
    result = export({"email": "jane@example.com", "request_id": 1}, {"email": "joe@example.com", "request_id": 2})
    assert export.counted(result) == {"exported": 1, "held": 1}
    assert export.files() == ["1.json"]
    assert "stranger" not in (export.folder / "1.json").read_text().lower()


def test_a_query_and_its_request_ids(emulator: Emulator, export: Any, warehouse: Callable[..., Path]) -> None:
    export.add_jane()
    warehouse("jane@example.com", "joe@example.com")
    of_query = {"sql": "SELECT email, request_id FROM suppression_list", "sql_conn_id": "warehouse"}
    assert export.counted(export(profiles=None, **of_query)) == {"exported": 1, "absent": 1}
    assert export.files() == ["1.json", "2.json"]


def test_no_list_is_refused_when_the_dag_is_parsed() -> None:
    with pytest.raises(ValueError, match="sql="):
        ProfileAccessOperator(task_id="access", output_path="/tmp/x")
