"""People are found in every spelling that their identifier may have, and nobody else is deleted."""

from __future__ import annotations

import json
import logging
import unicodedata
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest

from airflow_provider_klaviyo.emulator import Emulator
from airflow_provider_klaviyo.operators.klaviyo import (
    DeletionPlanOperator,
    ProfileDeletionOperator,
    ProfileUpdateOperator,
)

KEY = "a key that is long enough for a fingerprint"
UUID_TEXT = "6f9619ff-8b86-d011-b42d-00cf4fc964ff"
NFD_EMAIL = unicodedata.normalize("NFD", "josé@example.com")
IDN, ACE = "jane@müller.example", "jane@xn--mller-kva.example"

Delete = Callable[..., dict[str, Any]]


@pytest.fixture(params=["at once", "by plan"])
def delete(
    request: pytest.FixtureRequest,
    emulator: Emulator,
    connect: Callable[..., None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Delete:
    """Run the tasks that delete a list, and return the counts of it."""
    connect(emulator, account_id=emulator.account.id, fingerprint_key=KEY)
    ledger = {"conn_type": "sqlite", "host": str(tmp_path / "ledger.db")}
    monkeypatch.setenv("AIRFLOW_CONN_KLAVIYO_LEDGER", json.dumps(ledger))
    pushed: dict[str, Any] = {}
    ti = SimpleNamespace(
        dag_id="erase",
        run_id="run",
        task_id="a_task",
        map_index=-1,
        max_tries=0,
        xcom_push=lambda key, value: pushed.update({key: json.loads(json.dumps(value))}),
    )

    def at_once(**arguments: Any) -> dict[str, Any]:
        result: dict[str, Any] = ProfileDeletionOperator(task_id="delete", **arguments).execute({})
        return result

    def by_plan(**arguments: Any) -> dict[str, Any]:
        context: Any = {"ti": ti}
        for batch in DeletionPlanOperator(task_id="plan", **arguments).execute(context):
            ProfileDeletionOperator(task_id="delete", batch=batch).execute(context)
        summary: dict[str, Any] = pushed["plan"]
        return summary

    return at_once if request.param == "at once" else by_plan


CASES = [
    # kind, as it is listed, as Klaviyo has it
    ("email", "jane@example.com" + 20 * " ", "jane@example.com"),
    ("email", "\u00a0jane@example.com\u2003", "jane@example.com"),
    ("email", "\ufeffjane@example.com", "jane@example.com"),
    ("email", '"jane@example.com"', "jane@example.com"),
    ("email", "'jane@example.com'", "jane@example.com"),
    ("email", "<jane@example.com>", "jane@example.com"),
    ("email", "mailto:jane@example.com", "jane@example.com"),
    ("email", NFD_EMAIL, "josé@example.com"),
    ("email", "josé@example.com", NFD_EMAIL),
    ("email", "JOSÉ@Example.com", NFD_EMAIL),
    ("email", IDN, ACE),
    ("email", ACE, IDN),
    ("email", "Jane@MÜLLER.example", ACE),
    ("email", ACE.upper(), ACE),
    ("phone_number", "+15005550006    ", "+15005550006"),
    ("phone_number", "\u202a+1\u00a0500\u2011555\u20110006\u202c", "+15005550006"),
    ("phone_number", "\uff0b\uff11\uff15\uff10\uff10\uff15\uff15\uff15\uff10\uff10\uff10\uff16", "+15005550006"),
    ("phone_number", "'+15005550006'", "+15005550006"),
    ("external_id", "C-17      ", "C-17"),
    ("external_id", "C-17      ", "C-17      "),
    ("external_id", "\ufeffC-17", "C-17"),
    ("external_id", '"C-17"', "C-17"),
    ("external_id", "Zoë-1", unicodedata.normalize("NFD", "Zoë-1")),
    ("external_id", 42.0, "42"),
    ("external_id", "42.0", "42"),
    ("external_id", "42.0", "42.0"),
    ("external_id", "42", "42.0"),
    ("external_id", 42, "42.0"),
    ("external_id", Decimal("42.00"), "42"),
    ("external_id", "42.00", "42"),
    ("external_id", "1.2345678E7", "12345678"),
    ("external_id", UUID_TEXT, UUID_TEXT.upper()),
    ("external_id", UUID_TEXT.upper(), UUID_TEXT),
    ("external_id", f"{{{UUID_TEXT.upper()}}}", UUID_TEXT),
    ("external_id", UUID(UUID_TEXT).hex.upper(), UUID_TEXT),
    ("external_id", UUID_TEXT, UUID(UUID_TEXT).hex),
    ("external_id", UUID(UUID_TEXT), UUID_TEXT.upper()),
]


@pytest.mark.parametrize(("kind", "listed", "kept"), CASES)
def test_a_person_is_found_in_another_spelling(
    emulator: Emulator, delete: Delete, kind: str, listed: object, kept: str
) -> None:
    (person,) = emulator.add_profiles([{kind: kept}])
    emulator.add_profile(email="jane.other@example.com", phone_number="+15005550007", external_id="C-18")
    delete(profiles=[{kind: listed}])
    assert emulator.deletion_requests == [person]
    assert emulator.deleted == {person}


TWO_PEOPLE = [
    # kind, as it is listed, somebody else's
    ("email", "jane@straße.example", "jane@strasse.example"),
    ("email", '"jane"@example.com', "jane@example.com"),
    ("email", "\u212aelvin@example.com", "kelvin@example.com"),
    ("email", "jane@\u212aelvin.example", "jane@kelvin.example"),
    ("email", "j.ane@example.com", "jane@example.com"),
    ("email", "jane+1@example.com", "jane@example.com"),
    ("phone_number", "+15005550006.0", "+150055500060"),
    ("phone_number", "+1500555000\u00b2", "+15005550002"),
    ("phone_number", "+44 (0)20 7946 0018", "+4402079460018"),
    ("external_id", "12e4", "120000"),
    ("external_id", "1.23457E+09", "1234570000"),
    ("external_id", "12345678901234568.0", "12345678901234568"),
    ("external_id", 2.0**53, str(2**53)),
    ("external_id", "007", "7"),
    ("external_id", "0x1F", "31"),
    ("external_id", "12_345", "12345"),
    ("external_id", "c-17", "C-17"),
    ("external_id", "42.5", "42"),
    ("external_id", "nan", "nan"),
]


@pytest.mark.parametrize(("kind", "listed", "kept"), TWO_PEOPLE)
def test_nobody_is_found_who_is_somebody_else(
    emulator: Emulator, delete: Delete, kind: str, listed: object, kept: str
) -> None:
    emulator.add_profiles([{kind: kept}])
    counts = delete(profiles=[{kind: listed}], max_invalid=1)
    assert emulator.deletion_requests == []
    assert (counts["absent"], counts["invalid"]) in {(1, 0), (0, 1)}


@pytest.mark.parametrize(
    ("kind", "listed", "spellings"),
    [
        ("external_id", "987654321.0", ("987654321", "987654321.0")),
        ("external_id", 987654321, ("987654321", "987654321.0")),
        ("external_id", "C-17   ", ("C-17", "C-17   ")),
        ("external_id", UUID_TEXT, (UUID_TEXT, UUID_TEXT.upper())),
        ("email", ACE, (IDN, ACE)),
        ("email", "josé@example.com", ("josé@example.com", NFD_EMAIL)),
    ],
)
def test_two_profiles_under_two_spellings_are_held(
    emulator: Emulator,
    delete: Delete,
    caplog: pytest.LogCaptureFixture,
    kind: str,
    listed: object,
    spellings: tuple[str, str],
) -> None:
    ids = emulator.add_profiles({kind: spelling} for spelling in spellings)
    jane = emulator.add_profile(email="jane@example.com")
    with caplog.at_level(logging.WARNING):
        counts = delete(profiles=[{kind: listed}, {"email": "jane@example.com"}])
    assert emulator.deleted == {jane}
    assert counts["held"] == 1
    assert all(one in caplog.text for one in ids)
    assert not any(spelling in caplog.text for spelling in spellings)


def test_two_profiles_under_one_spelling_are_one_person(emulator: Emulator, delete: Delete) -> None:
    ids = {emulator.add_profile(external_id="42") for _ in range(2)}
    delete(profiles=[{"external_id": 42.0}])
    assert emulator.deleted == ids


def test_two_spellings_of_one_person_are_one_request(emulator: Emulator, delete: Delete) -> None:
    jane, other = emulator.add_profile(email=ACE), emulator.add_profile(external_id=UUID_TEXT)
    listed = [IDN, ACE, f" {IDN}", {"external_id": UUID_TEXT.upper()}, {"external_id": UUID(UUID_TEXT)}]
    counts = delete(profiles=listed)
    assert sorted(emulator.deletion_requests) == sorted([jane, other])
    assert (counts["listed"], counts["duplicates"]) == (5, 3)


@pytest.mark.parametrize(
    "listed",
    [
        *('jane@example.com"', "jane@exam$ple.com", "jane@\uff45xample.com", "jane@example\u3002com"),
        *(
            {"external_id": "1.23457E+09"},
            {"external_id": "1e+16"},
            {"external_id": float("nan")},
            {"external_id": " NULL"},
        ),
        *("+15005550006.0", "+1500555\u0660006"),
    ],
)
def test_what_cannot_be_right_is_invalid_by_its_row(
    emulator: Emulator, delete: Delete, caplog: pytest.LogCaptureFixture, listed: object
) -> None:
    with caplog.at_level(logging.WARNING):
        counts = delete(profiles=["joe@example.com", listed])
    assert counts["invalid"] == 1
    assert "Row 2 cannot be an identifier" in caplog.text
    assert "jane" not in caplog.text
    assert "555" not in caplog.text


@pytest.mark.parametrize(
    ("kind", "before", "new", "after"),
    [
        ("external_id", "C-17", f"  {UUID_TEXT.upper()} ", UUID_TEXT.upper()),
        ("external_id", UUID_TEXT, UUID_TEXT.upper(), UUID_TEXT.upper()),
        ("external_id", "42.0", "42", "42"),
        ("external_id", "C-17", 42.0, "42"),
        ("external_id", "C-17", '"C-18"', "C-18"),
        ("email", "jane@example.com", ACE, ACE),
        ("email", ACE, IDN, IDN),
        ("email", "jane@example.com", NFD_EMAIL, "josé@example.com"),
        ("email", "jane@example.com", " <Jane.New@Example.com>", "jane.new@example.com"),
    ],
)
def test_a_new_identifier_is_written_as_it_is_listed(
    emulator: Emulator, connect: Callable[..., None], kind: str, before: str, new: object, after: str
) -> None:
    connect(emulator)
    (person,) = emulator.add_profiles([{kind: before, "phone_number": "+15005550006"}])
    row = {"phone_number": "+15005550006", f"new_{kind}": new}
    assert ProfileUpdateOperator(task_id="update", profiles=[row]).execute({})["updated"] == 1
    (profile,) = emulator.profiles()
    assert (profile.id, getattr(profile, kind)) == (person, after)
    assert ProfileUpdateOperator(task_id="update", profiles=[row]).execute({})["unchanged"] == 1
