"""`ProfileAccessOperator`: rows of one request are one person, and strangers are never put into one document."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_klaviyo.emulator import Emulator

PLACEHOLDERS = ["null", "None", "nan", "0", "-", "N/A", "#N/A", "\\N", "(null)", "<NA>", "unknown", "?", "0" * 8, 0]


def two(request_id: object) -> list[dict[str, object]]:
    """Return rows of two strangers with the same request id."""
    return [
        {"email": "jane@example.com", "request_id": request_id},
        {"phone_number": "+15005550009", "request_id": request_id},
    ]


@pytest.mark.parametrize("placeholder", PLACEHOLDERS, ids=repr)
def test_people_who_have_a_placeholder_in_common_are_not_one_person(
    emulator: Emulator, export: Any, placeholder: object, caplog: pytest.LogCaptureFixture
) -> None:
    jane, joe = emulator.add_profile("jane@example.com"), emulator.add_profile(None, "+15005550009")
    result = export(*two(placeholder), {"email": "ada@example.com", "request_id": "R1"})
    assert export.counted(result) == {"exported": 2, "absent": 1}
    for value, profile_id in (("jane@example.com", jane), ("+15005550009", joe)):
        document = export.read(export.fingerprint(value))
        assert [profile["id"] for profile in document["profiles"]] == [profile_id]
        assert len(document["identifiers"]) == 1
        assert "request_id" not in document
    for row in (1, 2):
        assert f"Row {row} counts as a request of its own: a placeholder such as null" in caplog.text
    assert "Row 3 counts" not in caplog.text


@pytest.mark.parametrize("ending", ["csv", "jsonl", "query"])
def test_a_column_of_one_placeholder_groups_nobody(
    emulator: Emulator, export: Any, ending: str, tmp_path: Path, warehouse: Callable[..., Path]
) -> None:
    emails = [f"{number}@example.com" for number in range(30)]
    emulator.add_profiles({"email": email} for email in emails)
    if ending == "query":
        warehouse(*emails)
        source = {"sql": "SELECT email, 'NULL' AS request_id FROM suppression_list", "sql_conn_id": "warehouse"}
    else:
        path = tmp_path / f"people.{ending}"
        lines = ["email,request_id", *(f"{one},N/A" for one in emails)]
        if ending == "jsonl":
            lines = [json.dumps({"email": one, "request_id": "nan"}) for one in emails]
        path.write_text("\n".join(lines))
        source = {"path": str(path)}
    assert export.counted(export(profiles=None, **source)) == {"exported": 30}
    for email in emails:
        (profile,) = export.read(export.fingerprint(email))["profiles"]
        assert profile["attributes"]["email"] == email


KINDS = [
    ("email", "jane@example.com", "joe@example.com"),
    ("phone_number", "+15005550001", "+15005550002"),
    ("external_id", "customer-1", "customer-2"),
]


@pytest.mark.parametrize(("kind", "first", "second"), KINDS)
def test_a_request_that_matches_two_people_by_one_kind_is_held(
    emulator: Emulator, export: Any, kind: str, first: str, second: str, caplog: pytest.LogCaptureFixture
) -> None:
    emulator.add_profiles([{kind: first}, {kind: second}])
    rows = [{kind: value, "request_id": "R1"} for value in (first, second)]
    result = export(*rows, {"email": "ada@example.com", "request_id": "R2"})
    assert export.counted(result) == {"absent": 1, "held": 1}
    assert export.files() == ["R2.json"]
    assert f"Row 1: two values of {kind} of this request match different profiles" in caplog.text
    assert first not in caplog.text


def test_two_profile_ids_of_one_request_are_held(emulator: Emulator, export: Any) -> None:
    ids = [emulator.add_profile(f"{name}@example.com") for name in ("jane", "joe")]
    assert export.counted(export(*({"id": one, "request_id": "R1"} for one in ids))) == {"held": 1}
    assert export.files() == []


def test_two_kinds_of_one_request_may_match_two_profiles(emulator: Emulator, export: Any) -> None:
    jane, phone = emulator.add_profile("jane@example.com"), emulator.add_profile(None, "+15005550009")
    assert export.counted(export(*two("R1"))) == {"exported": 1}
    assert [profile["id"] for profile in export.read("R1.json")["profiles"]] == [jane, phone]
    assert export.counted(export(*two("R1"), run_id="2", max_profiles_per_identifier=1)) == {"held": 1}


def test_two_values_of_which_one_is_unknown_or_names_the_same_profile_are_one_person(
    emulator: Emulator, export: Any
) -> None:
    jane = emulator.add_profile("jane@example.com", None, "42")
    rows = [
        {"email": "jane@example.com", "request_id": "R1"},
        {"email": "jane.old@example.com", "request_id": "R1"},
        {"external_id": "42", "request_id": "R1"},
    ]
    assert export.counted(export(*rows)) == {"exported": 1}
    assert [profile["id"] for profile in export.read("R1.json")["profiles"]] == [jane]


def test_a_column_of_one_value_for_everybody_is_held(
    emulator: Emulator, export: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Only one of them is known: nothing but the number of identifiers says that they are not one person."""
    emulator.add_profile("0@example.com")
    rows = [{"email": f"{number}@example.com", "request_id": "batch-7"} for number in range(21)]
    assert export.counted(export(*rows)) == {"held": 1}
    assert export.files() == []
    assert emulator.calls("get_profiles") == 0
    assert "Row 1: its request_id is that of 21 different identifiers" in caplog.text
    assert export.counted(export(*rows[:20])) == {"exported": 1}
