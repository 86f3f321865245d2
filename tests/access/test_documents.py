"""A document is JSON in UTF-8 whatever it holds, and says on which occasion it was written."""

from __future__ import annotations

import json
import traceback
from datetime import UTC, datetime
from typing import Any

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_klaviyo.access.documents import HEAD_BYTES, document, export_id, export_id_in
from airflow_provider_klaviyo.access.people import Person
from airflow_provider_klaviyo.api.errors import KlaviyoAnswerError
from airflow_provider_klaviyo.deletion.identifiers import Identifier

hypothesis.settings.register_profile("patient", deadline=None)
hypothesis.settings.load_profile("patient")

NOW = datetime(2026, 11, 22, 4, 5, 6, 789, tzinfo=UTC)


def person(*raw: object, request_id: str | None = None) -> Person:
    return Person(1, "1.json", request_id, tuple(map(Identifier.parse, raw)))


def written(one: Person, *profiles: dict[str, Any], occasion: str = "o") -> bytes:
    return document(one, profiles, account_id="AbC123", export_id=export_id(one, occasion), read_at=NOW)


def test_it_says_who_asked_when_and_where() -> None:
    one = person("Jane@example.com", {"external_id": "42"}, request_id="REQ 7")
    assert json.loads(written(one)) == {
        "request_id": "REQ 7",
        "read_at": "2026-11-22T04:05:06+00:00",
        "account_id": "AbC123",
        "export_id": export_id(one, "o"),
        "identifiers": [{"email": "Jane@example.com"}, {"external_id": "42"}],
        "profiles": [],
    }


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.text(min_size=1, max_size=255), st.dictionaries(st.text(), json_values, max_size=4))
def test_what_is_read_is_what_stands_there(request_id: str, attributes: dict[str, Any]) -> None:
    one = person("jane@example.com", request_id=request_id)
    content = written(one, {"id": "P", "attributes": attributes})
    read = json.loads(content.decode("utf-8"))
    assert read["profiles"] == [{"id": "P", "attributes": attributes}]
    assert read["request_id"] == request_id
    assert export_id_in(content[:HEAD_BYTES]) == export_id(one, "o")


def test_half_a_character_stays_as_json_names_it() -> None:
    content = written(person("jane@example.com"), {"id": "\U0001f600 \ud83d \udc80"})
    assert json.loads(content.decode("utf-8"))["profiles"] == [{"id": "\U0001f600 \ud83d \udc80"}]


def nested(depth: int) -> Any:
    value: Any = "canary.tweet"
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), nested(100_000)])
def test_what_is_no_json_is_refused_in_words(value: Any) -> None:
    profile = {"attributes": {"canary.tweet": value}}
    with pytest.raises(KlaviyoAnswerError, match="row 1 cannot be written as JSON") as caught:
        written(person("canary.tweet@example.com"), profile)
    assert "canary" not in "".join(traceback.format_exception_only(caught.value)) + repr(caught.value.__context__)


def test_an_export_id_stands_for_the_occasion_the_request_and_its_identifiers() -> None:
    both = ("jane@example.com", "+15005550006")
    ids = {
        export_id(person(*both), "o"),
        export_id(person(*both), "p"),
        export_id(person(*both), "o", is_empty=True),
        export_id(person(*both, request_id="7"), "o"),
        export_id(person("jane@example.com"), "o"),
        export_id(person({"external_id": "jane@example.com"}), "o"),
    }
    assert len(ids) == 6
    assert export_id(person(*reversed(both)), "o") == export_id(person(*both), "o")


@pytest.mark.parametrize("head", [b"", b"{}", b'{"export_id": "' + b"0" * 32 + b'",', b'\n  "export_id": "0",\n'])
def test_what_is_no_document_has_no_export_id(head: bytes) -> None:
    assert export_id_in(head) is None


def test_nobody_can_put_another_export_id_into_a_document() -> None:
    forged = '",\n  "export_id": "' + "0" * 32 + '",\n'
    one = person({"external_id": "x"}, request_id=forged)
    content = written(one, {"id": forged, "attributes": {forged: {"export_id": "0" * 32}}})
    assert export_id_in(content) == export_id(one, "o")
