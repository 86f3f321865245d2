"""An answer is read as Klaviyo documents it, and refused in words when it is anything else."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_klaviyo.api.errors import KlaviyoAnswerError
from airflow_provider_klaviyo.api.resources import (
    Account,
    Profile,
    profiles_request,
    read_account,
    read_profile,
    read_profiles,
)
from airflow_provider_klaviyo.api.wire import Answer, Page

READERS: list[Callable[[Answer], object]] = [read_profiles, read_profile, read_account]
PERSON = {
    "type": "profile",
    "id": "01H",
    "attributes": {
        "email": "ada@example.com",
        "phone_number": None,
        "external_id": "",
        "created": "2026-01-01T00:00:00+00:00",
        "first_name": "Ada",
    },
}


def answer(document: object) -> Answer:
    return Answer(200, {}, json.dumps(document).encode())


def following(link: object) -> str | None:
    return read_profiles(answer({"data": [], "links": {"next": link}})).next_cursor


def test_a_page_of_profiles() -> None:
    link = "https://a.klaviyo.com/api/profiles/?page%5Bcursor%5D=bmV4dA%3D%3D&page%5Bsize%5D=100"
    page = read_profiles(answer({"data": [PERSON], "links": {"self": "x", "next": link, "prev": None}}))
    ada = Profile("01H", email="ada@example.com", created="2026-01-01T00:00:00+00:00")
    assert page == Page((ada,), next_cursor="bmV4dA==")


def test_one_profile() -> None:
    assert read_profile(answer({"data": PERSON})).email == "ada@example.com"


def test_an_account() -> None:
    attributes = {"test_account": True, "contact_information": {"organization_name": "Example Shop"}}
    account = read_account(answer({"data": [{"id": "AbC123", "attributes": attributes}]}))
    assert account == Account("AbC123", "Example Shop", is_test_account=True)
    assert str(account) == "test account AbC123 (Example Shop)"


@pytest.mark.parametrize("attributes", [None, {}, [], {"contact_information": []}, {"test_account": "yes"}])
def test_an_account_is_known_by_its_id_alone(attributes: object) -> None:
    account = read_account(answer({"data": [{"id": "AbC123", "attributes": attributes}]}))
    assert str(account) == "account AbC123 (without a name)"


@pytest.mark.parametrize("document", [{"data": []}, {"data": [{"id": "A"}, {"id": "B"}]}, {"data": {"id": "A"}}])
def test_a_key_belongs_to_exactly_one_account(document: object) -> None:
    with pytest.raises(KlaviyoAnswerError, match="exactly one account"):
        read_account(answer(document))


def test_the_last_page_has_no_cursor() -> None:
    assert following(None) is None
    assert read_profiles(answer({"data": []})).next_cursor is None


@pytest.mark.parametrize(
    "link",
    [
        "",
        5,
        [],
        {"href": "https://a.klaviyo.com"},
        "https://a.klaviyo.com/api/profiles",
        "https://a.klaviyo.com/api/profiles?page[cursor]=",
        "https://a.klaviyo.com/api/profiles?page[cursor]=a&page[cursor]=b",
        "https://[a.klaviyo.com/api/profiles?page[cursor]=a",
        "https://a.klaviyo.com/api/profiles?page[cursor]=%FF",
        "https://a.klaviyo.com/api/profiles?page[cursor]=\ud800",
    ],
)
def test_a_link_without_a_proper_cursor_does_not_end_the_list_early(link: object) -> None:
    with pytest.raises(KlaviyoAnswerError, match="next page"):
        following(link)


@given(st.text())
def test_any_link_has_a_cursor_that_can_be_sent_or_is_refused(text: str) -> None:
    try:
        cursor = following(f"https://a.klaviyo.com/?page[cursor]={text}")
    except KlaviyoAnswerError:
        return
    assert profiles_request("id", ["01H"], cursor).query.isascii()


@pytest.mark.parametrize(
    "change",
    [
        {"id": None},
        {"id": 5},
        {"id": ""},
        {"id": "../accounts"},
        {"id": "ada@example.com"},
        {"id": "A" * 65},
        {"attributes": None},
        {"attributes": []},
    ],
)
def test_a_profile_without_an_id_or_fields_spoils_the_whole_page(change: dict[str, Any]) -> None:
    with pytest.raises(KlaviyoAnswerError, match="proper id"):
        read_profiles(answer({"data": [PERSON, {**PERSON, **change}]}))


@pytest.mark.parametrize("value", [5, True, ["ada@example.com"], {}, "", None])
def test_a_field_of_the_wrong_type_is_no_field(value: object) -> None:
    assert read_profile(answer({"data": {"id": "01H", "attributes": {"email": value}}})) == Profile("01H")


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["data", "links", "next", "id", "attributes", "email"]), inner, max_size=4)
    ),
    max_leaves=20,
)


@pytest.mark.parametrize("read", READERS)
@given(body=anything.map(lambda document: json.dumps(document).encode()) | st.binary())
def test_whatever_comes_is_read_or_refused(read: Callable[[Answer], object], body: bytes) -> None:
    with contextlib.suppress(KlaviyoAnswerError):
        assert read(Answer(200, {}, body)) is not None


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize(
    "body", [b"", b"\xff", b"<html>ada@example.com</html>", b'{"data": [{"id": "ada@exa', b"[" * 200_000, b"9" * 5_000]
)
def test_what_is_not_json_is_refused_without_quoting_it(read: Callable[[Answer], object], body: bytes) -> None:
    with pytest.raises(KlaviyoAnswerError) as caught:
        read(Answer(200, {}, body))
    assert "ada" not in str(caught.value)
    assert caught.value.status == 200
