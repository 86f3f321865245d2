"""A row of a list of people to correct: what it wants, what it cannot want, and that it shows nobody."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_klaviyo.deletion.identifiers import Identifier, Kind
from airflow_provider_klaviyo.rectification.changes import NEW, Change, InvalidChangeError
from airflow_provider_klaviyo.sources.errors import SourceError
from airflow_provider_klaviyo.sources.source import Source

MEGABYTE = "x" * 1_000_000


def change(value: object = "42", kind: Kind | None = Kind.EXTERNAL_ID, **new: object) -> Change:
    return Change(kind, value, **new)


def test_what_is_wanted_is_normalised() -> None:
    whom, new = change(
        42, new_email=" New@Example.com ", new_phone_number="+1 (500) 555-0006", new_external_id=Decimal(43)
    ).read()
    assert whom == Identifier.of(Kind.EXTERNAL_ID, "42")
    assert {kind: identifier.value for kind, identifier in new.items()} == {
        Kind.EMAIL: "new@example.com",
        Kind.PHONE_NUMBER: "+15005550006",
        Kind.EXTERNAL_ID: "43",
    }


@pytest.mark.parametrize("nothing", [None, "", "  ", "\t\n"])
def test_what_is_empty_stays_as_it_is(nothing: object) -> None:
    _, new = change(new_email="new@example.com", new_phone_number=nothing, new_external_id=nothing).read()
    assert list(new) == [Kind.EMAIL]
    with pytest.raises(
        InvalidChangeError, match=r"it changes nothing, because new_email, new_phone_number and|are all"
    ):
        change(new_email=nothing).read()


@pytest.mark.parametrize("name", NEW.values())
@pytest.mark.parametrize(
    "value",
    [
        'canary"]),any(email,["bystander@example.com',
        "canary@example.com\r\nAuthorization: other",
        "canary\0@example.com",
        "canary\ud800@example.com",
        f"{MEGABYTE}@canary.example.com",
        10**400,
        Decimal("NaN"),
        1.5,
        True,
        b"canary@example.com",
        datetime(2026, 11, 22, tzinfo=UTC),
        ["canary@example.com"],
        {"email": "canary@example.com"},
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_value_that_cannot_be_one_names_the_field_and_no_value(name: str, value: object) -> None:
    fields: dict[str, Any] = {"new_external_id": "43", name: value}
    if name == "new_external_id" and isinstance(value, str) and value.isprintable() and len(value) < 255:
        value = fields[name] = "\0canary"
    with pytest.raises(InvalidChangeError) as caught:
        change(**fields).read()
    assert str(caught.value).startswith(f"{name}: ")
    assert "canary" not in str(caught.value)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("kind", "value", "name"),
    [
        (Kind.EMAIL, "canary", "email"),
        (Kind.PHONE_NUMBER, "5005550006", "phone_number"),
        (Kind.ID, "../canary", "id"),
        (Kind.EXTERNAL_ID, None, "external_id"),
        (None, "canary", "identifier"),
        (None, 7, "identifier"),
    ],
)
def test_who_cannot_be_meant_is_said_by_field(kind: Kind | None, value: object, name: str) -> None:
    with pytest.raises(InvalidChangeError, match=f"^{name}: ") as caught:
        change(value, kind, new_email="new@example.com").read()
    assert "canary" not in str(caught.value)


@given(st.text(), st.text(), st.text(), st.text())
def test_whatever_a_row_holds_is_read_or_refused_in_words(value: str, email: str, phone: str, other: str) -> None:
    row = change(value, new_email=email, new_phone_number=phone, new_external_id=other)
    try:
        whom, new = row.read()
    except InvalidChangeError:
        return
    assert new
    assert all(identifier.kind is kind and identifier.value for kind, identifier in new.items())
    assert Identifier.of(whom.kind, whom.value) == whom


def test_a_row_shows_nobody() -> None:
    row = change("canary-1", request_id="canary", new_email="canary@example.com")
    whom, new = row.read()
    assert "canary" not in f"{row!r} {row} {[row]} {whom!r} {new!r}"


def source(**how: Any) -> Source:
    return Source(**how, row_type=lambda: Change)


def test_a_list_names_the_fields() -> None:
    rows = list(
        source(
            profiles=[
                {"external_id": "42", "new_email": "new@example.com", "request_id": 7},
                {"email": "jane@example.com", "new_phone_number": "+15005550006"},
                "joe@example.com",
            ]
        ).entries()
    )
    assert rows == [
        Change(Kind.EXTERNAL_ID, "42", 7, "new@example.com"),
        Change(Kind.EMAIL, "jane@example.com", None, None, "+15005550006"),
        Change(None, "joe@example.com"),
    ]


@pytest.mark.parametrize(
    "item",
    [
        {"external_id": "42", "new_mail": "x@example.com"},
        {"new_email": "x@example.com"},
        {"email": "x", "external_id": "y"},
    ],
)
def test_a_field_that_there_is_not_is_refused_when_the_dag_is_parsed(item: Any) -> None:
    with pytest.raises(SourceError, match=r"new_email, new_phone_number, new_external_id|exactly one identifier"):
        source(profiles=[item]).check()


def test_files_have_columns_of_these_names(tmp_path: Any) -> None:
    path = tmp_path / "people.csv"
    path.write_text("External_ID,NEW_EMAIL,note,new_phone_number\n42,new@example.com,hello,\n")
    assert list(source(path=str(path)).entries()) == [Change(Kind.EXTERNAL_ID, "42", None, "new@example.com", "", None)]
    path = tmp_path / "people.jsonl"
    path.write_text(json.dumps({"external_id": str(UUID(int=1)), "new_external_id": 43}))
    ((_, new),) = [row.read() for row in source(path=str(path)).entries()]
    assert [identifier.value for identifier in new.values()] == ["43"]
